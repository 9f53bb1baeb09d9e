/** Which pods a node takes, whom it ends for others, and how kubectl shows it. */
import { expect, it } from 'vitest';
import { labImages } from '../../src/lab/images/lab-images.ts';
import type { Node, Pod } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import {
  applyObjects,
  awaitEvent,
  awaitGone,
  awaitPhase,
  awaitReady,
  conditionOf,
  getPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

describeAsRoot('admission', () => {
  const lab = useLab();
  const node = (): string => lab.nodeName(0);
  const bound = (name: string, spec: Partial<Pod['spec']> = {}, container = {}): Pod =>
    podOf(name, [shell(untilAsked, container)], { nodeName: node(), ...spec });
  const asking = (cpu: string) => ({ resources: { requests: { cpu } } });

  it('rejects what the node cannot take, in words and without conditions', async () => {
    const port = { ports: [{ containerPort: 80, hostPort: 18_080 }] };
    await applyObjects(lab, bound('holder', {}, port));
    await awaitReady(lab, 'holder');
    await applyObjects(
      lab,
      bound('cpu', {}, asking('1000')),
      bound('affinity', { nodeSelector: { zone: 'elsewhere' } }),
      bound('ports', {}, port),
    );
    const rejected: Array<[string, string, RegExp]> = [
      ['cpu', 'OutOfcpu', /^Node didn't have enough resource: cpu, requested: 1000000, used: \d+, capacity: \d+$/],
      [
        'affinity',
        'NodeAffinity',
        /^Predicate NodeAffinity failed: node\(s\) didn't match Pod's node affinity\/selector$/,
      ],
      [
        'ports',
        'NodePorts',
        /^Predicate NodePorts failed: node\(s\) didn't have free ports for the requested pod ports$/,
      ],
    ];
    for (const [name, reason, message] of rejected) {
      const { status } = await awaitPhase(lab, name, 'Failed');
      expect(status?.reason).toBe(reason);
      expect(status?.message?.replace('Pod was rejected: ', '')).toMatch(message);
      expect([status?.conditions, status?.containerStatuses]).toEqual([undefined, undefined]);
      expect((await awaitEvent(lab, name, reason)).type).toBe('Warning');
      expect(await lab.kubectl('get', 'pod', name, '--no-headers')).toMatch(new RegExp(`^${name} +0/1 +${reason} `));
    }
    await lab.kubectl('delete', 'pod', 'cpu', 'affinity', 'ports', 'holder');
  });

  it('rejects a pod that does not tolerate a NoExecute taint', async () => {
    await lab.kubectl('taint', 'node', node(), 'gone=:NoExecute');
    await applyObjects(lab, bound('taint'));
    const words = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate";
    expect((await awaitEvent(lab, 'taint', 'TaintToleration', words)).type).toBe('Warning');
    await awaitGone(lab, 'taint'); // the cluster takes such pods away
    await lab.kubectl('taint', 'node', node(), 'gone-');
  });

  it('ends a lesser pod for a critical one that has no room', async () => {
    const cpu = (await lab.kubectlJson<Node>('get', 'node', node())).status?.allocatable?.['cpu'] ?? '';
    const milli = cpu.endsWith('m') ? Number(cpu.slice(0, -1)) : Number(cpu) * 1000;
    await applyObjects(lab, bound('victim', {}, asking(`${milli - 500}m`)));
    await awaitReady(lab, 'victim');
    await applyObjects(lab, bound('critical', { priorityClassName: 'system-node-critical' }, asking('600m')));
    const critical = await awaitReady(lab, 'critical');
    expect(critical.spec.priority).toBe(2_000_001_000);
    const victim = await awaitPhase(lab, 'victim', 'Failed');
    expect(victim.status).toMatchObject({ reason: 'Preempting', message: 'Preempted in order to admit critical pod' });
    expect(conditionOf(victim, 'DisruptionTarget')).toBe('True');
    await awaitEvent(lab, 'victim', 'Preempting', 'Preempted in order to admit critical pod');
    await lab.kubectl('delete', 'pod', 'victim', 'critical');
  });

  it('ends a pod at its deadline', async () => {
    await applyObjects(lab, bound('late', { activeDeadlineSeconds: 2 }));
    const { status } = await awaitPhase(lab, 'late', 'Failed');
    const message = 'Pod was active on the node longer than the specified deadline';
    expect(status).toMatchObject({ reason: 'DeadlineExceeded', message });
    expect((await awaitEvent(lab, 'late', 'DeadlineExceeded', message)).type).toBe('Normal');
    await lab.kubectl('delete', 'pod', 'late');
  });

  it('a pod deleted by force ends on the node, and its name is free at once', async () => {
    await applyObjects(lab, bound('forced'));
    const before = await awaitReady(lab, 'forced');
    await lab.kubectl('delete', 'pod', 'forced', '--force', '--grace-period=0');
    await applyObjects(lab, bound('forced'));
    const after = await awaitReady(lab, 'forced');
    expect(after.metadata.uid).not.toBe(before.metadata.uid);
    await eventually('the old one to be gone from the runtime', patienceMs, async () => {
      const text = await lab.onNode(0, 'ctr', '--namespace', 'k8s.io', 'containers', 'list');
      const ids = text.split('\n').filter((line) => line.includes(labImages.busybox));
      return ids.length === 1 || undefined;
    });
    expect((await getPod(lab, 'forced')).status?.phase).toBe('Running');
    await lab.kubectl('delete', 'pod', 'forced');
    await awaitGone(lab, 'forced');
  });
});
