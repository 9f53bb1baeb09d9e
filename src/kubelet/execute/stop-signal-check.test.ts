import { describe, expect, it } from 'vitest';
import { exited, testContainer, testInstance, testObserved, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { silentLogger } from '../../base/logger.ts';
import { StopSignalCheck, ignoredStopSignals } from './stop-signal-check.ts';

const asking = testPod({ containers: [testContainer('web', { lifecycle: { stopSignal: 'SIGUSR1' } })] });
const ignored = { kind: 'regular', name: 'web', asked: 'SIGUSR1', shown: undefined };

describe('ignoredStopSignals', () => {
  it.each([
    { name: 'a runtime that shows none', observed: testObserved([testInstance('web')]), want: [ignored] },
    {
      name: 'one that shows another',
      observed: testObserved([testInstance('web', { stopSignal: 'SIGTERM' })]),
      want: [{ ...ignored, shown: 'SIGTERM' }],
    },
    {
      name: 'one that shows what was asked for',
      observed: testObserved([testInstance('web', { stopSignal: 'SIGUSR1' })]),
      want: [],
    },
    { name: 'a container that has ended', observed: testObserved([exited('web', 0)]), want: [] },
    { name: 'nothing there yet', observed: undefined, want: [] },
    {
      name: 'a container that asks for none',
      pod: testPod(),
      observed: testObserved([testInstance('web', { stopSignal: 'SIGQUIT' })]),
      want: [],
    },
  ])('$name', ({ pod = asking, observed, want }) => {
    expect(ignoredStopSignals(pod, observed)).toEqual(want);
  });
});

it('tells once of each container, and again of a pod that was gone', () => {
  const said: string[] = [];
  const check = new StopSignalCheck({
    events: { container: (_pod, _kind, name, type, reason, text) => said.push(`${name} ${type} ${reason}: ${text}`) },
    log: silentLogger,
  });
  const observed = testObserved([testInstance('web')]);
  check.look(asking, observed);
  check.look(asking, testObserved([testInstance('web', { attempt: 1 })]));
  expect(said).toEqual([
    'web Warning StopSignalIgnored: Container web asks for the stop signal SIGUSR1, but the container runtime shows none: it may be stopped with another signal',
  ]);
  check.forget('uid-1');
  check.look(asking, observed);
  expect(said).toHaveLength(2);
});
