/** Pods that the CRI contract makes: named programs in sandboxes, remembered so that all are removed at the end. */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerConfig, Cri, PodSandboxConfig } from '../../src/adapters/cri/cri.ts';
import { awaitUntil } from '../await-until.ts';

/** Programs by the name of their container: what the shell of the image runs; undefined is no program. The fake has the same by name. */
export const programs = {
  /** Ends at SIGTERM with 0. */
  polite: 'trap "exit 0" TERM; touch /up; while :; do sleep 0.05; done',
  /** Hears SIGTERM and goes on. */
  stubborn: 'trap "" TERM; touch /up; while :; do sleep 0.05; done',
  'exits-0': 'sleep 0.2; exit 0',
  'exits-3': 'sleep 0.2; exit 3',
  'cannot-start': undefined,
  talks: 'echo first; echo second; sleep 0.2',
} as const;

export type Program = keyof typeof programs;

interface PodOptions {
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  isHostNetwork?: boolean;
}

interface ContainerOptions {
  attempt?: number;
  image?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  mounts?: NonNullable<ContainerConfig['mounts']>;
}

interface Runtime {
  cri: Cri;
  busyboxImage: string;
  logRoot: string;
  cgroupParent?: string;
}

const signal = new AbortController().signal;

export class TestPod {
  readonly name: string;
  readonly uid: string = randomUUID();
  readonly config: PodSandboxConfig & { log_directory: string };
  #sandboxId = '';
  readonly #runtime: Runtime;
  readonly #onRun: (sandboxId: string) => void;

  constructor(runtime: Runtime, name: string, options: PodOptions, onRun: (sandboxId: string) => void) {
    this.name = name;
    this.#runtime = runtime;
    this.#onRun = onRun;
    this.config = {
      metadata: { name, namespace: 'contract', uid: this.uid, attempt: 0 },
      hostname: options.isHostNetwork ? '' : name,
      log_directory: join(runtime.logRoot, `contract_${name}_${this.uid}`),
      dns_config: { servers: ['10.96.0.10'], searches: ['default.svc.cluster.local'], options: ['ndots:5'] },
      labels: {
        ...options.labels,
        'io.kubernetes.pod.name': name,
        'io.kubernetes.pod.namespace': 'contract',
        'io.kubernetes.pod.uid': this.uid,
      },
      annotations: { ...options.annotations },
      linux: {
        cgroup_parent: runtime.cgroupParent ?? '',
        security_context: {
          namespace_options: { network: options.isHostNetwork ? 'NODE' : 'POD', pid: 'CONTAINER', ipc: 'POD' },
        },
      },
    };
  }

  /** The latest sandbox. */
  get sandboxId(): string {
    return this.#sandboxId;
  }

  async run(attempt = 0): Promise<string> {
    await mkdir(this.config.log_directory, { recursive: true });
    const { metadata } = this.config;
    const config = { ...this.config, metadata: { ...metadata, attempt } };
    this.#sandboxId = await this.#runtime.cri.runPodSandbox(config, '', signal);
    this.#onRun(this.#sandboxId);
    return this.#sandboxId;
  }

  async create(program: Program, options: ContainerOptions = {}): Promise<string> {
    const { attempt = 0, image = this.#runtime.busyboxImage } = options;
    const script = programs[program];
    await mkdir(join(this.config.log_directory, program), { recursive: true });
    return await this.#runtime.cri.createContainer(
      this.#sandboxId,
      {
        metadata: { name: program, attempt },
        image: { image, user_specified_image: image },
        command: script === undefined ? ['/nonexistent'] : ['sh', '-c', script],
        labels: { ...options.labels, 'io.kubernetes.pod.uid': this.uid },
        annotations: { ...options.annotations },
        mounts: options.mounts ?? [],
        log_path: `${program}/${attempt}.log`,
        linux: {},
      },
      this.config,
      signal,
    );
  }

  /** Awaits that the program has set its trap: it makes a file then. */
  async isUp(containerId: string): Promise<void> {
    await awaitUntil('the program', async () => {
      const { exitCode } = await this.#runtime.cri.execSync(containerId, ['test', '-e', '/up'], 10, signal);
      return exitCode === 0;
    });
  }
}

export class PodsUnderTest {
  readonly #runtime: Runtime;
  readonly #sandboxIds: string[] = [];
  #made = 0;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  pod(options: PodOptions = {}): TestPod {
    return new TestPod(this.#runtime, `pod-${this.#made++}`, options, (id) => this.#sandboxIds.push(id));
  }

  /** A pod whose sandbox runs. */
  async started(options: PodOptions = {}): Promise<TestPod> {
    const pod = this.pod(options);
    await pod.run();
    return pod;
  }

  /** A pod with one running container. */
  async running(program: Program): Promise<{ pod: TestPod; containerId: string }> {
    const pod = await this.started();
    const containerId = await pod.create(program);
    await this.#runtime.cri.startContainer(containerId, signal);
    if (program === 'polite' || program === 'stubborn') await pod.isUp(containerId);
    return { pod, containerId };
  }

  async removeAll(): Promise<void> {
    for (const id of this.#sandboxIds) await this.#runtime.cri.removePodSandbox(id, signal);
  }
}
