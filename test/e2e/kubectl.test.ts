/** What people type every day, with the real kubectl against a lab. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { labImages } from '../../src/lab/images/lab-images.ts';
import type { Deployment } from '../../src/objects/generated/apps-v1.ts';
import type { Pod } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, runCommand, useLab } from './support/lab.ts';
import type { TestLab } from './support/lab.ts';
import {
  applyObjects,
  awaitGone,
  awaitPod,
  awaitReady,
  containerOf,
  Follower,
  inPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';
import type { List } from './support/pods.ts';

describeAsRoot('kubectl', () => {
  const lab = useLab();

  it('apply, get, describe, label, annotate, wait and delete a pod', async () => {
    const pod = podOf('plain', untilAsked);
    expect(await applyObjects(lab, pod)).toBe('pod/plain created\n');
    expect(await lab.kubectl('wait', '--for=condition=Ready', 'pod/plain', '--timeout=90s')).toBe(
      'pod/plain condition met\n',
    );
    expect(await applyObjects(lab, pod)).toBe('pod/plain unchanged\n');
    pod.metadata.labels = { color: 'blue' };
    expect(await applyObjects(lab, pod)).toBe('pod/plain configured\n');

    const { status } = await lab.kubectlJson<Pod>('get', 'pod', 'plain');
    const [titles = '', row = ''] = (await lab.kubectl('get', 'pods', '-o', 'wide')).split('\n');
    expect(titles.split(/\s{2,}/)).toEqual(
      expect.arrayContaining(['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE', 'IP', 'NODE', 'NOMINATED NODE']),
    );
    expect(row.split(/\s+/)).toEqual(
      expect.arrayContaining(['plain', '1/1', 'Running', '0', status?.podIP, lab.nodeName(0)]),
    );
    const asYaml = parse(await lab.kubectl('get', 'pod', 'plain', '-o', 'yaml')) as Pod;
    expect(asYaml).toMatchObject({ kind: 'Pod', metadata: { name: 'plain' }, status: { podIP: status?.podIP } });

    await eventually('events in describe', patienceMs, async () => {
      const text = await lab.kubectl('describe', 'pod', 'plain');
      return /Scheduled[^]*Pulled[^]*Created[^]*Started/.test(text) || undefined;
    });
    const described = await lab.kubectl('describe', 'pod', 'plain');
    expect(described).toMatch(/^Node:\s+\S+-control-plane\/10\./m);
    expect(described).toContain(`Container image "${labImages.busybox}" already present on machine`);
    expect(described).toMatch(/QoS Class:\s+BestEffort/);

    await lab.kubectl('label', 'pod', 'plain', 'tier=front');
    await lab.kubectl('annotate', 'pod', 'plain', 'note=seen');
    expect(await lab.kubectl('get', 'pods', '-l', 'tier=front,color=blue', '-o', 'name')).toBe('pod/plain\n');
    expect(await lab.kubectl('get', 'pod', 'plain', '-o', 'jsonpath={.metadata.annotations.note}')).toBe('seen');
    expect((await lab.tryKubectl('label', 'pod', 'plain', 'tier=back')).stderr).toContain('--overwrite is false');

    expect(await lab.kubectl('delete', 'pod', 'plain')).toContain('pod "plain" deleted');
    const gone = await lab.tryKubectl('get', 'pod', 'plain');
    expect([gone.code, gone.stderr]).toEqual([1, 'Error from server (NotFound): pods "plain" not found\n']);
  });

  it('create refuses what is there already, and get -w shows a life in the order it happens', async () => {
    const watch = follow(Follower.kubectl(lab, 'get', 'pods', '--watch', '--selector', 'watched=yes'));
    const pod = podOf('watched', untilAsked);
    pod.metadata.labels = { watched: 'yes' };
    await applyObjects(lab, pod);
    await watch.until(/watched +1\/1 +Running/);
    const again = await runCommand(
      'kubectl',
      ['--kubeconfig', lab.kubeconfig, 'create', '-f', '-'],
      process.env,
      JSON.stringify(pod),
    );
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('AlreadyExists')]);
    await lab.kubectl('delete', 'pod', 'watched');
    await watch.until(/watched +\d\/1 +Terminating/);
    const states = [...watch.output.matchAll(/^watched +\d\/1 +(\S+)/gm)].map(([, state]) => state);
    // A watch shows what is written: a pod that starts at once may have no status between Pending and Running.
    const life = ['Pending', 'ContainerCreating', 'Running', 'Terminating'];
    expect(states).toContain('Running');
    expect([...new Set(states)].filter((state) => life.includes(state ?? ''))).toEqual(
      life.filter((state) => states.includes(state)),
    );
  });

  it('logs: whole, the tail, with times, followed to the end, and those of the run before', async () => {
    const script =
      'for i in 1 2 3; do echo line $i; done; echo complaint >&2; until [ -e /tmp/end ]; do sleep 0.1; done; echo last; exit 3';
    await applyObjects(lab, podOf('talker', script), podOf('once', script, { restartPolicy: 'Never' }));
    await Promise.all([awaitReady(lab, 'talker'), awaitReady(lab, 'once')]);
    const all = 'line 1\nline 2\nline 3\ncomplaint\n';
    const following = follow(Follower.kubectl(lab, 'logs', '--follow', 'once'));
    await following.until('complaint');
    expect(sortLines(await lab.kubectl('logs', 'once'))).toEqual(sortLines(all));
    expect(await lab.kubectl('logs', 'once', '--tail=2')).toMatch(/^.+\n.+\n$/);
    expect(await lab.kubectl('logs', 'once', '--tail=0')).toBe('');
    expect(await lab.kubectl('logs', 'once', '--timestamps', '--limit-bytes=20')).toMatch(/^20\d\d-\d\d-\d\dT/);
    expect((await lab.tryKubectl('logs', 'once', '--previous')).stderr).toContain(
      'previous terminated container "main" in pod "once" not found',
    );
    expect((await lab.tryKubectl('logs', 'once', '-c', 'other')).stderr).toContain(
      'container other is not valid for pod once',
    );

    await inPod(lab, 'once', 'touch /tmp/end');
    expect(await following.untilEnd()).toBe(0);
    expect(sortLines(following.output)).toEqual(sortLines(`${all}last\n`));
    await lab.kubectl('wait', '--for=jsonpath={.status.phase}=Failed', 'pod/once', '--timeout=90s');

    await inPod(lab, 'talker', 'touch /tmp/end');
    await awaitPod(
      lab,
      'talker',
      'restart',
      (pod) => containerOf(pod)?.restartCount === 1 && containerOf(pod)?.ready === true,
    );
    expect(sortLines(await lab.kubectl('logs', 'talker', '--previous'))).toEqual(sortLines(`${all}last\n`));
    await eventually(
      'the logs of the second run',
      patienceMs,
      async () => (await lab.kubectl('logs', 'talker')).includes('complaint') || undefined,
    );
    expect(await lab.kubectl('logs', 'talker')).not.toContain('last');
    expect(await lab.kubectl('describe', 'pod', 'talker')).toMatch(
      /Last State:\s+Terminated\s+Reason:\s+Error\s+Exit Code:\s+3[^]*Restart Count:\s+1/,
    );
    await deletePods(lab, 'talker', 'once');
  });

  it('exec, cp and attach: output, input, exit codes and a terminal', async () => {
    await applyObjects(
      lab,
      podOf('worker', untilAsked),
      podOf(
        'listener',
        [shell('while read line; do echo "heard $line"; done; echo end of input', { stdin: true, stdinOnce: true })],
        {
          restartPolicy: 'Never',
        },
      ),
    );
    await Promise.all([awaitReady(lab, 'worker'), awaitReady(lab, 'listener')]);

    expect(await lab.kubectl('exec', 'worker', '--', 'echo', 'two  words', '$HOME')).toBe('two  words $HOME\n');
    const failed = await lab.tryKubectl('exec', 'worker', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7');
    expect(failed).toEqual({
      code: 7,
      stdout: 'out\n',
      stderr: expect.stringMatching(/^err\n.*exit code 7/) as string,
    });
    const noProgram = await lab.tryKubectl('exec', 'worker', '--', 'no-such-program');
    expect([noProgram.code === 0, noProgram.stderr]).toEqual([false, expect.stringContaining('no-such-program')]);

    const big = 'abcdefghijklmno\n'.repeat(64 * 1024); // 1 MiB, there and back
    const echoed = await runCommand(
      'kubectl',
      ['--kubeconfig', lab.kubeconfig, 'exec', '-i', 'worker', '--', 'cat'],
      process.env,
      big,
    );
    expect(echoed.stdout === big).toBe(true);

    const terminal = follow(
      Follower.onTerminal(
        lab,
        'exec',
        '-it',
        'worker',
        '--',
        'sh',
        '-c',
        'until [ "$(stty size)" = "33 101" ]; do sleep 0.1; done; tty; read answer; echo "answer=$answer"; exit 5',
      ),
    );
    await terminal.until('/dev/pts/');
    terminal.write('yes\n');
    await terminal.until('answer=yes');
    expect(await terminal.untilEnd()).toBe(5);

    const attached = follow(Follower.kubectl(lab, 'attach', '-i', 'listener'));
    attached.write('you\n');
    await attached.until('heard you');
    attached.endInput();
    await attached.until('end of input');
    expect(await attached.untilEnd()).toBe(0);
    await lab.kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/listener', '--timeout=90s');

    const directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-cp-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    writeFileSync(join(directory, 'there'), big);
    await lab.kubectl('cp', join(directory, 'there'), 'worker:/tmp/copied');
    await lab.kubectl('cp', 'worker:tmp/copied', join(directory, 'back'));
    expect(readFileSync(join(directory, 'back'), 'utf8') === big).toBe(true);
    await deletePods(lab, 'worker', 'listener');
  });

  it('run --restart=Never: a pod that ends, and one that talks to its caller and is removed', async () => {
    const [name, image] = ['short', `--image=${labImages.busybox}`];
    await lab.kubectl('run', name, image, '--restart=Never', '--', 'sh', '-c', 'echo done');
    await lab.kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', `pod/${name}`, '--timeout=90s');
    expect(await lab.kubectl('logs', name)).toBe('done\n');
    expect(await lab.kubectl('get', 'pod', name, '--no-headers')).toMatch(/^short +0\/1 +Completed +0/);
    await deletePods(lab, name);

    const args = [
      'run',
      'talk',
      image,
      '--restart=Never',
      '-i',
      '--rm',
      '--quiet',
      '--',
      'sh',
      '-c',
      'read word; echo "got $word"; exit 4',
    ];
    const { code, stdout } = await runCommand(
      'kubectl',
      ['--kubeconfig', lab.kubeconfig, ...args],
      process.env,
      'bread\n',
    );
    expect([code, stdout]).toEqual([4, expect.stringContaining('got bread')]);
    await awaitGone(lab, 'talk');
  });

  it('a Deployment: rollout, scale, another image, undo, port-forward, and nothing left after delete', async () => {
    const script = 'mkdir /tmp/www; hostname > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www';
    const labels = { app: 'shop' };
    await applyObjects(
      lab,
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'shop' },
        spec: {
          replicas: 2,
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: {
              terminationGracePeriodSeconds: 1,
              containers: [
                shell(script, {
                  name: 'shop',
                  ports: [{ containerPort: 8080, name: 'http' }],
                  readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
                }),
              ],
            },
          },
        },
      },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'shop' },
        spec: { selector: labels, ports: [{ port: 80, targetPort: 'http' }] },
      },
    );
    const rollout = (): Promise<string> => lab.kubectl('rollout', 'status', 'deployment/shop', '--timeout=90s');
    const pods = async (): Promise<Pod[]> =>
      (await lab.kubectlJson<List<Pod>>('get', 'pods', '-l', 'app=shop')).items.filter(
        ({ metadata }) => metadata.deletionTimestamp === undefined,
      );
    const names = async (): Promise<(string | undefined)[]> => (await pods()).map(({ metadata }) => metadata.name);
    expect(await rollout()).toContain('deployment "shop" successfully rolled out');
    await lab.kubectl('wait', '--for=condition=Available', 'deployment/shop', '--timeout=90s');
    const first = await names();
    expect(first).toHaveLength(2);

    const forward = async (target: string, port: number): Promise<string> => {
      const follower = follow(Follower.kubectl(lab, 'port-forward', target, `:${port}`));
      const [, local] = await follower.until(/Forwarding from 127\.0\.0\.1:(\d+)/);
      const answers = await Promise.all(
        [1, 2, 3].map(async () =>
          (await fetch(`http://127.0.0.1:${local}/`, { signal: AbortSignal.timeout(patienceMs) })).text(),
        ),
      );
      await follower.close();
      return new Set(answers).size === 1 ? (answers[0] ?? '').trim() : answers.join('|');
    };
    expect(await forward(`pod/${first[0]}`, 8080)).toBe(first[0]);
    expect(first).toContain(await forward('service/shop', 80));

    expect(await lab.kubectl('scale', 'deployment/shop', '--replicas=3')).toBe('deployment.apps/shop scaled\n');
    await rollout();
    expect(await names()).toEqual(expect.arrayContaining(first));
    expect(await lab.kubectl('get', 'deployment', 'shop', '--no-headers')).toMatch(/^shop +3\/3 +3 +3 /);
    await lab.kubectl('scale', 'deployment/shop', '--replicas=1');
    await eventually('one pod is left', patienceMs, async () => ((await names()).length === 1 ? true : undefined));

    const [before] = await names();
    await lab.kubectl('set', 'image', 'deployment/shop', `shop=${labImages.web}`);
    expect(await rollout()).toContain('successfully rolled out');
    await eventually('the old pod is gone', patienceMs, async () =>
      (await names()).includes(before) ? undefined : true,
    );
    expect((await pods()).map(({ spec }) => spec?.containers[0]?.image)).toEqual([labImages.web]);
    expect(await lab.kubectl('rollout', 'history', 'deployment/shop')).toMatch(/^1 [^]*^2 /m);
    await lab.kubectl('rollout', 'undo', 'deployment/shop');
    await rollout();
    const { spec } = await lab.kubectlJson<Deployment>('get', 'deployment', 'shop');
    expect(spec?.template.spec?.containers[0]?.image).toBe(labImages.busybox);

    await lab.kubectl('delete', 'deployment,service', 'shop');
    await eventually('ReplicaSets and pods are collected', patienceMs, async () => {
      const left = await lab.kubectl('get', 'replicasets,pods', '-l', 'app=shop', '-o', 'name');
      return left === '' ? true : undefined;
    });
  });
});

/** Ends with the test. */
function follow(follower: Follower): Follower {
  onTestFinished(() => follower.close());
  return follower;
}

async function deletePods(lab: TestLab, ...names: string[]): Promise<void> {
  await lab.kubectl('delete', 'pod', ...names);
}

/** Standard output and standard error have no order between them. */
function sortLines(text: string): string[] {
  return text.split('\n').toSorted();
}
