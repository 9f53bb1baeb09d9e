import { describe, expect, it } from 'vitest';
import { FakeClock, rfc3339Seconds } from '../../../base/clock.ts';
import { DeadlineError } from '../../../base/errors.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { Container, ContainerStatus, Pod, PodStatus } from '../../../objects/generated/core-v1.ts';
import { Probes } from './probes.ts';

const exec = { exec: { command: ['check'] } };

/** One pod `p` with one container `web`, whose probes all run the command `check`. */
class World {
  readonly clock = new FakeClock(Date.parse('2026-01-01T00:00:00Z'));
  readonly kubeletStartedMs = this.clock.nowMs();
  readonly results: string[] = [];
  readonly events: string[] = [];
  readonly stop = new AbortController();
  attempts = 0;
  answer: () => Promise<number> = () => Promise.resolve(0);
  status: PodStatus | undefined;
  readonly pod: Pod;
  readonly probes: Probes;
  readonly run: Promise<void>;

  constructor(container: Partial<Container>) {
    this.pod = {
      metadata: { name: 'p', namespace: 'n', uid: 'u' },
      spec: { containers: [{ name: 'web', image: 'web', ...container }], restartPolicy: 'Always' },
    };
    this.probes = new Probes({
      podStatus: () => this.status,
      execSync: async () => {
        this.attempts++;
        return { exitCode: await this.answer(), stdout: Buffer.from('out'), stderr: Buffer.from('err') };
      },
      onResult: ({ container: name, containerId, kind, result }) =>
        this.results.push(`${name} ${containerId} ${kind} ${result}`),
      event: (_pod, fieldPath, { reason, message }) => this.events.push(`${fieldPath} ${reason} ${message}`),
      kubeletStartedMs: this.kubeletStartedMs,
      random: () => 0.5,
      clock: this.clock,
      log: silentLogger,
    });
    this.run = this.probes.run(this.stop.signal);
  }

  runs(id: string, more: Partial<ContainerStatus> = {}, startedMs = this.clock.nowMs()): void {
    const state = { running: { startedAt: rfc3339Seconds(startedMs) } };
    const web: ContainerStatus = {
      name: 'web',
      image: '',
      imageID: '',
      ready: false,
      restartCount: 0,
      started: true,
      containerID: `x://${id}`,
      state,
      ...more,
    };
    this.status = { phase: 'Running', containerStatuses: [web] };
  }

  async end(): Promise<void> {
    this.stop.abort();
    await this.run;
  }
}

