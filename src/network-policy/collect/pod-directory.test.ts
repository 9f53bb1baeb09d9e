import { describe, expect, it } from 'vitest';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { compilePolicy } from '../compute/compile-policy.ts';
import { isNamedBy } from '../compute/match-policy.ts';
import type { PodFacts } from '../network-policy-model.ts';
import { PodDirectory, trimPod } from './pod-directory.ts';

const podOf = (
  name: string,
  more: { node?: string; ip?: string; phase?: string; born?: string; spec?: object } = {},
): Pod =>
  trimPod({
    metadata: { namespace: 'shop', name, uid: `uid-${name}`, creationTimestamp: more.born ?? '2026-01-01T00:00:00Z' },
    spec: { nodeName: more.node ?? 'node-1', containers: [{ name: 'c', image: 'i' }], ...more.spec },
    status: { phase: more.phase ?? 'Running', podIP: more.ip },
  });

const attachment = (name: string, ips: string[], uid: string | undefined = `uid-${name}`) => ({
  namespace: 'shop',
  name,
  uid,
  ips,
});

function directoryOf(): {
  directory: PodDirectory;
  ips: () => Record<string, string>;
  log: string[];
  pods: Map<string, PodFacts>;
} {
  const pods = new Map<string, PodFacts>();
  const log: string[] = [];
  const directory = new PodDirectory('node-1', {
    putPod: (pod) => {
      pods.set(pod.key, pod);
      log.push(`${pod.key} ${pod.ips.join()}`);
    },
    removePod: (key) => {
      pods.delete(key);
      log.push(`${key} gone`);
    },
  });
  return { directory, pods, log, ips: () => Object.fromEntries([...pods].map(([key, pod]) => [key, pod.ips.join()])) };
}

