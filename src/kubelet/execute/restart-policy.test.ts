import { describe, expect, it } from 'vitest';
import { testContainer, testInstance, testObserved, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import type { Container } from '../../objects/generated/core-v1.ts';
import type { ContainerKind, ObservedContainer } from '../pod-model.ts';
import { decideInitRestart, decideRestart, isToStartNext, mayRestartAfterKill } from './restart-policy.ts';

type Policy = 'Always' | 'OnFailure' | 'Never';
const rule = (action: string, operator: string, values: number[]) => ({ action, exitCodes: { operator, values } });
const own = (restartPolicy: Policy, ...restartPolicyRules: ReturnType<typeof rule>[]): Partial<Container> => ({
  restartPolicy,
  restartPolicyRules,
});

describe('decideRestart', () => {
  it.each([
    { pod: 'Always', code: 0, want: 'restart' },
    { pod: 'Always', code: 1, want: 'restart' },
    { pod: 'OnFailure', code: 0, want: 'stay' },
    { pod: 'OnFailure', code: 137, want: 'restart' },
    { pod: 'Never', code: 0, want: 'stay' },
    { pod: 'Never', code: 1, want: 'stay' },
    { name: "the container's own policy", pod: 'Never', more: own('OnFailure'), code: 1, want: 'restart' },
    {
      name: 'a rule that lists the code',
      pod: 'Always',
      more: own('Never', rule('Restart', 'In', [42])),
      code: 42,
      want: 'restart',
    },
    {
      name: 'a rule that does not',
      pod: 'Always',
      more: own('Never', rule('Restart', 'In', [42])),
      code: 41,
      want: 'stay',
    },
    {
      name: 'a rule for all other codes',
      pod: 'Always',
      more: own('Never', rule('Restart', 'NotIn', [42])),
      code: 41,
      want: 'restart',
    },
    {
      name: 'the first rule that fits',
      pod: 'Always',
      more: own('Never', rule('RestartAllContainers', 'In', [1]), rule('Restart', 'In', [1])),
      code: 1,
      want: 'restart-all',
    },
    {
      name: 'rules without a policy of its own count for nothing',
      pod: 'Never',
      more: { restartPolicyRules: [rule('Restart', 'In', [1])] },
      code: 1,
      want: 'stay',
    },
  ] as const)('$name $pod, exit $code: $want', ({ pod, code, want, ...row }) => {
    const container = testContainer('web', 'more' in row ? (row.more as Partial<Container>) : {});
    expect(decideRestart(testPod({ restartPolicy: pod }), container, code)).toBe(want);
  });
});

describe('decideInitRestart', () => {
  it.each([
    { name: 'Always means until it succeeds', pod: 'Always', more: {}, code: 1, want: 'restart' },
    { name: 'OnFailure', pod: 'OnFailure', more: {}, code: 1, want: 'restart' },
    { name: 'Never fails the pod', pod: 'Never', more: {}, code: 1, want: 'stay' },
    { name: 'a sidecar always comes back', pod: 'Never', more: own('Always'), code: 0, want: 'restart' },
    { name: 'its own policy', pod: 'Always', more: own('Never'), code: 1, want: 'stay' },
    { name: 'its own rule', pod: 'Always', more: own('Never', rule('Restart', 'In', [3])), code: 3, want: 'restart' },
  ] as const)('$name', ({ pod, more, code, want }) => {
    expect(decideInitRestart(testPod({ restartPolicy: pod }), testContainer('init', more), code)).toBe(want);
  });
});

describe('mayRestartAfterKill', () => {
  it.each([
    { kind: 'regular', pod: 'Always', more: {}, want: true },
    { kind: 'regular', pod: 'OnFailure', more: {}, want: true },
    { kind: 'regular', pod: 'Never', more: {}, want: false },
    { kind: 'regular', pod: 'Never', more: own('OnFailure'), want: true },
    { kind: 'regular', pod: 'Always', more: own('Never', rule('Restart', 'NotIn', [0])), want: false },
    { kind: 'sidecar', pod: 'Never', more: own('Always'), want: true },
    { kind: 'ephemeral', pod: 'Always', more: {}, want: false },
  ] as const)('$kind under $pod: $want', ({ kind, pod, more, want }) => {
    expect(mayRestartAfterKill(testPod({ restartPolicy: pod }), { kind, spec: testContainer('web', more) })).toBe(want);
  });
});

interface Row {
  name: string;
  kind?: ContainerKind;
  state?: ObservedContainer['state'];
  code?: number;
  policy?: Policy;
  isDeleted?: boolean;
  want: boolean;
}

describe('isToStartNext', () => {
  it.each<Row>([
    { name: 'one that never was', want: true },
    { name: 'one that runs', state: 'running', want: false },
    { name: 'one that ended and comes back', state: 'exited', want: true },
    { name: 'one that ended for good', state: 'exited', policy: 'Never', want: false },
    { name: 'one that was made and not started', state: 'created', policy: 'Never', want: true },
    { name: 'one that nobody can tell about', state: 'unknown', policy: 'Never', want: true },
    { name: 'an init container that is through', kind: 'init', state: 'exited', want: false },
    { name: 'an init container that failed', kind: 'init', state: 'exited', code: 1, want: true },
    {
      name: 'an init container that failed for good',
      kind: 'init',
      state: 'exited',
      code: 1,
      policy: 'Never',
      want: false,
    },
    { name: 'a sidecar that ended', kind: 'sidecar', state: 'exited', policy: 'Never', want: true },
    { name: 'an ephemeral container that ended', kind: 'ephemeral', state: 'exited', want: false },
    { name: 'any of a pod that is to go', isDeleted: true, want: false },
  ])('$name: $want', ({ want, kind = 'regular', state, code = 0, policy = 'Always', isDeleted = false }) => {
    const spec = testContainer('a', kind === 'sidecar' ? { restartPolicy: 'Always' } : {});
    const pod = testPod({ restartPolicy: policy }, isDeleted ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {});
    const observed = state === undefined ? undefined : testObserved([testInstance('a', { state, exitCode: code })]);
    expect(isToStartNext(pod, { kind, spec }, observed)).toBe(want);
  });
});
