import type { NftFamily, NftInput } from '../../../adapters/nftables/nftables.ts';
import type { ListedTable } from '../../../adapters/nftables/parse-listing.ts';
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import { Semaphore } from '../../../base/semaphore.ts';
import type { LocalTraffic } from '../../compute/local-traffic.ts';
import { type NodePortAddresses, matchingAddresses } from '../../compute/node-port-addresses.ts';
import type { ElementContext } from '../../compute/nftables/service-elements.ts';
import { canonicalIp } from '../../compute/nftables/source-ranges.ts';
import { familyWords, setDefinitions, tableName } from '../../compute/nftables/table-layout.ts';
import type { IpFamily, NodeFacts, ServiceState } from '../../proxy-model.ts';
import { type Installer, PartialSyncError, type SyncReport, type SyncRequest } from '../installer.ts';
import { type Change, InstalledState } from './installed-state.ts';
import { TransactionText, deleteChains } from './transaction-text.ts';

export interface NftNeed {
  apply(input: NftInput, signal: AbortSignal): Promise<void>;
  table(family: NftFamily, name: string, signal: AbortSignal): Promise<ListedTable | undefined>;
  setElements(family: NftFamily, table: string, set: string, signal: AbortSignal): Promise<string[][]>;
}

export interface NftablesInstallerNeed {
  nft: NftNeed;
  /** The machine's own addresses of the family, read when NodePorts are limited to some of them. */
  interfaceIps: () => string[];
  clock: Clock;
  log: Logger;
}

export interface NftablesInstallerOptions {
  family: IpFamily;
  masqueradeMark: string;
  masqueradeAll: boolean;
  /** Read at each sync: both follow the node object. */
  nodePortAddresses: () => NodePortAddresses;
  localTraffic: () => LocalTraffic | undefined;
  /** Told when chains that nobody uses cannot be deleted. */
  onCleanUpFailed: () => void;
}

const fullSyncPeriodMs = 3_600_000;
/** Services handled in one go before others get a turn: well under 20 ms of work. */
const sliceSize = 100;
const emptiedMs = 1000;
const tidyPeriodMs = 2000;

/**
 * Services as elements of a few nftables maps. Owns the picture of what the kernel holds of ours. A full sync writes
 * everything in one transaction, beside which the former state is in force; any other writes the elements that differ.
 */
export class NftablesInstaller implements Installer {
  readonly #options: NftablesInstallerOptions;
  readonly #need: NftablesInstallerNeed;
  readonly #turn = new Semaphore(1);
  #state = new InstalledState();
  #text: TransactionText | undefined;
  #contextText = '';
  #needsFull = true;
  #lastFullMs = 0;
  /** Chains without rules that nobody uses, and since when. */
  readonly #emptied = new Map<string, number>();

  constructor(options: NftablesInstallerOptions, need: NftablesInstallerNeed) {
    this.#options = options;
    this.#need = need;
  }

  sync(request: SyncRequest, signal: AbortSignal): Promise<SyncReport> {
    return this.#turn.with(signal, () => this.#sync(request, signal));
  }

  async watch(_onLost: () => void, signal: AbortSignal): Promise<void> {
    const { clock } = this.#need;
    while (!signal.aborted) {
      await clock.sleep(tidyPeriodMs, signal);
      if (signal.aborted) return;
      await this.#turn.with(signal, () => this.#deleteEmptied(signal));
    }
  }

  /** Chains go some time after their last use has gone: older kernels still count it in the same transaction. */
  async #deleteEmptied(signal: AbortSignal): Promise<void> {
    const { nft, clock, log } = this.#need;
    const { family, onCleanUpFailed } = this.#options;
    const nowMs = clock.monotonicMs();
    const due = [...this.#emptied].filter(([, sinceMs]) => nowMs - sinceMs >= emptiedMs).map(([name]) => name);
    if (due.length === 0) return;
    try {
      await nft.apply([deleteChains(family, due)], signal);
      for (const name of due) {
        this.#emptied.delete(name);
        this.#text?.ruleCounts.delete(name);
      }
    } catch (err) {
      if (signal.aborted) return;
      onCleanUpFailed();
      this.#needsFull = true; // it looks at what there is
      log.warn({ chains: due.length, reason: describeError(err) }, 'cannot delete chains that nobody uses');
    }
  }