describe('the directory of pods', () => {
  it.each([
    { name: 'ended well', pod: podOf('a', { ip: '10.0.0.1', phase: 'Succeeded' }) },
    { name: 'failed', pod: podOf('a', { ip: '10.0.0.1', phase: 'Failed' }) },
    { name: "are on the host's network", pod: podOf('a', { ip: '10.0.0.1', spec: { hostNetwork: true } }) },
  ])('leaves out those that $name', ({ pod }) => {
    const { directory, pods } = directoryOf();
    directory.putPod(podOf('a', { ip: '10.0.0.1' }));
    expect(pods.size).toBe(1);
    directory.putPod(pod);
    expect(pods.size).toBe(0);
  });

  it('takes the word of the runtime before that of the API, for pods of this node and of the same uid', () => {
    const { directory, ips } = directoryOf();
    directory.setAttachment('early', attachment('late', ['10.0.0.9']));
    directory.putPod(podOf('late'));
    directory.putPod(podOf('elsewhere', { node: 'node-2' }));
    directory.putPod(podOf('former'));
    directory.setAttachment('f1', attachment('elsewhere', ['10.0.0.2']));
    directory.setAttachment('f2', attachment('former', ['10.0.0.3'], 'uid-of-one-before'));
    expect(ips()).toEqual({ 'shop/late': '10.0.0.9', 'shop/elsewhere': '', 'shop/former': '' });
    directory.setAttachment('early', undefined);
    expect(ips()['shop/late']).toBe('');
  });

  it('knows a static pod by the uid that its mirror tells', () => {
    const { directory, ips } = directoryOf();
    const mirror = podOf('static');
    directory.putPod({
      ...mirror,
      metadata: { ...mirror.metadata, annotations: { 'kubernetes.io/config.hash': 'h' } },
    });
    directory.setAttachment('f', attachment('static', ['10.0.0.1'], 'h'));
    expect(ips()).toEqual({ 'shop/static': '10.0.0.1' });
  });

  it('gives an address that is used again to who has it now, and tells the loser first', () => {
    const { directory, ips, log } = directoryOf();
    directory.putPod(podOf('old', { ip: '10.0.0.1' }));
    directory.putPod(podOf('young', { born: '2026-01-02T00:00:00Z' }));
    log.length = 0;
    directory.setAttachment('f', attachment('young', ['10.0.0.1']));
    expect(log).toEqual(['shop/old ', 'shop/young 10.0.0.1']);
    directory.removePod(podOf('young'));
    expect(ips()).toEqual({ 'shop/old': '10.0.0.1' });
    directory.putPod(podOf('other', { ip: '10.0.0.1', node: 'node-2', born: '2026-01-03T00:00:00Z' }));
    expect(ips()).toEqual({ 'shop/old': '', 'shop/other': '10.0.0.1' });
  });

  it('compares addresses in one spelling', () => {
    const { directory, ips } = directoryOf();
    directory.putPod(podOf('a', { ip: 'FD00:0:0::1' }));
    expect(ips()).toEqual({ 'shop/a': 'fd00::1' });
  });

  it('tells all pods of a namespace when its labels change, which always have its name', () => {
    const { directory, pods, log } = directoryOf();
    directory.putPod(podOf('a', { ip: '10.0.0.1' }));
    directory.setNamespace('shop', { team: 'one' });
    expect(pods.get('shop/a')?.namespaceLabels).toEqual({ team: 'one', 'kubernetes.io/metadata.name': 'shop' });
    log.length = 0;
    directory.setNamespace('shop', { team: 'one' });
    directory.setNamespace('other', {});
    expect(log).toEqual([]);
  });

  it.each([
    { operator: 'NotIn', values: ['one'] },
    { operator: 'DoesNotExist', values: [] },
  ])('lets a selector with $operator choose no pod before the labels of its namespace are known', (expression) => {
    const { directory, pods } = directoryOf();
    const namespaceSelector = { matchExpressions: [{ key: 'team', ...expression }] };
    const isPeer = (from: object): boolean => {
      const policy = compilePolicy({ metadata: { namespace: 'x', name: 'p' }, spec: { ingress: [{ from: [from] }] } });
      const pod = pods.get('shop/a');
      return pod !== undefined && policy.ingress?.some((rule) => isNamedBy(rule, pod)) === true;
    };
    directory.putPod(podOf('a', { ip: '10.0.0.1' }));
    expect([isPeer({ namespaceSelector }), isPeer({ namespaceSelector: {} })]).toEqual([false, true]);
    directory.setNamespace('shop', { team: 'one' });
    expect([isPeer({ namespaceSelector }), isPeer({ namespaceSelector: {} })]).toEqual([false, true]);
    directory.setNamespace('shop', {});
    expect([isPeer({ namespaceSelector }), isPeer({ namespaceSelector: {} })]).toEqual([true, true]);
  });

  it('keeps nothing of a pod that is gone, whichever word of its end comes first', () => {
    for (const isPodFirst of [true, false]) {
      const { directory } = directoryOf();
      const pod = podOf('a', { ip: '10.0.0.1' });
      directory.setAttachment('file', attachment('a', ['10.0.0.1']));
      directory.putPod(pod);
      if (isPodFirst) directory.removePod(pod);
      directory.setAttachment('file', undefined);
      if (!isPodFirst) directory.removePod(pod);
      expect(Math.max(...directory.sizes)).toBe(0);
    }
  });

  it('knows the named ports of containers and sidecars, but not of other init containers', () => {
    const { directory, pods } = directoryOf();
    const ports = (name: string, containerPort: number) => [
      { name, containerPort, protocol: 'UDP' },
      { containerPort: 1 },
    ];
    directory.putPod(
      podOf('a', {
        spec: {
          containers: [{ name: 'c', image: 'i', ports: ports('one', 1) }],
          initContainers: [
            { name: 's', image: 'i', restartPolicy: 'Always', ports: ports('two', 2) },
            { name: 'i', image: 'i', ports: ports('three', 3) },
          ],
        },
      }),
    );
    expect(pods.get('shop/a')?.ports).toEqual([
      { name: 'one', protocol: 'UDP', port: 1 },
      { name: 'two', protocol: 'UDP', port: 2 },
    ]);
  });
});
