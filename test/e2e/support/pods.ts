/** Pods for tests: made of busybox, read back through kubectl. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { labImages } from '../../../src/lab/images/lab-images.ts';
import type { Container, ContainerStatus, Event, Pod, PodSpec } from '../../../src/objects/generated/core-v1.ts';
import { eventually } from './lab.ts';
import type { TestLab } from './lab.ts';

export interface List<T> {
  items: T[];
}

/** What a test waits for on a machine that does ten things at once. */
export const patienceMs = 90_000;

/** A shell as process 1 ignores what it has no handler for: with this one a container ends as it is asked to. */
export const untilAsked = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

/** A container that runs a shell script. */
export function shell(script: string, more: Partial<Container> = {}): Container {
  return { name: 'main', image: labImages.busybox, command: ['sh', '-c', script], ...more };
}

/** A pod of one script or of given containers, with a short grace period. */
export function podOf(name: string, content: string | Container[], spec: Partial<PodSpec> = {}): Pod {
  const containers = typeof content === 'string' ? [shell(content)] : content;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { terminationGracePeriodSeconds: 1, containers, ...spec },
  };
}

/** Applies objects in one call. */
export function applyObjects(lab: TestLab, ...objects: object[]): Promise<string> {
  return lab.apply(objects.map((object) => JSON.stringify(object)).join('\n'));
}

export function getPod(lab: TestLab, name: string): Promise<Pod> {
  return lab.kubectlJson<Pod>('get', 'pod', name);
}

/** The first picture of a pod that fits. @throws {Error} with the last status when none came */
export async function awaitPod(
  lab: TestLab,
  name: string,
  what: string,
  fits: (pod: Pod) => boolean,
  timeoutMs = patienceMs,
): Promise<Pod> {
  let last: Pod | undefined;
  try {
    return await eventually(`${what} of pod ${name}`, timeoutMs, async () => {
      last = await getPod(lab, name);
      return fits(last) ? last : undefined;
    });
  } catch (err) {
    throw new Error(`pod ${name}: no ${what}; its status: ${JSON.stringify(last?.status)}`, { cause: err });
  }
}

export function isReady(pod: Pod): boolean {
  return conditionOf(pod, 'Ready') === 'True';
}

export function conditionOf(pod: Pod, wanted: string): string | undefined {
  return pod.status?.conditions?.find(({ type }) => type === wanted)?.status;
}

export function awaitReady(lab: TestLab, name: string): Promise<Pod> {
  return awaitPod(lab, name, 'readiness', isReady);
}

export function awaitPhase(lab: TestLab, name: string, phase: string): Promise<Pod> {
  return awaitPod(lab, name, `phase ${phase}`, (pod) => pod.status?.phase === phase);
}

/** The status of a container, init container or sidecar. */
export function containerOf(pod: Pod, name = 'main'): ContainerStatus | undefined {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  return [...containerStatuses, ...initContainerStatuses].find((status) => status.name === name);
}

export async function awaitGone(lab: TestLab, name: string): Promise<void> {
  await eventually(`the end of pod ${name}`, patienceMs, async () => {
    const { code, stderr } = await lab.tryKubectl('get', 'pod', name);
    return code !== 0 && stderr.includes('NotFound') ? true : undefined;
  });
}

export async function eventsOf(lab: TestLab, name: string): Promise<Event[]> {
  return (await lab.kubectlJson<List<Event>>('get', 'events', '--field-selector', `involvedObject.name=${name}`)).items;
}

/** Events go out beside the status and may come later. */
export function awaitEvent(lab: TestLab, name: string, reason: string, words: string | RegExp = ''): Promise<Event> {
  return eventually(`event ${reason} (${String(words)}) of ${name}`, patienceMs, async () =>
    (await eventsOf(lab, name)).find(
      (event) =>
        event.reason === reason &&
        (typeof words === 'string' ? event.message?.includes(words) : words.test(event.message ?? '')),
    ),
  );
}

/** Runs a script in a pod's container. */
export function inPod(lab: TestLab, name: string, script: string, container = 'main'): Promise<string> {
  return lab.kubectl('exec', name, '-c', container, '--', 'sh', '-c', script);
}

/** A process that runs beside a test: what it says is collected. Whoever starts it closes it. */
export class Follower {
  /** Standard output and standard error. */
  output = '';
  /** Undefined until it has ended; null when it was killed. */
  exitCode: number | null | undefined;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    child.stdin?.on('error', () => {}); // it may have ended before it reads
    child.once('close', (code) => (this.exitCode = code));
    child.once('error', (err) => {
      this.output += err.message;
      this.exitCode ??= null;
    });
  }

  static kubectl(lab: TestLab, ...args: string[]): Follower {
    return new Follower(lab.startKubectl(...args));
  }

  /** kubectl on a terminal of its own, of 33 rows and 101 columns. */
  static onTerminal(lab: TestLab, ...args: string[]): Follower {
    const words = ['kubectl', '--kubeconfig', lab.kubeconfig, ...args].map(quote).join(' ');
    return new Follower(spawn('script', ['-qec', `stty rows 33 cols 101; ${words}`, '/dev/null']));
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  async until(words: string | RegExp, timeoutMs = patienceMs): Promise<RegExpMatchArray> {
    const pattern = typeof words === 'string' ? new RegExp(words.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')) : words;
    try {
      return await eventually(`"${String(words)}"`, timeoutMs, () =>
        Promise.resolve(this.output.match(pattern) ?? undefined),
      );
    } catch (err) {
      throw new Error(`no "${String(words)}" in: ${this.output}`, { cause: err });
    }
  }

  /** @returns its exit code */
  async untilEnd(timeoutMs = patienceMs): Promise<number | null> {
    await eventually(`the end after ${this.output}`, timeoutMs, () =>
      Promise.resolve(this.exitCode !== undefined || undefined),
    );
    return this.exitCode ?? null;
  }

  async close(): Promise<void> {
    if (this.exitCode !== undefined) return;
    this.#child.kill('SIGTERM');
    await this.untilEnd();
  }
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
