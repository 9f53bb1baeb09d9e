/**
 * What the proxy asks of a way to put Services into the kernel. iptables is one (install/iptables/); others have the
 * same two methods and decide for themselves how much of the state they write again.
 */
import type { NodeFacts, ServiceState } from '../proxy-model.ts';

export interface SyncRequest {
  /** Every Service of the family. Not changed while the sync runs. */
  readonly services: ReadonlyMap<string, ServiceState>;
  /** Keys that differ since the last request; `'all'` when nothing may be relied on. */
  readonly changed: ReadonlySet<string> | 'all';
  readonly node: NodeFacts;
  /** Ranges that cluster IPs of the family come from; undefined while the API has not said so. */
  readonly serviceCidrs?: readonly string[] | undefined;
}

export interface SyncReport {
  readonly isFull: boolean;
  /** Service ports whose Local policy finds no endpoint here although others exist. */
  readonly lacksLocal: { readonly internal: number; readonly external: number };
  /** Rules there are and rules that this sync wrote, by table; empty where the notion does not fit. */
  readonly rules: ReadonlyMap<string, { readonly total: number; readonly written: number }>;
}

export interface Installer {
  /** Makes the kernel agree with `services`. After a failure the next sync is a full one. */
  sync(request: SyncRequest, signal: AbortSignal): Promise<SyncReport>;
  /** Calls `onLost` whenever somebody has removed our rules. Ends with `signal`. */
  watch(onLost: () => void, signal: AbortSignal): Promise<void>;
}

/** A sync that wrote only what had changed did not succeed: a full one may, as it relies on nothing. */
export class PartialSyncError extends Error {
  override name = 'PartialSyncError';
}
