import type { NftFamily, NftInput } from '../../../adapters/nftables/nftables.ts';
import type { TableObjects } from '../../../adapters/nftables/parse-listing.ts';
import type { Clock } from '../../../base/clock.ts';
import { describeError, isNotFound } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import { Semaphore } from '../../../base/semaphore.ts';
import type { LocalTraffic } from '../../compute/local-traffic.ts';
import { type NodePortAddresses, matchingAddresses } from '../../compute/node-port-addresses.ts';
import type { ElementContext } from '../../compute/nftables/service-elements.ts';
import { canonicalIp } from '../../compute/nftables/source-ranges.ts';
import { endpointsMap, familyWords, setDefinitions, tableName } from '../../compute/nftables/table-layout.ts';
import type { IpFamily } from '../../proxy-model.ts';
import { type Installer, PartialSyncError, type SyncReport, type SyncRequest } from '../installer.ts';
import { changesInSlices } from './change-slices.ts';
import { type CheckNeed, missingChains, tableDifferences } from './installed-check.ts';
import { InstalledState } from './installed-state.ts';
import { StickyPairs } from './sticky-pairs.ts';
import { TransactionText, deleteChains } from './transaction-text.ts';

export interface NftNeed extends CheckNeed {
  apply(input: NftInput, signal: AbortSignal): Promise<void>;
  objects(family: NftFamily, table: string, signal: AbortSignal): Promise<TableObjects>;
  setElements(family: NftFamily, table: string, set: string, signal: AbortSignal): Promise<string[][]>;
  foreignCommits(): number | undefined;
}

export interface NftablesInstallerNeed {
  nft: NftNeed;
  /** The machine's own addresses of the family, read when NodePorts are limited to some of them. */
  interfaceIps: () => string[];
  /** Told when what nobody uses any more cannot be deleted. */
  onCleanUpFailed: () => void;
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
}

const fullSyncPeriodMs = 3_600_000;
/** Chains go some time after their last use: older kernels still count it in the transaction that ends it. */
const emptiedMs = 1000;
const watchPeriodMs = 1000;
/** A clean-up that has failed is followed by a full sync: it is not tried again at once. */
const tidyPauseMs = 30_000;
/** The whole table is read at most this part of the time. */
const readShare = 0.05;
const readPauseMinMs = 2000;
/** Where the kernel does not tell whether somebody has written. */
const blindPauseMs = 30_000;

/**
 * Services as elements of a few nftables maps. Owns the picture of what the kernel holds of ours. A full sync writes
 * everything in one transaction, until which the former state is in force; any other writes the elements that differ.
 */
export class NftablesInstaller implements Installer {
  readonly #options: NftablesInstallerOptions;
  readonly #need: NftablesInstallerNeed;
  readonly #table: readonly [NftFamily, string];
  readonly #sticky: StickyPairs;
  /** One sync or piece of upkeep at a time. */
  readonly #turn = new Semaphore(1);
  #state = new InstalledState();
  #text: TransactionText | undefined;
  #contextText = '';
  #needsFull = true;
  /** The last full sync did not succeed. */
  #isRefused = false;
  #lastFullMs = 0;
  /** Transactions so far: what is read across one is no picture of anything. */
  #transactions = 0;
  /** Commits of others up to which the whole table is as we have written or seen it. */
  #commitsKnown: number | undefined;
  /** Chains without rules that nobody uses, and since when. */
  readonly #emptied = new Map<string, number>();
  #nextTidyMs = 0;

  constructor(options: NftablesInstallerOptions, need: NftablesInstallerNeed) {
    this.#options = options;
    this.#need = need;
    this.#table = [familyWords(options.family).table, tableName];
    this.#sticky = new StickyPairs(this.#table, need.nft);
  }

  sync(request: SyncRequest, signal: AbortSignal): Promise<SyncReport> {
    return this.#turn.with(signal, () => this.#sync(request, signal));
  }