describe('Probes', () => {
  it('tells readiness after its threshold, and again when it is lost', async () => {
    const w = new World({ readinessProbe: { ...exec, periodSeconds: 5, successThreshold: 2, failureThreshold: 2 } });
    w.runs('a');
    w.probes.addPod(w.pod);
    await w.clock.advance(0);
    expect(w.probes.readiness('x://a')).toBe('failure');
    await w.clock.advance(5000);
    expect(w.probes.readiness('a')).toBe('success');
    w.answer = () => Promise.resolve(1);
    await w.clock.advance(5000);
    expect(w.probes.readiness('a')).toBe('success');
    await w.clock.advance(5000);
    expect(w.results).toEqual(['web a readiness failure', 'web a readiness success', 'web a readiness failure']);
    expect(w.events).toEqual(Array(2).fill('spec.containers{web} Unhealthy Readiness probe failed: outerr'));
    expect(await w.probes.metrics()).toContain('result="successful",pod_uid="u"} 2');
    await w.end();
  });

  it('holds after liveness has failed, until there is a new container', async () => {
    const w = new World({ livenessProbe: { ...exec, periodSeconds: 1, failureThreshold: 2 } });
    w.runs('a');
    w.answer = () => Promise.resolve(1);
    w.probes.addPod(w.pod);
    await w.clock.advance(10_000);
    expect(w.attempts).toBe(2);
    expect(w.probes.liveness('a')).toBe('failure');
    w.runs('b');
    w.answer = () => Promise.resolve(0);
    await w.clock.advance(1000);
    expect(w.probes.liveness('a')).toBeUndefined();
    expect(w.probes.liveness('b')).toBe('success');
    expect(w.results).toEqual(['web a liveness success', 'web a liveness failure', 'web b liveness success']);
    await w.end();
  });

  it('asks nothing but startup until that has succeeded', async () => {
    const w = new World({ startupProbe: { ...exec, periodSeconds: 1 }, livenessProbe: { ...exec, periodSeconds: 1 } });
    w.answer = () => Promise.resolve(1);
    w.runs('a', { started: false });
    w.probes.addPod(w.pod);
    await w.clock.advance(1000);
    expect(w.probes.startup('a')).toBe('unknown');
    w.answer = () => Promise.resolve(0);
    await w.clock.advance(1000);
    expect(w.probes.startup('a')).toBe('success');
    expect(w.attempts).toBe(3);
    w.runs('a', { started: true });
    await w.clock.advance(1000);
    expect(w.attempts).toBe(4); // liveness now, startup no more
    await w.end();
  });

  it('repeats an attempt that goes wrong, and counts it for nothing', async () => {
    const w = new World({ livenessProbe: { ...exec, periodSeconds: 1, failureThreshold: 1 } });
    w.runs('a');
    w.answer = () => Promise.reject(new Error('runtime away'));
    w.probes.addPod(w.pod);
    await w.clock.advance(0);
    expect(w.attempts).toBe(3);
    expect(w.probes.liveness('a')).toBe('success');
    expect(w.events).toEqual([
      'spec.containers{web} Unhealthy Liveness probe errored and resulted in unknown state: runtime away',
    ]);
    w.answer = () => Promise.reject(new DeadlineError('ExecSync failed'));
    await w.clock.advance(1000);
    expect(w.probes.liveness('a')).toBe('failure');
    expect(w.events[1]).toContain('Liveness probe failed: command timed out: "check" timed out after 1s');
    await w.end();
  });

  it('asks readiness at once when a status without it is stored', async () => {
    const w = new World({ readinessProbe: { ...exec, periodSeconds: 60 } });
    w.probes.addPod(w.pod);
    await w.clock.advance(1000);
    expect(w.attempts).toBe(0);
    w.runs('a');
    w.probes.statusChanged('u');
    await w.clock.advance(0);
    expect(w.probes.readiness('a')).toBe('success');
    w.runs('a', { ready: true });
    w.probes.statusChanged('u'); // ready: nothing to hurry
    await w.clock.advance(59_000);
    expect(w.attempts).toBe(1); // the period started anew
    await w.clock.advance(1000);
    expect(w.attempts).toBe(2);
    await w.end();
  });

  it('keeps what a container from before our start was, and spreads the first attempts', async () => {
    const w = new World({ startupProbe: exec, readinessProbe: exec, livenessProbe: exec });
    w.runs('a', { ready: true }, w.kubeletStartedMs - 3000);
    w.probes.addPod(w.pod);
    await w.clock.advance(4000);
    expect(w.attempts).toBe(0);
    expect(w.results).toEqual([]);
    await w.clock.advance(1000);
    expect(w.attempts).toBe(2); // readiness and liveness; startup is over
    expect(w.results).toEqual(['web a liveness success', 'web a readiness success']);
    await w.end();
  });

  it('a hung probe holds up nobody else, and missed periods count once', async () => {
    const w = new World({
      livenessProbe: { ...exec, periodSeconds: 1 },
      readinessProbe: { ...exec, periodSeconds: 1 },
    });
    w.runs('a');
    const hung = Promise.withResolvers<number>();
    w.answer = () => (w.attempts === 1 ? hung.promise : Promise.resolve(0));
    w.probes.addPod(w.pod);
    await w.clock.advance(3500);
    expect(w.attempts).toBe(1 + 4);
    hung.resolve(0);
    await w.clock.advance(0);
    expect(w.attempts).toBe(1 + 4 + 1);
    await w.clock.advance(500);
    expect(w.attempts).toBe(1 + 4 + 1 + 2);
    await w.end();
  });

  it('asks sidecars of a pod that ends on', async () => {
    const w = new World({ livenessProbe: { ...exec, periodSeconds: 1 } });
    w.runs('a');
    const initContainers = w.pod.spec.containers.map((spec) => ({ ...spec, restartPolicy: 'Always' }));
    w.probes.addPod({ ...w.pod, spec: { containers: [], initContainers } });
    await w.clock.advance(0);
    w.probes.stopLivenessAndStartup('u');
    await w.clock.advance(2000);
    expect(w.attempts).toBe(1 + 2);
    await w.end();
  });

  it('stops liveness for a pod that ends, and everything when it is removed', async () => {
    const w = new World({
      livenessProbe: { ...exec, periodSeconds: 1 },
      readinessProbe: { ...exec, periodSeconds: 1 },
    });
    w.runs('a');
    w.probes.addPod(w.pod);
    await w.clock.advance(0);
    w.probes.stopLivenessAndStartup('u');
    w.probes.addPod(w.pod);
    await w.clock.advance(2000);
    expect(w.attempts).toBe(2 + 2);
    expect(w.probes.liveness('a')).toBe('success');
    w.probes.removePod('u');
    await w.clock.advance(2000);
    expect(w.attempts).toBe(2 + 2);
    expect(w.probes.readiness('a')).toBeUndefined();
    expect(w.clock.sleeping).toBe(0);
    await w.end();
  });

  it('probes begin with run', async () => {
    const clock = new FakeClock();
    let attempts = 0;
    const pod: Pod = {
      metadata: { name: 'p', uid: 'u' },
      spec: { containers: [{ name: 'web', image: '', livenessProbe: exec }] },
    };
    const probes = new Probes({
      podStatus: () => {
        attempts++;
        return undefined;
      },
      execSync: () => Promise.reject(new Error('not expected')),
      onResult: () => {},
      event: () => {},
      kubeletStartedMs: 0,
      clock,
      log: silentLogger,
    });
    probes.addPod(pod);
    await clock.advance(20_000);
    expect(attempts).toBe(0);
    const stop = new AbortController();
    const run = probes.run(stop.signal);
    await clock.advance(0);
    expect(attempts).toBe(1);
    stop.abort();
    await run;
  });
});
