import { describe, expect, it } from 'vitest';
import { fromRuntimeSignal, toRuntimeSignal } from './stop-signal.ts';

describe('stop signals', () => {
  it.each([
    { name: 'SIGTERM', cri: 'SIGNAL_SIGTERM' },
    { name: 'SIGUSR1', cri: 'SIGNAL_SIGUSR1' },
    { name: 'SIGRTMIN', cri: 'SIGNAL_SIGRTMIN' },
    { name: 'SIGRTMIN+15', cri: 'SIGNAL_SIGRTMINPLUS15' },
    { name: 'SIGRTMAX-14', cri: 'SIGNAL_SIGRTMAXMINUS14' },
    { name: 'SIGRTMAX', cri: 'SIGNAL_SIGRTMAX' },
  ])('$name is $cri, and back', ({ name, cri }) => {
    expect(toRuntimeSignal(name)).toBe(cri);
    expect(fromRuntimeSignal(cri)).toBe(name);
  });

  it.each(['TERM', 'sigterm', 'SIGRTMIN+16', 'SIGRTMAX-15', ''])('nobody knows "%s"', (name) => {
    expect(() => toRuntimeSignal(name)).toThrow(`unknown stop signal "${name}"`);
  });

  it.each(['SIGNAL_RUNTIME_DEFAULT', ''])('"%s" tells nothing', (cri) =>
    expect(fromRuntimeSignal(cri)).toBeUndefined(),
  );
});