  async #sync({ services, changed, node }: SyncRequest, signal: AbortSignal): Promise<SyncReport> {
    const context = this.#context(node);
    const contextText = JSON.stringify(context);
    const nowMs = this.#need.clock.monotonicMs();
    const isFull =
      changed === 'all' ||
      this.#needsFull ||
      this.#text === undefined ||
      contextText !== this.#contextText ||
      nowMs - this.#lastFullMs > fullSyncPeriodMs;
    this.#needsFull = true; // until this sync has succeeded
    if (isFull) {
      await this.#syncAll(services, context, signal);
      this.#lastFullMs = nowMs;
      this.#contextText = contextText;
    } else {
      await this.#syncChanged(services, changed, context, signal);
    }
    this.#needsFull = false;
    return { isFull, lacksLocal: { ...this.#state.lacksLocal }, rules: new Map() };
  }

  #context(node: NodeFacts): ElementContext {
    const { family, masqueradeMark, masqueradeAll, nodePortAddresses, localTraffic } = this.#options;
    const addresses = nodePortAddresses();
    const nodePortIps = addresses.isMatchAll
      ? undefined
      : matchingAddresses(addresses, this.#need.interfaceIps()).map(canonicalIp).toSorted();
    return { family, node, masqueradeMark, masqueradeAll, localTraffic: localTraffic(), nodePortIps };
  }

  async #syncAll(services: SyncRequest['services'], context: ElementContext, signal: AbortSignal): Promise<void> {
    const { nft } = this.#need;
    const existing = await nft.table(familyWords(context.family).table, tableName, signal);
    const isReplaced = existing !== undefined && !isOurs(existing, context);
    const existingSets = existing?.sets ?? [];
    const state = new InstalledState();
    const text = new TransactionText(context);
    const emptied = isReplaced ? [] : (existing?.chains ?? []);
    const unused: string[] = [];
    await nft.apply(fullText(), signal);
    this.#state = state;
    this.#text = text;
    this.#emptied.clear();
    this.#noteChains([], unused);

    async function* fullText(): AsyncGenerator<string> {
      yield text.setUp({ isReplaced, existingSets });
      for await (const change of inSlices([...services.keys()], services, state, context)) yield text.change(change);
      unused.push(...emptied.filter((chain) => !text.ruleCounts.has(chain)));
      for (const chain of unused) yield text.flushChain(chain);
    }
  }

  #noteChains(used: Iterable<string>, unused: Iterable<string>): void {
    const nowMs = this.#need.clock.monotonicMs();
    for (const name of used) this.#emptied.delete(name);
    for (const name of unused) this.#emptied.set(name, nowMs);
  }

  async #syncChanged(
    services: SyncRequest['services'],
    changed: ReadonlySet<string>,
    context: ElementContext,
    signal: AbortSignal,
  ): Promise<void> {
    const text = this.#text;
    if (text === undefined) return;
    const pieces: string[] = [];
    for await (const change of inSlices([...changed], services, this.#state, context)) {
      pieces.push(text.change(change));
      this.#noteChains([...change.newSharedChains, ...change.chains.keys()], change.goneChains);
    }
    if (pieces.every((piece) => piece === '')) return;
    try {
      await this.#need.nft.apply(pieces, signal);
    } catch (err) {
      throw new PartialSyncError('Cannot write the changed nftables elements', { cause: err });
    }
  }
}

/** Takes Services over a slice at a time, so that others have their turn in between. */
async function* inSlices(
  keys: readonly string[],
  services: ReadonlyMap<string, ServiceState>,
  state: InstalledState,
  context: ElementContext,
): AsyncGenerator<Change> {
  for (let i = 0; i < keys.length; i += sliceSize) {
    const slice = keys.slice(i, i + sliceSize);
    yield state.apply(new Map(slice.map((key) => [key, services.get(key)])), context);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Whether a table has our layout, and not that of another kube-proxy. */
function isOurs({ sets }: ListedTable, context: ElementContext): boolean {
  const known = setDefinitions({ ...context, nodePortIps: [] });
  const has = new Set(sets);
  return sets.every((name) => known.has(name)) && has.has('tcp-endpoints');
}
