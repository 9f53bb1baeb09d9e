/**
 * Ends containers and pods: `Killing` event, preStop hook, then the runtime's stop with what is left of the grace
 * period. Sidecars are told at once but stopped last, in reverse order of their start.
 */
import { waitIsOver } from '../../base/quiet-abort.ts';
import type { Cri } from '../../adapters/cri/cri.ts';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import { goQuote } from '../../base/go-quote.ts';
import { rpcText } from '../../base/grpc.ts';
import type { Logger } from '../../base/logger.ts';
import type { Container, LifecycleHandler, Pod } from '../../objects/generated/core-v1.ts';
import {
  type ContainerKind,
  type ObservedContainer,
  type ObservedPod,
  type PodEvents,
  type PodPhases,
  podContainers,
  uidOf,
} from '../pod-model.ts';
import { containerGraceSeconds, minimumStopSeconds } from './compute-grace.ts';
import type { KillOrder } from './compute-pod-actions.ts';
import { runHook } from './hooks.ts';
import { annotations } from './pod-names.ts';

interface KillNeed {
  cri: Pick<Cri, 'stopContainer' | 'stopPodSandbox' | 'execSync'>;
  events: PodEvents;
  phases: PodPhases;
  clock: Clock;
  log: Logger;
}

export class ContainerKiller {
  readonly #need: KillNeed;

  constructor(need: KillNeed) {
    this.#need = need;
  }

