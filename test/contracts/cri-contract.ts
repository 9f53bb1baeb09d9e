/**
 * What the kubelet relies on in every container runtime, over our own CRI adapter: run on the fake in each build and
 * on a private containerd in e2e. That the messages of proto/ mean what we think is part of it.
 */
import { readFile, rename } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cri } from '../../src/adapters/cri/cri.ts';
import type { CriContainerStatus } from '../../src/adapters/cri/cri-types.ts';
import { isDeadline, isNotFound, isUnimplemented } from '../../src/base/errors.ts';
import { awaitUntil } from '../await-until.ts';
import { PodsUnderTest } from './cri-pods.ts';

/** A runtime to test. The image that `busyboxImage` names is there already and has a shell. */
export interface RuntimeUnderTest {
  cri: Cri;
  busyboxImage: string;
  /** Where pods' logs may lie. */
  logRoot: string;
  /** A file that can be mounted. */
  hostFile: string;
  /** Where pods' control groups go; the runtime's own place when it is left out. */
  cgroupParent?: string;
  /** Stops the runtime and starts it again with the same state; the connection stays. */
  restart: () => Promise<void>;
  close: () => Promise<void>;
}

const missingId = 'f'.repeat(64);
const signal = new AbortController().signal;

/** The error of something that must fail. */
async function failureOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (err) {
    return err;
  }
  throw new Error('expected a failure');
}

