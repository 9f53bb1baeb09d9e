/** The cgroup driver systemd, with a real systemd as process 1 of a node: slices and values, and that they stay or go. */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findGroup, readCgroupMounts } from '../../src/adapters/cgroup-trees/cgroup-trees.ts';
import { cpuWeightOf } from '../../src/base/cpu-weight.ts';
import { labImages } from '../../src/lab/images/lab-images.ts';
import type { Container, Pod, ResourceRequirements } from '../../src/objects/generated/core-v1.ts';
import { awaitUntil } from '../await-until.ts';
import { type LabOnANode, nodeName, startLab } from '../bench/lab-on-a-node.ts';
import { describeAsRoot } from './support/as-root.ts';
import { PrivateContainerd } from './support/containerd.ts';
import { mainFile } from './support/lab.ts';
import { containerOf, isReady, patienceMs, podOf, shell, untilAsked } from './support/pods.ts';
import type { NodeProcess } from './support/private-node.ts';
import { systemdGroup } from './support/systemd-init.ts';

const mi = 1024 ** 2;
const sliceProcess = fileURLToPath(new URL('support/slice-process.ts', import.meta.url));
const burstable = '/kubepods.slice/kubepods-burstable.slice';
const bestEffort = '/kubepods.slice/kubepods-besteffort.slice';
const staticUid = '0123456789abcdef0123456789abcdef';

const testPod = (name: string, content: string | Container[]): Pod =>
  podOf(name, content, { nodeName, automountServiceAccountToken: false }); // nobody else places it

