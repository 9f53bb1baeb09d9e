/** A whole kubelet on a fake runtime and a fake API, in a folder of its own: no root, no cgroups, no mounts. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Mounts } from '../../src/adapters/mounts/mounts.ts';
import { NotFoundError } from '../../src/base/errors.ts';
import { type Logger, silentLogger } from '../../src/base/logger.ts';
import type { ApiClient } from '../../src/client/api-client.ts';
import { type KubeletConfig, loadKubeletConfig, parseKubeletFlags } from '../../src/kubelet/config.ts';
import { runKubelet } from '../../src/kubelet/kubelet.ts';
import type { Container, ContainerStatus, Pod, PodSpec } from '../../src/objects/generated/core-v1.ts';
import { FakeApi } from '../fakes/fake-api.ts';
import { type FakeCri, type FakeCriOptions, openFakeCri } from '../fakes/fake-cri.ts';
import { WarpClock } from '../fakes/warp-clock.ts';

export const nodeName = 'node-1';

/** Mounts nothing: volumes are folders of the disk. */
class NoMounts extends Mounts {
  override ensureShared(directory: string): Promise<void> {
    return mkdir(directory, { recursive: true }).then(() => {});
  }
  override mountTmpfs(): Promise<void> {
    return Promise.resolve();
  }
  override unmount(): Promise<void> {
    return Promise.resolve();
  }
  override bindSubPath({ target }: { target: string }): Promise<void> {
    return mkdir(target, { recursive: true }).then(() => {});
  }
  override isMountPoint(): Promise<boolean> {
    return Promise.resolve(false);
  }
}

export interface TestKubelet {
  /** Settles when it has ended; rejects when it could not run. */
  done: Promise<void>;
  stop(): Promise<void>;
}

export class KubeletFixture {
  readonly directory: string;
  readonly cri: FakeCri;
  readonly clock: WarpClock;
  readonly api = new FakeApi();
  /** How many kubelets there were. */
  kubeletsStarted = 0;
  readonly #running = new Set<TestKubelet>();
  readonly #closers: Array<() => Promise<void>> = [];
  readonly #moreConfig: Record<string, unknown>;

  constructor(directory: string, cri: FakeCri, clock: WarpClock, moreConfig: Record<string, unknown> = {}) {
    this.directory = directory;
    this.cri = cri;
    this.clock = clock;
    this.#moreConfig = moreConfig;
  }

  get manifests(): string {
    return join(this.directory, 'manifests');
  }

  /** @param api another API than the fixture's, or none */
  async start({
    api = this.api,
    log = silentLogger,
    endpoint = this.cri.endpoint,
    settings = {},
    mounts = new NoMounts(),
  }: {
    api?: ApiClient | 'none';
    log?: Logger;
    /** Another way to the runtime. */
    endpoint?: string;
    /** More fields of the KubeletConfiguration. */
    settings?: object;
    mounts?: Mounts;
  } = {}): Promise<TestKubelet> {
    this.kubeletsStarted++;
    const stop = new AbortController();
    const config = await this.#config({ containerRuntimeEndpoint: endpoint, ...settings });
    const done = runKubelet(
      {
        config,
        api: api === 'none' ? undefined : api,
        places: {
          cgroups: join(this.directory, 'cgroup'),
          containerLogs: join(this.directory, 'container-logs'),
          mounts,
          systemd: join(this.directory, 'systemd'),
        },
        clock: this.clock,
        log,
      },
      stop.signal,
    );
    const kubelet = {
      done,
      stop: async () => {
        this.#running.delete(kubelet);
        stop.abort();
        await done;
      },
    };
    this.#running.add(kubelet);
    done.catch(() => {}); // `stop` rejects with it
    return kubelet;
  }

  /** Done when the fixture closes, after the kubelets have stopped. */
  onClose(closer: () => Promise<void>): void {
    this.#closers.push(closer);
  }

