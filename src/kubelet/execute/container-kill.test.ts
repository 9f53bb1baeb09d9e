import { beforeEach, describe, expect, it } from 'vitest';
import {
  exited,
  testContainer,
  testInstance,
  testObserved,
  testPod,
  testSandbox,
} from '../../../test/fixtures/kubelet-pods.ts';
import { FakeClock } from '../../base/clock.ts';
import { RpcError } from '../../base/grpc.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import type { ObservedPod } from '../pod-model.ts';
import { ContainerKiller } from './container-kill.ts';

const signal = new AbortController().signal;
let clock: FakeClock;
let calls: string[];
let execSeconds: number;
let stopSeconds: Record<string, number>;
let stuckSandbox: string | undefined;
let killer: ContainerKiller;

beforeEach(() => {
  clock = new FakeClock();
  calls = [];
  execSeconds = 0;
  stopSeconds = {};
  stuckSandbox = undefined;
  const startMs = clock.nowMs();
  const at = (): string => `${(clock.nowMs() - startMs) / 1000}s`;
  killer = new ContainerKiller({
    cri: {
      stopContainer: async (id, timeout) => {
        calls.push(`${at()} stop ${id} ${timeout}`);
        await clock.sleep((stopSeconds[id] ?? 0) * 1000, signal);
        if (stopSeconds[id] === -1) throw new Error(`${id} is stuck`);
      },
      stopPodSandbox: (id) => {
        calls.push(`${at()} stop sandbox ${id}`);
        if (id !== stuckSandbox) return Promise.resolve();
        return Promise.reject(new Error('Cannot stop it', { cause: new RpcError('Unknown', 'no network') }));
      },
      execSync: async (id, command) => {
        calls.push(`${at()} exec ${id} ${command.join(' ')}`);
        await clock.sleep(execSeconds * 1000, signal);
        return { exitCode: execSeconds < 0 ? 1 : 0, stdout: Buffer.from(''), stderr: Buffer.from('') };
      },
    },
    events: {
      pod: () => {},
      container: (_, kind, name, type, reason, message) =>
        calls.push(`${at()} ${type} ${reason} ${kind} ${name}: ${message}`),
    },
    phases: { span: (_, __, work) => work() },
    clock,
    log: silentLogger,
  });
});

async function killPod(pod: Pod, observed: ObservedPod, grace: number | undefined): Promise<string[]> {
  const done = killer.killPod(pod, observed, grace, signal).catch((err: Error) => calls.push(`failed: ${err.message}`));
  await clock.advance(100_000);
  await done;
  return calls;
}

const preStop = { lifecycle: { preStop: { exec: { command: ['bye'] } } } };

