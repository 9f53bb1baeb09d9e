/** What changed between two listings of the runtime. Pure. */
import { isIP } from 'node:net';
import type { CriContainer, CriSandbox, CriSandboxStatus } from '../../adapters/cri/cri-types.ts';
import type { ObservedContainer, ObservedPod } from '../pod-model.ts';

/** Per pod uid: every sandbox and container with its state, in one comparable text. */
export function podSignatures(
  sandboxes: ReadonlyArray<Pick<CriSandbox, 'id' | 'podUid' | 'isReady'>>,
  containers: ReadonlyArray<Pick<CriContainer, 'id' | 'podUid' | 'state'>>,
): Map<string, string> {
  const parts = new Map<string, string[]>();
  const add = (uid: string, part: string): void => {
    const known = parts.get(uid);
    if (known === undefined) parts.set(uid, [part]);
    else known.push(part);
  };
  for (const { id, podUid, isReady } of sandboxes) add(podUid, `${id}${isReady ? '+' : '-'}`);
  for (const { id, podUid, state } of containers) add(podUid, `${id}${state}`);
  return new Map([...parts].map(([uid, list]) => [uid, list.toSorted().join(' ')]));
}

/** What a listing would say of a pod that is as its picture shows it. */
export function pictureSignature({ uid, sandboxes, containers }: ObservedPod): string {
  const ofPod = <T extends object>(item: T): T & { podUid: string } => ({ ...item, podUid: uid });
  return podSignatures(sandboxes.map(ofPod), containers.map(ofPod)).get(uid) ?? '';
}

/** The pods whose listing differs from what was seen before, and those that are gone. */
export function diffPods(
  seen: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): { changed: string[]; gone: string[] } {
  return {
    changed: [...now].filter(([uid, signature]) => seen.get(uid) !== signature).map(([uid]) => uid),
    gone: [...seen.keys()].filter((uid) => !now.has(uid)),
  };
}

/**
 * Whether something of a pod has come up or has ended. A container that is only there, and a sandbox that never came up,
 * are no news: who made them knows why.
 */
export function isNews(before: ObservedPod | undefined, now: ObservedPod | undefined): boolean {
  const [was, is] = [statesOf(before), statesOf(now)];
  return (
    [...is].some(([id, state]) => {
      const old = was.get(id);
      return state !== old && (state === 'up' || (state === 'ended' && !(old === undefined && isSandbox(now, id))));
    }) || [...was].some(([id, state]) => !is.has(id) && state !== 'ended')
  );
}

const isSandbox = (pod: ObservedPod | undefined, id: string): boolean =>
  pod?.sandboxes.some((sandbox) => sandbox.id === id) === true;

function statesOf(pod: ObservedPod | undefined): Map<string, 'up' | 'ended' | 'other'> {
  const ofState = { running: 'up', exited: 'ended', created: 'other', unknown: 'other' } as const;
  return new Map([
    ...(pod?.sandboxes ?? []).map(({ id, isReady }) => [id, isReady ? 'up' : 'ended'] as const),
    ...(pod?.containers ?? []).map(({ id, state }) => [id, ofState[state]] as const),
  ]);
}

/** Sandboxes by attempt, then age, then id; containers by age: newest first. */
export function makeObservedPod(
  uid: string,
  sandboxes: readonly CriSandboxStatus[],
  containers: readonly ObservedContainer[],
  before: ObservedPod | undefined,
  observedMs: number,
): ObservedPod {
  const newestFirst = sandboxes.toSorted(
    (a, b) => b.attempt - a.attempt || compareBigint(b.createdAtNs, a.createdAtNs) || (a.id < b.id ? 1 : -1),
  );
  const newest = newestFirst[0];
  const anyReady = newestFirst.some(({ isReady }) => isReady);
  return {
    uid,
    name: newest?.name ?? before?.name ?? containers[0]?.labels['io.kubernetes.pod.name'] ?? '',
    namespace: newest?.namespace ?? before?.namespace ?? containers[0]?.labels['io.kubernetes.pod.namespace'] ?? '',
    sandboxes: newestFirst,
    containers: containers.toSorted((a, b) => compareBigint(b.createdAtNs, a.createdAtNs)),
    ips: newest?.isReady === true ? sandboxIps(newest) : anyReady ? [] : (before?.ips ?? []),
    observedMs,
  };
}

/** All of a sandbox's IPs, or none when one of them is no IP. */
export function sandboxIps({ ip, additionalIps }: Pick<CriSandboxStatus, 'ip' | 'additionalIps'>): string[] {
  if (ip === '') return [];
  const all = [ip, ...additionalIps];
  return all.every((one) => isIP(one) !== 0) ? all : [];
}

const compareBigint = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
