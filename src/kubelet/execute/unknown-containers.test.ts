import { describe, expect, it } from 'vitest';
import { testInstance, testObserved } from '../../../test/fixtures/kubelet-pods.ts';
import { FakeClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { ContainerKiller } from './container-kill.ts';
import { UnknownContainers } from './unknown-containers.ts';

function world() {
  const calls: string[] = [];
  /** Whether more of the pod was still ending, each time that one had ended. */
  const ended: boolean[] = [];
  const stuck = Promise.withResolvers<void>();
  const annotations = {
    'io.kubernetes.pod.terminationGracePeriod': '40',
    'io.kubernetes.container.preStopHandler': JSON.stringify({ exec: { command: ['bye'] } }),
  };
  let observed = testObserved(
    ['stuck', 'bare', 'fails', 'web'].map((name) =>
      testInstance(name, { id: name, state: 'unknown', annotations: name === 'web' ? annotations : {} }),
    ),
  );
  const killer = new ContainerKiller({
    cri: {
      stopContainer: (id, timeout) => {
        calls.push(`stop ${id} ${timeout}`);
        if (id === 'fails') return Promise.reject(new Error('busy'));
        return id === 'stuck' ? stuck.promise : Promise.resolve();
      },
      stopPodSandbox: () => Promise.resolve(),
      execSync: (id, command) => {
        calls.push(`exec ${id} ${command.join(' ')}`);
        return Promise.resolve({ exitCode: 0, stdout: Buffer.from(''), stderr: Buffer.from('') });
      },
    },
    events: {
      pod: () => {},
      container: (_, __, name, type, reason, message) => calls.push(`${type} ${reason} ${name}: ${message}`),
    },
    phases: { span: (_, __, work) => work() },
    clock: new FakeClock(),
    log: silentLogger,
  });
  const unknown: UnknownContainers = new UnknownContainers({
    observed: () => observed,
    killer,
    remove: ({ id }) => Promise.resolve(void calls.push(`remove ${id}`)),
    onEnded: (uid) => ended.push(unknown.isEnding(uid)),
    log: silentLogger,
  });
  const stop = new AbortController();
  const end = (id: string): void => unknown.end({ uid: 'uid-1', id, logPath: '', isUnknown: true }, stop.signal);
  return { calls, ended, stuck, unknown, end, see: (pod: typeof observed) => (observed = pod) };
}

const killing = (name: string): string =>
  `Normal Killing ${name}: Container is in unknown state, try killing before removal`;

describe('UnknownContainers', () => {
  it('gives each what it was started with, and lets nobody wait for one that does not stop', async () => {
    const { calls, ended, stuck, unknown, end } = world();
    for (const id of ['stuck', 'web', 'stuck', 'bare']) end(id);
    await expect.poll(() => calls.filter((call) => call.startsWith('remove')).length).toBe(2);
    expect(calls.filter((call) => call.includes('stuck'))).toEqual([killing('stuck'), 'stop stuck 2']);
    expect(calls.filter((call) => call.includes('web'))).toEqual([
      killing('web'),
      'exec web bye',
      'stop web 40',
      'remove web',
    ]);
    expect(calls.filter((call) => call.includes('bare'))).toEqual([killing('bare'), 'stop bare 2', 'remove bare']);
    expect(unknown.isEnding('uid-1')).toBe(true);
    stuck.resolve();
    await unknown.whenIdle();
    expect(calls.at(-1)).toBe('remove stuck');
    expect(ended).toEqual([true, true, false]);
  });

  it('removes nothing that did not stop, and tries it again when asked', async () => {
    const { calls, unknown, end } = world();
    for (const want of [1, 2]) {
      end('fails');
      await unknown.whenIdle();
      expect(calls.filter((call) => call === 'stop fails 2')).toHaveLength(want);
    }
    expect(calls).not.toContain('remove fails');
  });

  it('leaves alone what is known by now', async () => {
    const { calls, unknown, end, see } = world();
    see(testObserved([testInstance('web', { id: 'web' })]));
    end('web');
    await unknown.whenIdle();
    expect(calls).toEqual([]);
  });
});