describe('killPod', () => {
  it('says so, stops the container, then every sandbox', async () => {
    expect(
      await killPod(
        testPod(),
        testObserved([testInstance('web'), exited('old', 0)], [testSandbox(), testSandbox({ id: 's2' })]),
        7,
      ),
    ).toEqual([
      '0s Normal Killing regular web: Stopping container web',
      '0s stop web-0 7',
      '0s stop sandbox sandbox-0',
      '0s stop sandbox s2',
    ]);
  });

  it.each([{ grace: 0 }, { grace: 1 }])('never stops with less than 2 s: $grace', async ({ grace }) => {
    expect(await killPod(testPod(), testObserved([testInstance('web')]), grace)).toContain('0s stop web-0 2');
  });

  it('runs preStop first and takes its whole seconds off the grace', async () => {
    execSeconds = 3.9;
    expect(
      (
        await killPod(testPod({ containers: [testContainer('web', preStop)] }), testObserved([testInstance('web')]), 10)
      ).slice(1, 3),
    ).toEqual(['0s exec web-0 bye', '3.9s stop web-0 7']);
  });

  it('waits for preStop no longer than the grace', async () => {
    execSeconds = 60;
    expect(
      (
        await killPod(testPod({ containers: [testContainer('web', preStop)] }), testObserved([testInstance('web')]), 10)
      )[2],
    ).toBe('10s stop web-0 2');
  });

  it('runs no preStop without grace, or in a container that does not run', async () => {
    const pod = testPod({ containers: [testContainer('web', preStop)] });
    expect(await killPod(pod, testObserved([testInstance('web')]), 0)).not.toContainEqual(
      expect.stringContaining('exec'),
    );
    expect(await killPod(pod, testObserved([testInstance('web', { state: 'created' })]), 9)).not.toContainEqual(
      expect.stringContaining('exec'),
    );
  });

  it('a failed preStop is told, and the stop goes on', async () => {
    execSeconds = -1;
    expect(
      (
        await killPod(testPod({ containers: [testContainer('web', preStop)] }), testObserved([testInstance('web')]), 10)
      ).slice(2, 4),
    ).toEqual(['0s Warning FailedPreStopHook regular web: PreStopHook failed', '0s stop web-0 10']);
  });

  it('takes the preStop of a pod that is no longer known from the container', async () => {
    const observed = testObserved([
      testInstance('web', {
        annotations: { 'io.kubernetes.container.preStopHandler': '{"exec":{"command":["left"]}}' },
      }),
    ]);
    expect((await killPod(testPod({ containers: [] }), observed, 5))[1]).toBe('0s exec web-0 left');
    calls.length = 0;
    expect(
      await killPod(
        testPod({ containers: [] }),
        testObserved([testInstance('web', { annotations: { 'io.kubernetes.container.preStopHandler': '{' } })]),
        5,
      ),
    ).toContainEqual(expect.stringContaining('stop web-0 5'));
  });

  it('stops all at once, sidecars last and in reverse, within their grace', async () => {
    const pod = testPod({
      initContainers: [
        testContainer('s1', { restartPolicy: 'Always' }),
        testContainer('s2', { restartPolicy: 'Always' }),
      ],
      containers: [testContainer('a'), testContainer('b')],
    });
    stopSeconds = { 'a-0': 1, 'b-0': 4, 's2-0': 2 };
    const seen = await killPod(pod, testObserved(['s1', 's2', 'a', 'b'].map((name) => testInstance(name))), 30);
    expect(seen.filter((line) => line.includes('Killing')).map((line) => line.slice(0, 2))).toEqual([
      '0s',
      '0s',
      '0s',
      '0s',
    ]);
    expect(seen.filter((line) => line.includes(' stop '))).toEqual([
      '0s stop a-0 30',
      '0s stop b-0 30',
      '4s stop s2-0 26',
      '6s stop s1-0 24',
      '6s stop sandbox sandbox-0',
    ]);
  });

  it('a sidecar does not wait longer than the grace', async () => {
    const pod = testPod({
      initContainers: [testContainer('s1', { restartPolicy: 'Always' })],
      containers: [testContainer('a')],
    });
    stopSeconds = { 'a-0': 50 };
    expect(await killPod(pod, testObserved([testInstance('s1'), testInstance('a')]), 5)).toContain('5s stop s1-0 2');
  });

  it('what cannot be stopped fails the whole, after the rest was, and each is named', async () => {
    stopSeconds = { 'a-0': -1 };
    stuckSandbox = 'sandbox-0';
    const seen = await killPod(
      testPod({ containers: [testContainer('a'), testContainer('b')] }),
      testObserved([testInstance('a'), testInstance('b')], [testSandbox(), testSandbox({ id: 's2' })]),
      5,
    );
    expect(seen).toContain('0s stop b-0 5');
    expect(seen.slice(-3)).toEqual([
      '0s stop sandbox sandbox-0',
      '0s stop sandbox s2',
      'failed: [failed to "KillContainer" for "a" with KillContainerError: "a-0 is stuck", ' +
        'failed to "KillPodSandbox" for "uid-1" with KillPodSandboxError: "rpc error: code = Unknown desc = no network"]',
    ]);
  });
});

describe('killContainer', () => {
  it.each([
    { cause: 'liveness', want: 3 },
    { cause: 'other', want: 30 },
  ] as const)('takes the grace of its cause: $cause', async ({ cause, want }) => {
    const pod = testPod({
      containers: [testContainer('web', { livenessProbe: { terminationGracePeriodSeconds: 3 } })],
    });
    const done = killer.killContainer(
      pod,
      testObserved([testInstance('web')]),
      { containerId: 'web-0', name: 'web', message: 'why', cause },
      signal,
    );
    await clock.advance(0);
    await done;
    expect(calls).toEqual(['0s Normal Killing regular web: why', `0s stop web-0 ${want}`]);
  });
});