describeAsRoot('the cgroup driver systemd', () => {
  let containerd: PrivateContainerd;
  let lab: LabOnANode;
  let agent: NodeProcess;
  beforeAll(async () => {
    containerd = await PrivateContainerd.open({ hasSystemd: true });
    lab = await startLab(containerd, [process.execPath, mainFile], 'kubelet', 'systemd');
    agent = lab.agent;
    await kubectl('create', 'serviceaccount', 'default'); // there are no controllers
  }, 120_000);
  afterAll(async () => {
    const group = systemdGroup(containerd.node.directory);
    await containerd.close();
    expect(await findGroup(await readCgroupMounts(), group)).toEqual([]);
  }, 60_000);

  const run = async (...command: string[]): Promise<string> => (await containerd.node.run(command)).stdout.trim();
  const kubectl = (...words: string[]): Promise<string> =>
    run('kubectl', `--kubeconfig=${lab.adminKubeconfig}`, ...words);
  const systemctl = (...words: string[]): Promise<string> => run('systemctl', ...words);
  const podSlices = async (): Promise<string[]> =>
    (await systemctl('list-units', '--all', '--type=slice', '--plain', '--no-legend'))
      .split('\n')
      .map((line) => line.split(' ')[0] ?? '')
      .filter((name) => /^kubepods-.*pod/.test(name));
  const unit = async (name: string, property: string): Promise<string> =>
    systemctl('show', '--value', `--property=${property}`, name);
  const foldersOf = async (path: string): Promise<string[]> =>
    findGroup(await readCgroupMounts(), join(systemdGroup(containerd.node.directory), path));

  async function apply(...pods: Pod[]): Promise<void> {
    const text = pods.map((pod) => JSON.stringify(pod)).join('\n');
    await containerd.node.run(['kubectl', `--kubeconfig=${lab.adminKubeconfig}`, 'apply', '-f', '-'], text);
  }

  async function awaitPod(name: string, fits: (pod: Pod) => boolean = isReady): Promise<Pod> {
    return awaitUntil(
      `pod ${name}`,
      async () => {
        const pod = JSON.parse(await kubectl('get', 'pod', name, '-o', 'json')) as Pod;
        return fits(pod) ? pod : undefined;
      },
      { timeoutMs: patienceMs, periodMs: 100 },
    );
  }

  function sliceOf({ metadata: { uid = '' } }: Pod, parent: string): string {
    const prefix = (parent.split('/').at(-1) ?? '').replace(/\.slice$/, '');
    return `${parent}/${prefix}-pod${uid.replaceAll('-', '_')}.slice`;
  }
  const nameOf = (path: string): string => path.split('/').at(-1) ?? '';

  /** As the kernel has it: weight, quota per period, bytes. Undefined where there is no such file. */
  async function valuesOf(path: string): Promise<Record<string, string>> {
    const files = [
      'cpu.shares',
      'cpu.cfs_quota_us',
      'cpu.cfs_period_us',
      'memory.limit_in_bytes',
      'cpu.weight',
      'cpu.max',
      'memory.max',
      'pids.max',
    ];
    const values: Record<string, string> = {};
    for (const folder of await foldersOf(path)) {
      for (const file of files) {
        const text = await readFile(join(folder, file), 'utf8').catch(() => undefined); // another hierarchy's
        if (text !== undefined) values[file] = text.trim();
      }
    }
    return values;
  }
  async function limitsOf(path: string): Promise<{ weight: number; quota: number; memoryBytes: number }> {
    const v = await valuesOf(path);
    const [quota = '', period = ''] =
      v['cpu.max']?.split(' ') ?? [v['cpu.cfs_quota_us'], v['cpu.cfs_period_us']].map(String);
    const memory = Number(v['memory.max'] ?? v['memory.limit_in_bytes']);
    return {
      weight: Number(v['cpu.weight'] ?? cpuWeightOf(Number(v['cpu.shares']))),
      quota: Number(quota) > 0 ? Number(quota) / Number(period) : Infinity,
      memoryBytes: memory < 2 ** 62 ? memory : Infinity,
    };
  }

  /** Every value of every group of pods. */
  async function everything(): Promise<Record<string, Record<string, string>>> {
    const found: Record<string, Record<string, string>> = {};
    const walk = async (path: string): Promise<void> => {
      found[path] = await valuesOf(path);
      const names = new Set<string>();
      for (const folder of await foldersOf(path)) {
        for (const entry of await readdir(folder, { withFileTypes: true }))
          if (entry.isDirectory()) names.add(entry.name);
      }
      for (const name of names) await walk(`${path}/${name}`);
    };
    await walk('/kubepods.slice');
    return found;
  }

  const requests = (cpu: string, memory: string): ResourceRequirements => ({ requests: { cpu, memory } });
  const fixed = (cpu: string, memory: string): ResourceRequirements => ({
    requests: { cpu, memory },
    limits: { cpu, memory },
  });

  it('puts pods of every class into slices with their limits', async () => {
    await apply(
      testPod('exact', [shell(untilAsked, { resources: fixed('130m', '64Mi') })]),
      testPod('some', [shell(untilAsked, { resources: requests('250m', '32Mi') })]),
      testPod('any', untilAsked),
    );
    const [exact, some, any] = [await awaitPod('exact'), await awaitPod('some'), await awaitPod('any')];
    const slices = [sliceOf(exact, '/kubepods.slice'), sliceOf(some, burstable), sliceOf(any, bestEffort)];
    expect((await podSlices()).toSorted()).toEqual(slices.map(nameOf).toSorted());
    for (const name of ['kubepods.slice', ...slices.map(nameOf), nameOf(burstable), nameOf(bestEffort)]) {
      expect(await unit(name, 'ActiveState')).toBe('active');
    }
    expect(await limitsOf(slices[0] ?? '')).toEqual({ weight: cpuWeightOf(133), quota: 0.13, memoryBytes: 64 * mi });
    expect(await limitsOf(slices[1] ?? '')).toEqual({
      weight: cpuWeightOf(256),
      quota: Infinity,
      memoryBytes: Infinity,
    });
    expect(await limitsOf(slices[2] ?? '')).toEqual({ weight: cpuWeightOf(2), quota: Infinity, memoryBytes: Infinity });
    expect(await limitsOf(burstable)).toMatchObject({ weight: cpuWeightOf(256) });
    expect(await limitsOf(bestEffort)).toMatchObject({ weight: cpuWeightOf(2) });
    expect((await limitsOf('/kubepods.slice')).memoryBytes).toBeLessThan(Infinity);
    expect(await unit(nameOf(slices[0] ?? ''), 'CPUQuotaPerSecUSec')).toBe('130ms');
    for (const [i, pod] of [exact, some, any].entries()) {
      const id = containerOf(pod)?.containerID?.split('//')[1];
      expect(await foldersOf(`${slices[i]}/cri-containerd-${id}.scope`)).not.toEqual([]);
    }
  }, 90_000);

  it('keeps every value through a reload of systemd, and through the death of the kubelet', async () => {
    const before = await everything();
    await systemctl('daemon-reload');
    expect(await everything()).toEqual(before);
    const units = await systemctl('show', 'kubepods*.slice');
    await containerd.node.stop(agent, 'SIGKILL');
    agent = await lab.restartAgent();
    await apply(testPod('later', untilAsked)); // it is at work again
    await awaitPod('later');
    await kubectl('delete', 'pod', 'later', '--wait');
    await awaitUntil('the end of its slice', async () => (await podSlices()).length === 3, { timeoutMs: patienceMs });
    expect(await everything()).toEqual(before);
    expect(await systemctl('show', '--property=InvocationID', 'kubepods*.slice')).toBe(
      units
        .split('\n')
        .filter((line) => line === '' || line.startsWith('InvocationID='))
        .join('\n')
        .replaceAll(/\n{2,}/g, '\n\n')
        .trim(),
    );
  }, 90_000);

  it('resizes a running pod', async () => {
    const exact = await awaitPod('exact');
    const spec = { containers: [{ name: 'main', resources: fixed('200m', '96Mi') }] };
    await kubectl('patch', 'pod', 'exact', '--subresource=resize', '--patch', JSON.stringify({ spec }));
    const grown = await awaitPod('exact', (pod) => containerOf(pod)?.resources?.limits?.['cpu'] === '200m');
    const slice = sliceOf(grown, '/kubepods.slice');
    expect(await limitsOf(slice)).toEqual({ weight: cpuWeightOf(204), quota: 0.2, memoryBytes: 96 * mi });
    expect(await unit(nameOf(slice), 'CPUQuotaPerSecUSec')).toBe('200ms');
    expect(containerOf(grown)?.containerID).toBe(containerOf(exact)?.containerID);
    await systemctl('daemon-reload');
    expect(await limitsOf(slice)).toEqual({ weight: cpuWeightOf(204), quota: 0.2, memoryBytes: 96 * mi });
  }, 90_000);

  it('knows the limits of either version of control groups by their names', async () => {
    const [name, path] = ['gantrytry.slice', '/gantrytry.slice'];
    const limits = {
      cpuShares: 1024,
      cpuQuotaMicros: 12_500,
      cpuPeriodMicros: 50_000,
      memoryLimitBytes: mi,
      pidsMax: 9,
    };
    const slice = (version: string, what: string, wanted: object = {}): Promise<string> =>
      run(process.execPath, sliceProcess, version, what, path, JSON.stringify(wanted));
    for (const version of ['1', '2']) {
      expect(await slice(version, 'start', { memoryLimitBytes: -1 })).toBe('true\nowned true');
      expect(await slice(version, 'start', limits)).toBe('false\nowned true');
      await slice(version, 'limit', limits);
      const named = version === '1' ? ['CPUShares=1024', `MemoryLimit=${mi}`] : ['CPUWeight=39', `MemoryMax=${mi}`];
      const shown = (await systemctl('show', name)).split('\n');
      expect(shown).toEqual(
        expect.arrayContaining([
          ...named,
          'CPUQuotaPerSecUSec=250ms',
          'CPUQuotaPeriodUSec=50ms',
          'TasksMax=9',
          'DefaultDependencies=no',
        ]),
      );
      expect(await slice(version, 'stop')).toBe('owned false');
    }
  }, 60_000);

  it('makes slices again that somebody has stopped, with those above', async () => {
    const [some, any] = [await awaitPod('some'), await awaitPod('any')];
    const again = (before: Pod) => (pod: Pod) =>
      isReady(pod) && containerOf(pod)?.containerID !== containerOf(before)?.containerID;
    const [slice, other] = [sliceOf(some, burstable), sliceOf(any, bestEffort)];
    await systemctl('stop', nameOf(slice), nameOf(bestEffort));
    await awaitPod('some', again(some));
    await awaitPod('any', again(any));
    expect(await limitsOf(slice)).toEqual({ weight: cpuWeightOf(256), quota: Infinity, memoryBytes: Infinity });
    expect(await limitsOf(bestEffort)).toMatchObject({ weight: cpuWeightOf(2) });
    expect(await limitsOf(other)).toMatchObject({ weight: cpuWeightOf(2) });
    for (const path of [slice, bestEffort, other]) expect(await unit(nameOf(path), 'ActiveState')).toBe('active');
  }, 90_000);

  it('runs static pods, and removes what it finds of pods that are gone', async () => {
    const manifest = join(containerd.node.directory, 'manifests', 'still.yaml');
    const orphan = 'kubepods-burstable-pod11111111_2222_3333_4444_555555555555.slice';
    await containerd.node.stop(agent, 'SIGKILL');
    await systemctl('start', orphan);
    const still = podOf('still', untilAsked);
    await writeFile(manifest, JSON.stringify({ ...still, metadata: { name: 'still', uid: staticUid } }));
    agent = await lab.restartAgent();
    const mirror = await awaitPod(`still-${nodeName}`);
    expect(mirror.spec.containers[0]?.image).toBe(labImages.busybox);
    await awaitUntil('the end of the orphan', async () => !(await podSlices()).includes(orphan), {
      timeoutMs: patienceMs,
    });
    expect(await foldersOf(`${burstable}/${orphan}`)).toEqual([]);
    const slice = `${bestEffort}/kubepods-besteffort-pod${staticUid}.slice`;
    expect(await podSlices()).toContain(nameOf(slice));
    await run('rm', manifest);
    await awaitUntil('the end of its slice', async () => !(await podSlices()).includes(nameOf(slice)), {
      timeoutMs: patienceMs,
    });
    expect(await foldersOf(slice)).toEqual([]);
  }, 90_000);

  it('leaves no slice and no group of pods that are deleted', async () => {
    await kubectl('delete', 'pods', '--all', '--wait');
    await awaitUntil('the end of every slice', async () => (await podSlices()).length === 0, { timeoutMs: patienceMs });
    const left = Object.keys(await everything()).toSorted();
    expect(left).toEqual(['/kubepods.slice', bestEffort, burstable]);
  }, 90_000);
});