  /** Tidies up behind syncs, and looks after what others do to our table whenever anybody has written any rules. */
  async watch(onLost: () => void, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#need;
    const lost = (what: readonly string[]): void => {
      this.#needsFull = true;
      log.warn({ what: what.slice(0, 10) }, 'our nftables rules were changed by somebody else, writing them again');
      onLost();
    };
    let namesSeen: number | undefined;
    let nextReadMs = 0;
    while (!signal.aborted) {
      await clock.sleep(watchPeriodMs, signal);
      if (signal.aborted) return;
      try {
        await this.#turn.with(signal, () => this.#tidy(onLost, signal));
        if (this.#needsFull) continue;
        const commits = this.#need.nft.foreignCommits();
        if (commits !== undefined && commits === this.#commitsKnown) continue;
        if (commits === undefined || commits !== namesSeen) {
          const missing = await this.#ifStill((text) => missingChains(this.#need.nft, this.#table, text, signal));
          if (missing === undefined) continue;
          namesSeen = commits;
          if (missing.length > 0) {
            lost(missing.map((chain) => `chain ${chain}`));
            continue;
          }
        }
        const startMs = clock.monotonicMs();
        if (startMs < nextReadMs) continue;
        const different = await this.#ifStill((text) => this.#differences(text, signal));
        const tookMs = clock.monotonicMs() - startMs;
        const pauseMs = commits === undefined ? blindPauseMs : readPauseMinMs;
        nextReadMs = clock.monotonicMs() + Math.max(pauseMs, tookMs / readShare);
        if (different === undefined) continue;
        this.#commitsKnown = commits;
        if (different.length > 0) lost(different);
      } catch (err) {
        if (signal.aborted) return;
        log.debug({ reason: describeError(err) }, 'cannot look at our nftables table');
      }
    }
  }

  async #differences(text: TransactionText, signal: AbortSignal): Promise<string[]> {
    try {
      return await tableDifferences(this.#need.nft, this.#table, text, this.#dynamicSets(), signal);
    } catch (err) {
      if (isNotFound(err)) return ['the table'];
      throw err;
    }
  }

  /** Undefined when something was written, or is about to be, while `look` looked. */
  async #ifStill<T>(look: (text: TransactionText) => Promise<T>): Promise<T | undefined> {
    const before = this.#transactions;
    const text = this.#text;
    if (text === undefined || this.#needsFull) return undefined;
    const seen = await look(text);
    return before === this.#transactions && !this.#needsFull ? seen : undefined;
  }

  #dynamicSets(): ReadonlySet<string> {
    const definitions = setDefinitions({ family: this.#options.family, nodePortIps: [] });
    return new Set([...definitions].filter(([, { isDynamic }]) => isDynamic).map(([name]) => name));
  }

  async #sync(request: SyncRequest, signal: AbortSignal): Promise<SyncReport> {
    const { services, changed } = request;
    const context = this.#context(request);
    const contextText = JSON.stringify(context);
    const nowMs = this.#need.clock.monotonicMs();
    const isDue = nowMs - this.#lastFullMs > fullSyncPeriodMs;
    const isFull = changed === 'all' || this.#needsFull || contextText !== this.#contextText || isDue;
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

  #context({ node, serviceCidrs = [] }: SyncRequest): ElementContext {
    const { family, masqueradeMark, masqueradeAll, nodePortAddresses, localTraffic } = this.#options;
    const addresses = nodePortAddresses();
    const nodePortIps = addresses.isMatchAll
      ? undefined
      : matchingAddresses(addresses, this.#need.interfaceIps()).map(canonicalIp).toSorted();
    return { family, node, masqueradeMark, masqueradeAll, localTraffic: localTraffic(), nodePortIps, serviceCidrs };
  }

  async #syncAll(services: SyncRequest['services'], context: ElementContext, signal: AbortSignal): Promise<void> {
    const { nft, clock } = this.#need;
    const commits = nft.foreignCommits();
    const existing = await nft.objects(...this.#table, signal);
    // what is there by our names may be of another kind, which the kernel never takes: then it all goes
    const isReplaced = existing.chains.length > 0 && (this.#isRefused || !isOurs(existing));
    const state = new InstalledState();
    const text = new TransactionText(context);
    const unused: string[] = [];
    async function* fullText(): AsyncGenerator<string> {
      yield text.setUp({ isReplaced, existing: existing.sets });
      for await (const change of changesInSlices([...services.keys()], services, state, context, clock)) {
        yield text.change(change);
      }
      if (isReplaced) return;
      unused.push(...existing.chains.filter((chain) => !text.ruleCounts.has(chain)));
      for (const chain of unused) yield text.flushChain(chain);
    }
    this.#isRefused = true;
    await this.#apply(fullText(), signal);
    this.#isRefused = false;
    this.#state = state;
    this.#text = text;
    this.#commitsKnown = commits;
    this.#emptied.clear();
    this.#noteChains([], unused);
    // what an earlier process has left of endpoints that are gone by now
    if (!isReplaced && existing.sets.includes('affinity')) this.#sticky.noteGone();
  }

  async #syncChanged(
    services: SyncRequest['services'],
    changed: ReadonlySet<string>,
    context: ElementContext,
    signal: AbortSignal,
  ): Promise<void> {
    const text = this.#text;
    if (text === undefined) return;
    try {
      // an endpoint that comes back must not find the clients that have left it meanwhile
      if ([...changed].some((key) => this.#state.isSticky(key))) await this.#forgetGone(signal);
      const pieces: string[] = [];
      const changes = changesInSlices([...changed], services, this.#state, context, this.#need.clock);
      for await (const change of changes) {
        pieces.push(text.change(change));
        this.#noteChains([...change.newSharedChains, ...change.chains.keys()], change.goneChains);
        if (change.hasGoneSticky) this.#sticky.noteGone();
      }
      if (pieces.some((piece) => piece !== '')) await this.#apply(pieces, signal);
    } catch (err) {
      throw new PartialSyncError('Cannot write the changed nftables elements', { cause: err });
    }
  }

  async #apply(input: NftInput, signal: AbortSignal): Promise<void> {
    this.#transactions++;
    try {
      await this.#need.nft.apply(input, signal);
    } finally {
      this.#transactions++;
    }
  }

  #noteChains(used: Iterable<string>, unused: Iterable<string>): void {
    const nowMs = this.#need.clock.monotonicMs();
    for (const name of used) this.#emptied.delete(name);
    for (const name of unused) this.#emptied.set(name, nowMs);
  }

  async #forgetGone(signal: AbortSignal): Promise<void> {
    const text = await this.#sticky.forgetGone(this.#state.stickyNumbers, signal);
    if (text !== '') await this.#apply([text], signal);
    this.#sticky.forgotten();
  }

  /** What need not happen within a sync. */
  async #tidy(onLost: () => void, signal: AbortSignal): Promise<void> {
    if (this.#needsFull) return;
    const { clock, log, onCleanUpFailed } = this.#need;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#nextTidyMs) return;
    const due = [...this.#emptied].filter(([, sinceMs]) => nowMs - sinceMs >= emptiedMs).map(([name]) => name);
    try {
      if (due.length > 0) await this.#apply([deleteChains(this.#options.family, due)], signal);
      for (const name of due) {
        this.#emptied.delete(name);
        this.#text?.ruleCounts.delete(name);
      }
      await this.#forgetGone(signal);
    } catch (err) {
      if (signal.aborted) return;
      onCleanUpFailed();
      this.#nextTidyMs = nowMs + tidyPauseMs;
      this.#needsFull = true; // it looks at what there is
      log.warn({ chains: due.length, reason: describeError(err) }, 'cannot delete what nobody uses any more');
      onLost();
    }
  }
}

/** Whether a table has our layout, and not that of another kube-proxy or of a former version of us. */
function isOurs({ sets, maps }: TableObjects): boolean {
  const known = setDefinitions({ family: 'IPv4', nodePortIps: [] });
  const isKnown = (kind: 'set' | 'map', name: string): boolean => known.get(name)?.kind === kind;
  return (
    sets.every((name) => isKnown('set', name)) &&
    maps.every((name) => isKnown('map', name)) &&
    maps.includes(endpointsMap('tcp'))
  );
}