export function criContract(name: string, open: () => Promise<RuntimeUnderTest>): void {
  describe(`${name} keeps the CRI contract`, () => {
    let runtime: RuntimeUnderTest;
    let cri: Cri;
    let pods: PodsUnderTest;

    beforeAll(async () => {
      runtime = await open();
      cri = runtime.cri;
      pods = new PodsUnderTest(runtime);
    });
    afterAll(async () => {
      await pods?.removeAll();
      await runtime?.close();
    });

    const ended = (id: string): Promise<CriContainerStatus> =>
      awaitUntil(`the end of container ${id}`, async () => {
        const status = await cri.containerStatus(id, signal);
        return status.state === 'exited' && status;
      });

    describe('the runtime', () => {
      it('says its name and speaks v1', async () => {
        const version = await cri.version(signal);
        expect(version.runtimeName).toMatch(/containerd|cri-o/);
        expect(version.runtimeVersion).toMatch(/\d+\.\d+/);
        expect(version.apiVersion).toMatch(/^v1(\.\d+)?$/);
      });

      it('is ready, and so is its network', async () => {
        const { conditions } = await cri.status(signal);
        expect(conditions.map(({ type, status }) => ({ type, status }))).toEqual(
          expect.arrayContaining([
            { type: 'RuntimeReady', status: true },
            { type: 'NetworkReady', status: true },
          ]),
        );
      });

      it('tells its cgroup driver, or that it cannot', async () => {
        const driver = await cri.cgroupDriver(signal).catch((err: unknown) => {
          if (!isUnimplemented(err)) throw err;
          return 'untold';
        });
        expect(['cgroupfs', 'systemd', 'untold']).toContain(driver);
      });

      it('takes a pod CIDR', async () => {
        await expect(cri.updateRuntimeConfig('10.244.1.0/24', signal)).resolves.toBeUndefined();
      });
    });

    describe('a sandbox', () => {
      it('shows what it was made from', async () => {
        const pod = pods.pod({ labels: { app: 'web' }, annotations: { 'example.org/note': 'ünï "quoted"\nlines' } });
        const beforeMs = Date.now(); // compared with the runtime's own clock
        const id = await pod.run();
        const want = {
          id,
          name: pod.name,
          namespace: 'contract',
          podUid: pod.uid,
          attempt: 0,
          isReady: true,
          labels: pod.config.labels,
          annotations: pod.config.annotations,
          runtimeHandler: '',
        };
        const status = await cri.podSandboxStatus(id, signal);
        expect(status).toMatchObject({ ...want, isHostNetwork: false, hasNetworkStatus: true });
        expect(status.ip).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
        const createdMs = Number(status.createdAtNs / 1_000_000n);
        expect(createdMs).toBeGreaterThan(beforeMs - 1000);
        expect(createdMs).toBeLessThan(Date.now() + 1000);
        const [listed, ...others] = await cri.listPodSandboxes({ podUid: pod.uid }, signal);
        expect(others).toEqual([]);
        expect(listed).toEqual({ ...want, createdAtNs: status.createdAtNs });
      });

      it('has an address of its own', async () => {
        const ids = [await pods.pod().run(), await pods.pod().run()];
        const ips = await Promise.all(ids.map(async (id) => (await cri.podSandboxStatus(id, signal)).ip));
        expect(new Set(ips).size).toBe(2);
      });

      it('on the network of the host has no address', async () => {
        const status = await cri.podSandboxStatus(await pods.pod({ isHostNetwork: true }).run(), signal);
        expect(status).toMatchObject({ ip: '', isHostNetwork: true, isReady: true });
      });

      it('cannot be made twice with the same attempt, but with the next one', async () => {
        const pod = pods.pod();
        await pod.run();
        await failureOf(pod.run());
        const next = await pod.run(1);
        expect((await cri.podSandboxStatus(next, signal)).attempt).toBe(1);
        expect(
          (await cri.listPodSandboxes({ podUid: pod.uid }, signal))
            .map(({ attempt }) => attempt)
            .toSorted((a, b) => a - b),
        ).toEqual([0, 1]);
      });

      it('stops as often as it is asked, and has no address then', async () => {
        const id = await pods.pod().run();
        await cri.stopPodSandbox(id, signal);
        await cri.stopPodSandbox(id, signal);
        expect(await cri.podSandboxStatus(id, signal)).toMatchObject({ isReady: false, ip: '' });
      });

      it('takes its containers along when it stops', async () => {
        const { pod, containerId } = await pods.running('stubborn');
        await cri.stopPodSandbox(pod.sandboxId, signal);
        expect(await ended(containerId)).toMatchObject({ exitCode: 137, reason: 'Error' });
      });

      it('is removed with all that is in it while it runs, as often as it is asked', async () => {
        const { pod, containerId } = await pods.running('stubborn');
        await cri.removePodSandbox(pod.sandboxId, signal);
        await cri.removePodSandbox(pod.sandboxId, signal);
        expect(isNotFound(await failureOf(cri.podSandboxStatus(pod.sandboxId, signal)))).toBe(true);
        expect(isNotFound(await failureOf(cri.containerStatus(containerId, signal)))).toBe(true);
        expect(await cri.listContainers({ podUid: pod.uid }, signal)).toEqual([]);
      });

      it('that never was is not found, and stopped and removed without an error', async () => {
        expect(isNotFound(await failureOf(cri.podSandboxStatus(missingId, signal)))).toBe(true);
        await cri.stopPodSandbox(missingId, signal);
        await cri.removePodSandbox(missingId, signal);
      });

      it('is found by id, state and pod', async () => {
        const [ready, stopped] = [pods.pod(), pods.pod()];
        await ready.run();
        await stopped.run();
        await cri.stopPodSandbox(stopped.sandboxId, signal);
        const ids = async (filter: Parameters<Cri['listPodSandboxes']>[0]): Promise<string[]> =>
          (await cri.listPodSandboxes(filter, signal)).map(({ id }) => id);
        expect(await ids({ id: ready.sandboxId })).toEqual([ready.sandboxId]);
        expect(await ids({ podUid: ready.uid, state: 'SANDBOX_READY' })).toEqual([ready.sandboxId]);
        expect(await ids({ podUid: ready.uid, state: 'SANDBOX_NOTREADY' })).toEqual([]);
        expect(await ids({ podUid: stopped.uid, state: 'SANDBOX_NOTREADY' })).toEqual([stopped.sandboxId]);
        expect(await ids({})).toEqual(expect.arrayContaining([ready.sandboxId, stopped.sandboxId]));
      });
    });

    describe('a container', () => {
      it('goes from created to running to exited, with a time for each', async () => {
        const pod = await pods.started();
        const id = await pod.create('polite');
        const created = await cri.containerStatus(id, signal);
        expect(created).toMatchObject({ state: 'created', startedAtNs: 0n, finishedAtNs: 0n, exitCode: 0 });
        await cri.startContainer(id, signal);
        const running = await cri.containerStatus(id, signal);
        expect(running).toMatchObject({ state: 'running', finishedAtNs: 0n, createdAtNs: created.createdAtNs });
        expect(running.startedAtNs).toBeGreaterThan(running.createdAtNs);
        await pod.isUp(id);
        await cri.stopContainer(id, 10, signal);
        const exited = await cri.containerStatus(id, signal);
        expect(exited).toMatchObject({ state: 'exited', exitCode: 0, reason: 'Completed' });
        expect(exited).toMatchObject({ createdAtNs: running.createdAtNs, startedAtNs: running.startedAtNs });
        expect(exited.finishedAtNs).toBeGreaterThan(exited.startedAtNs);
      });

      it('shows what it was made from', async () => {
        const pod = await pods.started();
        const id = await pod.create('polite', {
          attempt: 7,
          labels: { 'example.org/label': 'x' },
          annotations: { 'io.kubernetes.container.hash': '8e45cbd0' },
          mounts: [{ container_path: '/etc/mounted', host_path: runtime.hostFile, readonly: true }],
        });
        const status = await cri.containerStatus(id, signal);
        expect(status).toMatchObject({
          id,
          name: 'polite',
          attempt: 7,
          labels: { 'io.kubernetes.pod.uid': pod.uid, 'example.org/label': 'x' },
          annotations: { 'io.kubernetes.container.hash': '8e45cbd0' },
          logPath: `${pod.config.log_directory}/polite/7.log`,
        });
        expect(status.mounts).toContainEqual({
          containerPath: '/etc/mounted',
          hostPath: runtime.hostFile,
          readonly: true,
        });
        const image = await cri.imageStatus(runtime.busyboxImage, signal);
        expect(status.image).toBe(image?.repoTags[0]);
        expect([image?.id, ...(image?.repoDigests ?? [])]).toContain(status.imageRef);
        if (status.imageId !== '') expect(status.imageId).toBe(image?.id); // runtimes before 1.29 have no such field
        const [listed, ...others] = await cri.listContainers({ podUid: pod.uid }, signal);
        expect(others).toEqual([]);
        expect(listed).toMatchObject({
          id,
          sandboxId: pod.sandboxId,
          name: 'polite',
          attempt: 7,
          podUid: pod.uid,
          state: 'created',
          labels: status.labels,
          annotations: status.annotations,
          createdAtNs: status.createdAtNs,
          imageRef: image?.id,
        });
      });

      it.each([
        { program: 'exits-0', exitCode: 0, reason: 'Completed' },
        { program: 'exits-3', exitCode: 3, reason: 'Error' },
      ] as const)('that ends by itself with $exitCode is $reason', async ({ program, exitCode, reason }) => {
        const { containerId } = await pods.running(program);
        expect(await ended(containerId)).toMatchObject({ exitCode, reason });
      });

      it('that ignores SIGTERM is killed after its grace', async () => {
        const { containerId } = await pods.running('stubborn');
        const startMs = performance.now();
        await cri.stopContainer(containerId, 1, signal);
        expect(performance.now() - startMs).toBeGreaterThan(900);
        expect(await cri.containerStatus(containerId, signal)).toMatchObject({
          state: 'exited',
          exitCode: 137,
          reason: 'Error',
        });
      });

      it('stopped without a grace is killed at once', async () => {
        const { containerId } = await pods.running('polite');
        await cri.stopContainer(containerId, 0, signal);
        expect(await ended(containerId)).toMatchObject({ exitCode: 137 });
      });

      it('that has ended can be stopped, and shows its first end', async () => {
        const { containerId } = await pods.running('exits-3');
        const first = await ended(containerId);
        await cri.stopContainer(containerId, 1, signal);
        expect(await cri.containerStatus(containerId, signal)).toEqual(first);
      });

      it('cannot be started twice, nor after its end', async () => {
        const { containerId } = await pods.running('exits-0');
        await failureOf(cri.startContainer(containerId, signal));
        await ended(containerId);
        await failureOf(cri.startContainer(containerId, signal));
      });

      it('whose program cannot start has ended with 128, and says why', async () => {
        const pod = await pods.started();
        const id = await pod.create('cannot-start');
        await failureOf(cri.startContainer(id, signal));
        const status = await cri.containerStatus(id, signal);
        expect(status).toMatchObject({ state: 'exited', exitCode: 128, reason: 'StartError', startedAtNs: 0n });
        expect(status.message).toContain('no such file or directory');
        expect(status.finishedAtNs).toBeGreaterThan(status.createdAtNs);
      });

      it('that was not started stays so when it is stopped', async () => {
        const pod = await pods.started();
        const id = await pod.create('polite');
        await cri.stopContainer(id, 1, signal);
        expect(await cri.containerStatus(id, signal)).toMatchObject({ state: 'created', finishedAtNs: 0n });
      });

      it('is removed while it runs, as often as it is asked', async () => {
        const { containerId } = await pods.running('stubborn');
        await cri.removeContainer(containerId, signal);
        await cri.removeContainer(containerId, signal);
        expect(isNotFound(await failureOf(cri.containerStatus(containerId, signal)))).toBe(true);
      });

      it('that never was is not found, and stopped and removed without an error', async () => {
        expect(isNotFound(await failureOf(cri.containerStatus(missingId, signal)))).toBe(true);
        expect(isNotFound(await failureOf(cri.startContainer(missingId, signal)))).toBe(true);
        await cri.stopContainer(missingId, 1, signal);
        await cri.removeContainer(missingId, signal);
      });

      it('needs a running sandbox', async () => {
        const pod = await pods.started();
        const stopped = await pods.started();
        const early = await stopped.create('exits-0');
        await cri.stopPodSandbox(stopped.sandboxId, signal);
        await failureOf(stopped.create('polite'));
        await failureOf(cri.startContainer(early, signal));
        expect(await cri.containerStatus(early, signal)).toMatchObject({ state: 'exited', reason: 'StartError' });
        await cri.removePodSandbox(pod.sandboxId, signal);
        expect(isNotFound(await failureOf(pod.create('polite')))).toBe(true);
      });

      it('needs an image that is there', async () => {
        const pod = await pods.started();
        const failure = await failureOf(pod.create('polite', { image: 'localhost:1/none:1' }));
        expect(isNotFound(failure)).toBe(true);
      });

      it('has its name and attempt for itself until it is removed', async () => {
        const pod = await pods.started();
        const first = await pod.create('polite');
        await failureOf(pod.create('polite'));
        await pod.create('polite', { attempt: 1 });
        await cri.removeContainer(first, signal);
        await pod.create('polite');
      });

      it('is found by id, state, sandbox and pod', async () => {
        const { pod, containerId } = await pods.running('polite');
        const created = await pod.create('exits-0');
        const ids = async (filter: Parameters<Cri['listContainers']>[0]): Promise<string[]> =>
          (await cri.listContainers(filter, signal)).map(({ id }) => id).toSorted();
        const both = [containerId, created].toSorted();
        expect(await ids({ id: created })).toEqual([created]);
        expect(await ids({ podUid: pod.uid })).toEqual(both);
        expect(await ids({ sandboxId: pod.sandboxId })).toEqual(both);
        expect(await ids({ sandboxId: pod.sandboxId, state: 'running' })).toEqual([containerId]);
        expect(await ids({ podUid: pod.uid, state: 'created' })).toEqual([created]);
        expect(await ids({ podUid: pod.uid, state: 'exited' })).toEqual([]);
      });
    });

    describe('a log', () => {
      it('has a line for each line, with time and stream', async () => {
        const { containerId } = await pods.running('talks');
        const { logPath } = await ended(containerId);
        const lines = await awaitUntil('two lines in the log', async () => {
          const all = (await readFile(logPath, 'utf8')).split('\n').filter((line) => line !== '');
          return all.length >= 2 && all;
        });
        const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)`;
        expect(lines[0]).toMatch(new RegExp(`^${time} stdout F first$`));
        expect(lines[1]).toMatch(new RegExp(`^${time} stdout F second$`));
      });

      it('is made again after it was moved away', async () => {
        const { containerId } = await pods.running('polite');
        const { logPath } = await cri.containerStatus(containerId, signal);
        await rename(logPath, `${logPath}.1`);
        await cri.reopenContainerLog(containerId, signal);
        await expect(readFile(logPath, 'utf8')).resolves.toBe('');
      });
    });

    describe('execSync', () => {
      it('gives the code and both streams', async () => {
        const { containerId } = await pods.running('polite');
        const result = await cri.execSync(containerId, ['sh', '-c', 'echo out; echo err >&2; exit 3'], 10, signal);
        expect(result.exitCode).toBe(3);
        expect(result.stdout.toString()).toBe('out\n');
        expect(result.stderr.toString()).toBe('err\n');
      });

      it('ends at its deadline', async () => {
        const { containerId } = await pods.running('polite');
        const failure = await failureOf(cri.execSync(containerId, ['sleep', '60'], 1, signal));
        expect(isDeadline(failure)).toBe(true);
      });

      it('needs a running container', async () => {
        const { containerId } = await pods.running('exits-0');
        await ended(containerId);
        await failureOf(cri.execSync(containerId, ['true'], 1, signal));
        expect(isNotFound(await failureOf(cri.execSync(missingId, ['true'], 1, signal)))).toBe(true);
      });
    });

    describe('images', () => {
      it('are found by name and by id', async () => {
        const byName = await cri.imageStatus(runtime.busyboxImage, signal);
        expect(byName?.id).toMatch(/^sha256:[0-9a-f]{64}$/);
        expect(byName?.repoTags).toContain(runtime.busyboxImage);
        expect(byName?.sizeBytes).toBeGreaterThan(0);
        expect(await cri.imageStatus(byName?.id ?? '', signal)).toEqual(byName);
        expect((await cri.listImages(signal)).map(({ id }) => id)).toContain(byName?.id);
      });

      it('that are not there have no status, and are removed without an error', async () => {
        expect(await cri.imageStatus('localhost:1/none:1', signal)).toBeUndefined();
        await cri.removeImage('localhost:1/none:1', signal);
      });

      it('that nobody has cannot be pulled', async () => {
        await failureOf(cri.pullImage('localhost:1/none:1', {}, undefined, undefined, signal));
      });

      it('lie on a filesystem', async () => {
        const [filesystem] = await awaitUntil('image filesystem figures', async () => {
          const all = await cri.imageFilesystems(signal);
          return all.length > 0 && all;
        });
        expect(filesystem?.mountpoint).toMatch(/^\//);
      });
    });

    it('stats tell of containers that run', async () => {
      const { pod, containerId } = await pods.running('polite');
      const stats = await cri.containerStats(pod.uid, signal);
      expect(stats.map(({ attributes }) => attributes?.id)).toEqual([containerId]);
      expect(Number(stats[0]?.cpu?.timestamp)).toBeGreaterThan(1e18);
    });

    it('events come for every change, or the runtime says that it has none', async () => {
      const stop = new AbortController();
      const seen: string[] = [];
      const listening = (async () => {
        for await (const event of cri.containerEvents(stop.signal)) seen.push(`${event.type} ${event.containerId}`);
      })();
      listening.catch(() => {}); // looked at below
      const { containerId } = await pods.running('exits-0');
      await ended(containerId);
      const hasNone = await Promise.race([
        listening.then(() => false, isUnimplemented),
        awaitUntil('the events', () => seen.includes(`STOPPED ${containerId}`)).then(() => false),
      ]);
      stop.abort();
      if (!hasNone) {
        const ours = seen.filter((event) => event.endsWith(containerId)).map((event) => event.split(' ')[0]);
        expect(ours).toEqual(['CREATED', 'STARTED', 'STOPPED']);
      }
    });

    it('a restart of the runtime leaves everything as it was', async () => {
      const { pod, containerId } = await pods.running('polite');
      const other = await pods.running('exits-3');
      const before = {
        sandbox: await cri.podSandboxStatus(pod.sandboxId, signal),
        running: await cri.containerStatus(containerId, signal),
        exited: await ended(other.containerId),
      };
      await runtime.restart();
      await awaitUntil('the runtime', () => cri.version(signal));
      expect({
        sandbox: await cri.podSandboxStatus(pod.sandboxId, signal),
        running: await cri.containerStatus(containerId, signal),
        exited: await cri.containerStatus(other.containerId, signal),
      }).toEqual(before);
      const { exitCode } = await cri.execSync(containerId, ['true'], 10, signal);
      expect(exitCode).toBe(0);
    });
  });
}
