import { describe, expect, it } from 'vitest';
import type { EventTarget } from '../client/event-recorder.ts';
import type { Pod } from '../objects/generated/core-v1.ts';
import { nodeEvents, podEvents } from './events.ts';

const pod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'shop', uid: 'uid-1', resourceVersion: '7' },
  spec: { containers: [] },
};
const ofPod = { apiVersion: 'v1', kind: 'Pod', namespace: 'shop', name: 'web', uid: 'uid-1', resourceVersion: '7' };

describe('what events are about', () => {
  const told: Array<[EventTarget, ...string[]]> = [];
  const sink = { record: (...words: [EventTarget, ...string[]]): void => void told.push(words) };
  const events = podEvents(sink);

  it.each([
    { kind: 'regular', path: 'spec.containers{c}' },
    { kind: 'init', path: 'spec.initContainers{c}' },
    { kind: 'sidecar', path: 'spec.initContainers{c}' },
    { kind: 'ephemeral', path: 'spec.ephemeralContainers{c}' },
  ] as const)('a container of kind $kind is $path', ({ kind, path }) => {
    events.container(pod, kind, 'c', 'Warning', 'Failed', 'Error: x');
    expect(told.at(-1)).toEqual([{ ...ofPod, fieldPath: path }, 'Warning', 'Failed', 'Error: x']);
  });

  it('a pod has no field', () => {
    events.pod(pod, 'Normal', 'SandboxChanged', 'm');
    expect(told.at(-1)).toEqual([ofPod, 'Normal', 'SandboxChanged', 'm']);
  });

  it('a static pod has the uid of its file, not that of its mirror', () => {
    const annotations = { 'kubernetes.io/config.source': 'file', 'kubernetes.io/config.hash': 'hash' };
    events.pod({ ...pod, metadata: { name: 'web-node', uid: 'hash', annotations } }, 'Normal', 'Killing', 'm');
    expect(told.at(-1)?.[0]).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      namespace: 'default',
      name: 'web-node',
      uid: 'hash',
    });
  });

  it('a node has its name for a uid', () => {
    nodeEvents(sink, 'n1')('Normal', 'Starting', 'm');
    expect(told.at(-1)?.[0]).toEqual({ apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'n1' });
  });
});
