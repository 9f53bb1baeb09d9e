import { describe, expect, it } from 'vitest';
import { describeFieldErrors } from './field-errors.ts';
import { validatePodSpec } from './pod-validation.ts';

describe('validatePodSpec: stop signals', () => {
  const at = 'spec.containers[0].lifecycle.stopSignal';
  it.each([
    { os: 'linux', stopSignal: 'SIGTERM', want: '' },
    { os: 'linux', stopSignal: 'SIGRTMAX-14', want: '' },
    { os: undefined, stopSignal: undefined, want: '' },
    {
      os: undefined,
      stopSignal: 'SIGTERM',
      want: `${at}: Forbidden: may not be set for containers with empty \`spec.os.name\``,
    },
    { os: 'linux', stopSignal: 'TERM', want: `${at}: Unsupported value: "TERM": supported values: "SIGABRT", ` },
  ])('$os, $stopSignal', ({ os, stopSignal, want }) => {
    const errors = validatePodSpec(
      {
        ...(os === undefined ? {} : { os: { name: os } }),
        containers: [{ name: 'web', image: 'x', lifecycle: { stopSignal } }],
      },
      'spec',
    );
    const text = errors.length === 0 ? '' : describeFieldErrors(errors);
    expect(text.slice(0, want.length || undefined)).toBe(want);
  });
});

describe('validatePodSpec: user namespaces', () => {
  const network = 'spec.hostNetwork: Forbidden: when `hostUsers` is false';
  const pid = 'spec.hostPID: Forbidden: when `hostUsers` is false';
  const ipc = 'spec.hostIPC: Forbidden: when `hostUsers` is false';
  it.each([
    { spec: { hostUsers: false }, want: [] },
    { spec: { hostUsers: false, hostNetwork: false, hostPID: false, hostIPC: false }, want: [] },
    { spec: { hostUsers: true, hostNetwork: true, hostPID: true, hostIPC: true }, want: [] },
    { spec: { hostNetwork: true, hostPID: true, hostIPC: true }, want: [] },
    { spec: { hostUsers: false, hostNetwork: true }, want: [network] },
    { spec: { hostUsers: false, hostPID: true }, want: [pid] },
    { spec: { hostUsers: false, hostIPC: true }, want: [ipc] },
    { spec: { hostUsers: false, hostNetwork: true, hostPID: true, hostIPC: true }, want: [network, pid, ipc] },
  ])('$spec', ({ spec, want }) => {
    const errors = validatePodSpec({ ...spec, containers: [{ name: 'web', image: 'x' }] }, 'spec');
    expect(errors.map((error) => `${error.field}: ${error.phrase}`)).toEqual(want);
  });
});
