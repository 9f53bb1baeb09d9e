/** `gantry why pod` on a real node: the cause in one sentence, with and without its agent. */
import { expect, it, onTestFinished } from 'vitest';
import type { WhyAnswer } from '../../src/kubelet/support/timeline/why-answer.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, mainFile, useLab } from './support/lab.ts';
import {
  applyObjects,
  awaitEvent,
  awaitGone,
  awaitReady,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

const conflist = '/etc/cni/net.d/10-gantry.conflist';
/** The network agent keeps its own file as it is; what comes before it counts. */
const otherConflist = '/etc/cni/net.d/05-other.conflist';

describeAsRoot('gantry why', () => {
  const lab = useLab();
  const onNode = (name: string, ...flags: string[]): Promise<string> =>
    lab.onNode(0, process.execPath, mainFile, 'why', 'pod', `default/${name}`, ...flags);
  const why = async (name: string): Promise<WhyAnswer> => JSON.parse(await onNode(name, '-o', 'json')) as WhyAnswer;
  const untilSituation = (name: string, situation: WhyAnswer['situation']): Promise<WhyAnswer> =>
    eventually(`pod ${name} is ${situation}`, patienceMs, async () => {
      const answer = await why(name);
      if (answer.situation !== situation) throw new Error(JSON.stringify(answer));
      return answer;
    });

  it('names causes while the agent runs, and from its file when it was killed', async () => {
    const volumes = [{ name: 'settings', configMap: { name: 'missing' } }];
    const volumeMounts = [{ name: 'settings', mountPath: '/settings' }];
    await applyObjects(
      lab,
      podOf('short', untilAsked),
      podOf('unmounted', [shell(untilAsked, { volumeMounts })], { volumes }),
      podOf('unpulled', [{ name: 'main', image: 'localhost:1/none:1' }]),
      podOf('crasher', [shell('echo no database > /dev/termination-log; exit 3')]),
    );
    await awaitReady(lab, 'short');
    await lab.kubectl('delete', 'pod', 'short');
    await awaitGone(lab, 'short');

    const unmounted = await untilSituation('unmounted', 'VolumeNotReady');
    expect(unmounted.cause).toContain('"settings" (configmap "missing" not found');
    expect(unmounted.next[0]).toMatch(/^tries (?:the volumes|it) again/); // between two turns, or within one
    expect((await untilSituation('unpulled', 'ImagePull')).cause).toMatch(/"main" cannot be pulled: .*localhost:1/);
    const crasher = await untilSituation('crasher', 'CrashLoop');
    expect(crasher.cause).toContain('code 3 (Error), saying: no database');
    expect(crasher.next[0]).toMatch(/^starts "main" again/);
    const gone = await untilSituation('short', 'Gone');
    expect(gone.cause).toMatch(/it was deleted, and ended "main" with code \d+/);

    const original = await lab.onNode(0, 'cat', conflist);
    const install = (text: string): Promise<string> =>
      lab.onNode(0, 'sh', '-c', 'printf "%s" "$1" > "$2"', 'sh', text, otherConflist);
    await install(original.replace('"ptp"', '"no-such-plugin"'));
    onTestFinished(async () => void (await lab.onNode(0, 'rm', '-f', otherConflist)));
    await eventually('the runtime has read its network anew', patienceMs, async () => {
      await applyObjects(lab, podOf('homeless', untilAsked));
      try {
        await awaitEvent(lab, 'homeless', 'FailedCreatePodSandBox');
        return true;
      } catch {
        await lab.kubectl('delete', 'pod', 'homeless', '--now');
        return undefined;
      }
    });
    const homeless = await untilSituation('homeless', 'NetworkPluginFailed');
    expect(homeless.cause).toContain('failed to find plugin "no-such-plugin" in path');

    await lab.stop(0, 'agent', 'SIGKILL');
    for (const [name, { situation, cause }] of Object.entries({ unmounted, crasher, homeless, short: gone })) {
      const answer = await why(name);
      expect(answer).toMatchObject({ source: 'file', situation });
      if (name === 'short') expect(answer.cause).toBe(cause);
    }
    const text = await onNode('homeless');
    expect(text).toMatch(/^Note: {3}the kubelet does not answer \(connect (ECONNREFUSED|ENOENT)/m);
    expect(text).toMatch(/ sandbox +failed +network plugin "no-such-plugin": failed to find plugin "no-such-plugin"/);

    await lab.onNode(0, 'rm', otherConflist);
    await lab.start(0, 'agent');
    await awaitReady(lab, 'homeless');
    const ready = await untilSituation('homeless', 'Ready');
    expect(ready.source).toBe('kubelet');
    expect(ready.kubeletStarts).toHaveLength(1);
    expect(ready.phases).toContainEqual(expect.objectContaining({ phase: 'sandbox', outcome: 'failed' }));
    expect((await why('short')).cause).toBe(gone.cause);
    const inNode = ['lab', 'exec', '--name', lab.name, '--node', lab.nodeName(0), '--'];
    const unknown = await lab.gantry(...inNode, process.execPath, mainFile, 'why', 'pod', 'default/homelses');
    expect([unknown.code, unknown.stdout]).toEqual([1, expect.stringContaining('Known:  default/homeless') as string]);
    await lab.kubectl('delete', 'pod', 'homeless', 'unmounted', 'unpulled', 'crasher', '--now');
  });
});