  async killPod(pod: Pod, observed: ObservedPod, graceSeconds: number | undefined, signal: AbortSignal): Promise<void> {
    const toKill = observed.containers.filter(({ state }) => state !== 'exited');
    const ended = new Map<string, Promise<unknown>>();
    const order = sidecarOrder(pod);
    // Later ones first, so that each sidecar finds the promises of those it waits for.
    const byTurn = toKill.toSorted((a, b) => (order.get(b.name) ?? Infinity) - (order.get(a.name) ?? Infinity));
    const kills = byTurn.map((container) => {
      const turn = order.get(container.name);
      const before = turn === undefined ? [] : [...ended.values()];
      const kill = this.#end(
        pod,
        container,
        {
          containerId: container.id,
          name: container.name,
          message: `Stopping container ${container.name}`,
          cause: 'other',
        },
        graceSeconds,
        observed.ips[0] ?? '',
        before,
        signal,
      );
      ended.set(
        container.id,
        kill.catch(() => {}), // its failure is reported below; who waits for it goes on
      );
      return kill;
    });
    const results = await Promise.allSettled(kills);
    const failures = results.flatMap((result, i) =>
      result.status === 'rejected' ? [failureText('Container', byTurn[i]?.name ?? '', result.reason)] : [],
    );
    // a container that does not end by itself ends with its sandbox
    for (const sandbox of observed.sandboxes) {
      signal.throwIfAborted();
      try {
        await this.#need.phases.span(pod, 'stop sandbox', () => this.#need.cri.stopPodSandbox(sandbox.id, signal));
      } catch (err) {
        failures.push(failureText('PodSandbox', uidOf(pod), err));
      }
    }
    signal.throwIfAborted();
    const distinct = [...new Set(failures)];
    if (distinct.length > 0) throw new Error(distinct.length === 1 ? distinct[0] : `[${distinct.join(', ')}]`);
  }

  async killContainer(
    pod: Pod,
    observed: ObservedPod | undefined,
    order: KillOrder,
    signal: AbortSignal,
  ): Promise<void> {
    const container = observed?.containers.find(({ id }) => id === order.containerId);
    const podIp = order.podIp ?? observed?.ips[0] ?? '';
    await this.#end(pod, container, order, order.graceSeconds, podIp, [], signal);
  }

  async #end(
    pod: Pod,
    observed: ObservedContainer | undefined,
    { containerId, name, message, cause }: KillOrder,
    graceOverride: number | undefined,
    podIp: string,
    before: ReadonlyArray<Promise<unknown>>,
    signal: AbortSignal,
  ): Promise<void> {
    const { cri, clock, events, phases } = this.#need;
    const known = podContainers(pod).find(({ spec }) => spec.name === name);
    const kind: ContainerKind = known?.kind ?? 'regular';
    events.container(pod, kind, name, 'Normal', 'Killing', message);
    const graceSeconds = containerGraceSeconds(pod, known?.spec, cause, graceOverride);
    let restSeconds = graceSeconds;
    const preStop = preStopOf(known?.spec, observed);
    // one that nobody has seen yet was started just now, and its postStart hook has failed
    const mayRun = observed === undefined || observed.state === 'running' || observed.state === 'unknown';
    if (preStop !== undefined && graceSeconds > 0 && mayRun) {
      const beganMs = clock.monotonicMs();
      await phases.span(
        pod,
        `preStop ${name}`,
        () =>
          this.#preStop(
            pod,
            known?.spec ?? { name, image: '' },
            kind,
            preStop,
            containerId,
            podIp,
            graceSeconds,
            signal,
          ),
        { failureOf: (failure) => failure },
      );
      restSeconds -= Math.floor((clock.monotonicMs() - beganMs) / 1000);
    }
    if (before.length > 0) {
      const beganMs = clock.monotonicMs();
      const over = new AbortController();
      const waitMs = Math.max(0, restSeconds) * 1000;
      await Promise.race([Promise.all(before), clock.sleep(waitMs, AbortSignal.any([signal, over.signal]))]);
      over.abort(waitIsOver);
      restSeconds -= Math.floor((clock.monotonicMs() - beganMs) / 1000);
    }
    const timeoutSeconds = Math.max(restSeconds, minimumStopSeconds);
    await phases.span(pod, `stop ${name}`, () => cri.stopContainer(containerId, timeoutSeconds, signal));
  }

  /**
   * Waits for the hook at most as long as the grace period; the hook itself is not interrupted then.
   * @returns why it failed
   */
  async #preStop(
    pod: Pod,
    container: Container,
    kind: ContainerKind,
    handler: LifecycleHandler,
    containerId: string,
    podIp: string,
    graceSeconds: number,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { cri, clock, events, log } = this.#need;
    const over = new AbortController();
    const hook = runHook(
      { clock, events, execSync: cri.execSync.bind(cri) },
      handler,
      { pod, container, containerId, podIp },
      signal,
    ).catch((err: unknown) => {
      if (signal.aborted) return undefined;
      log.info({ container: container.name, reason: describeError(err) }, 'preStop hook failed');
      events.container(pod, kind, container.name, 'Warning', 'FailedPreStopHook', 'PreStopHook failed');
      return describeError(err);
    });
    const late = clock
      .sleep(graceSeconds * 1000, AbortSignal.any([signal, over.signal]))
      .then(() => `it did not end within the grace period of ${graceSeconds}s`);
    const failure = await Promise.race([hook, late]);
    over.abort(waitIsOver);
    return failure ?? undefined;
  }
}

/** In the words that people look for, e.g. `failed to "KillContainer" for "web" with KillContainerError: "…"`. */
function failureText(what: 'Container' | 'PodSandbox', name: string, err: unknown): string {
  const text = rpcText(err);
  const said = text.startsWith('rpc error') ? text : describeError(err);
  return `failed to "Kill${what}" for ${goQuote(name)} with Kill${what}Error: ${goQuote(said)}`;
}

/** Sidecars by their place; each waits for all regular containers and for the sidecars after it. */
function sidecarOrder(pod: Pod): Map<string, number> {
  const sidecars = podContainers(pod).filter(({ kind }) => kind === 'sidecar');
  return new Map(sidecars.map(({ spec }, i) => [spec.name, i]));
}

/** From the pod, or from what the container's start wrote down when the pod is no longer known. */
function preStopOf(spec: Container | undefined, observed: ObservedContainer | undefined): LifecycleHandler | undefined {
  if (spec !== undefined) return spec.lifecycle?.preStop;
  const json = observed?.annotations[annotations.preStopHandler];
  if (json === undefined) return undefined;
  try {
    return JSON.parse(json) as LifecycleHandler;
  } catch {
    return undefined; // written by somebody else in another form: stop without it
  }
}