  async close(): Promise<void> {
    await this.cri.close(); // hung calls end
    for (const kubelet of this.#running) await kubelet.stop();
    for (const closer of this.#closers) await closer();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Waits, with time flying, until the condition holds. */
  until<T>(what: string, look: () => T, withinMs?: number): Promise<Exclude<T, undefined | false>> {
    return this.clock.until(what, look, withinMs);
  }

  /** The pod is Ready on the API. */
  async untilReady(name: string): Promise<Pod> {
    return this.until(`pod "${name}" to be ready`, () => {
      const pod = this.api.pod(name);
      return conditionOf(pod, 'Ready') === 'True' ? pod : undefined;
    });
  }

  async untilGone(name: string, withinMs?: number): Promise<void> {
    await this.until(`pod "${name}" to be gone`, () => this.api.pod(name) === undefined, withinMs);
  }

  container(pod: string, name: string): ContainerStatus | undefined {
    const status = this.api.pod(pod)?.status;
    return [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(
      (c) => c.name === name,
    );
  }

  writeManifest(file: string, pod: unknown): Promise<void> {
    return writeFile(join(this.manifests, file), typeof pod === 'string' ? pod : JSON.stringify(pod));
  }

  #config(settings: object): Promise<KubeletConfig> {
    const path = join(this.directory, 'config.yaml');
    const text = JSON.stringify({
      kind: 'KubeletConfiguration',
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      staticPodPath: this.manifests,
      podLogsDir: join(this.directory, 'pod-logs'),
      failSwapOn: false,
      imageGCHighThresholdPercent: 100, // how full this machine's disk is decides nothing
      resolvConf: '',
      enableServer: false,
      healthzPort: 0,
      cgroupDriver: 'cgroupfs',
      clusterDNS: ['10.96.0.10'],
      clusterDomain: 'cluster.local',
      syncFrequency: '1m0s',
      ...settings,
      ...this.#moreConfig,
    });
    const flags = [
      `--config=${path}`,
      `--hostname-override=${nodeName}`,
      `--root-dir=${join(this.directory, 'root')}`,
      `--cert-dir=${join(this.directory, 'pki')}`,
      '--node-ip=127.0.0.1',
      `--kubeconfig=${join(this.directory, 'kubeconfig')}`,
    ];
    return loadKubeletConfig(parseKubeletFlags(flags), {
      readFile: (name) =>
        name === path ? Promise.resolve(text) : Promise.reject(new NotFoundError(`there is no file "${name}"`)),
      listFiles: () => Promise.resolve([]),
    });
  }
}

/** With the images `web:1` and `init:1` there. @param config more of the kubelet's configuration */
export async function openFixture({
  config,
  cri: criOptions,
}: { config?: Record<string, unknown>; cri?: FakeCriOptions } = {}): Promise<KubeletFixture> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-kubelet-'));
  for (const name of ['cgroup', 'manifests']) await mkdir(join(directory, name));
  await writeFile(join(directory, 'cgroup', 'cgroup.controllers'), 'cpu memory pids\n');
  await writeFile(join(directory, 'cgroup', 'cgroup.subtree_control'), 'cpu memory pids\n');
  const clock = new WarpClock();
  const cri = await openFakeCri({ clock, ...criOptions });
  cri.images.add('web:1');
  cri.images.add('init:1');
  return new KubeletFixture(directory, cri, clock, config);
}

export const webContainer = (more: Partial<Container> = {}): Container => ({ name: 'web', image: 'web:1', ...more });

export function apiPod(name: string, spec: Partial<PodSpec> = {}, metadata: Partial<Pod['metadata']> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', ...metadata },
    spec: { containers: [webContainer()], ...spec },
    status: { phase: 'Pending' },
  };
}

export function conditionOf(pod: Pod | undefined, type: string): string | undefined {
  return pod?.status?.conditions?.find((condition) => condition.type === type)?.status;
}
