/**
 * The pod network of a node: READ THIS FIRST. Pods of this node get addresses and links by a CNI configuration, other
 * nodes' pods are reached by a route through their node, and what leaves the cluster gets this node's address. All of it
 * follows from the Node objects.
 *
 * Owns: the order, when to look again, and what is told. Each part is decided by a pure function (`compute/`) and kept
 * by a file of `install/`. A killed agent leaves everything as it is, and the next one finds it again.
 */
import { watch } from 'node:fs/promises';
import { podConflistText } from '../adapters/cni/pod-conflist.ts';
import { type Link, linkOf } from '../adapters/host-network/links.ts';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import type { ApiClient } from '../client/api-client.ts';
import type { EventSink } from '../client/event-recorder.ts';
import { Informer } from '../client/informer.ts';
import { nodes } from '../client/resource-types.ts';
import type { Node } from '../objects/generated/core-v1.ts';
import { isConfigFile } from './compute/conflist.ts';
import { masqueradeTable } from './compute/masquerade-table.ts';
import { familyOf } from './compute/networks.ts';
import { nodeFacts, trimNode } from './compute/node-facts.ts';
import { wantedRoutes } from './compute/pod-routes.ts';
import { keepConflist } from './install/conflist-keeper.ts';
import { dropsForwarded } from './install/forward-policy.ts';
import { type SettingsNeed, isStrictReversePath, keepSettings } from './install/kernel-settings.ts';
import { MasqueradeKeeper } from './install/masquerade-keeper.ts';
import { RouteKeeper } from './install/route-keeper.ts';
import { type Part, PodNetworkMetrics } from './metrics.ts';
import type { NodeFacts, Problem } from './pod-network-model.ts';

export interface PodNetworkOptions {
  nodeName: string;
  confDir: string;
  /** Whether pods get the node's address for what leaves the cluster. */
  masquerade: boolean;
  /** Where pods keep their addresses beside the cluster's pods. */
  nonMasqueradeCidrs: readonly string[];
}

export interface PodNetworkNeed {
  client: Pick<ApiClient, 'list' | 'watch'>;
  events: EventSink;
  settings: SettingsNeed;
  clock: Clock;
  log: Logger;
}

/** Looks at files of `/proc`, which cost next to nothing: routes go with their interface, and nobody is told. */
const lookPeriodMs = 5000;
const retryMs = 1000;
const mtuByDefault = 1500;

export class PodNetwork {
  readonly metrics = new PodNetworkMetrics();
  readonly #options: PodNetworkOptions;
  readonly #need: PodNetworkNeed;
  readonly #informer: Informer<Node>;
  readonly #routes = new RouteKeeper();
  readonly #masquerade: MasqueradeKeeper;
  /** Outlives the object: a deleted Node changes nothing. */
  #own: NodeFacts | undefined;
  #problems = new Map<string, Problem>();
  /** Told already: the foreign configuration, and the interface with strict checks. */
  #foreignTold = '';
  #strictTold = '';
  #hasLooked = false;
  #isMarked = false;
  #wake: () => void = () => {};

  constructor(options: PodNetworkOptions, need: PodNetworkNeed) {
    const { client, clock, log } = need;
    this.#options = options;
    this.#need = need;
    this.#masquerade = new MasqueradeKeeper(clock);
    this.#informer = new Informer<Node>({ client, type: nodes, trim: trimNode, clock, log });
    const mark = (): void => this.#mark();
    this.#informer.addHandlers({
      onAdd: mark,
      onUpdate: (before, now) => {
        if (JSON.stringify(nodeFacts(before)) !== JSON.stringify(nodeFacts(now))) this.#mark();
      },
      onDelete: mark,
    });
  }

  /** What keeps pods from being reached, now; undefined before the first look. */
  get problems(): readonly string[] | undefined {
    return this.#hasLooked ? [...this.#problems.values()].map(({ message }) => message) : undefined;
  }

  async run(signal: AbortSignal): Promise<void> {
    await runTogether(signal, [
      (inner) => this.#informer.run(inner),
      (inner) => this.#watchConfigs(inner),
      (inner) => this.#look(inner),
    ]);
  }

  #mark(): void {
    this.#isMarked = true;
    this.#wake();
  }

  /** Now, when something has changed, and every few seconds: never twice at once. */
  async #look(signal: AbortSignal): Promise<void> {
    const { clock } = this.#need;
    await this.#informer.whenSynced(signal);
    while (!signal.aborted) {
      this.#isMarked = false;
      const isWell = await this.#reconcile(signal);
      if (this.#isMarked || signal.aborted) continue;
      const wait = new AbortController();
      this.#wake = () => wait.abort();
      await clock.sleep(isWell ? lookPeriodMs : retryMs, AbortSignal.any([signal, wait.signal]));
      this.#wake = () => {};
    }
  }

  /** Each part by itself: a broken one holds up no other. @returns whether all could be done */
  async #reconcile(signal: AbortSignal): Promise<boolean> {
    const all = this.#informer.list().map(nodeFacts);
    const own = all.find(({ name }) => name === this.#options.nodeName);
    // An API server without our own Node knows nothing of this cluster, or not yet: what is there stays.
    if (own === undefined) return this.#tell('settings', [this.#waitsFor('there is no Node object of that name')]);
    if (own.podCidrs.length > 0) this.#own = own;
    const facts = this.#own;
    if (facts === undefined) return this.#tell('settings', [this.#waitsFor('it has no podCIDR yet')]);
    const others = all.filter(({ name }) => name !== own.name);
    const link = await this.#linkOf(own);
    let isInCharge = true;
    let isForeign = false;
    const done = [
      await this.#keep('settings', signal, () => this.#keepSettings(facts, link)),
      await this.#keep('conflist', signal, async () => {
        const plan = await keepConflist(
          this.#options.confDir,
          podConflistText({ podCidrs: facts.podCidrs, mtu: link?.mtu ?? mtuByDefault }),
        );
        isForeign = 'foreign' in plan && plan.foreign !== undefined;
        isInCharge = plan.kind !== 'stand-back';
        this.#tellForeign(isForeign ? plan.foreign : undefined, isInCharge);
        const problem = plan.problem;
        return {
          written: plan.kind === 'write' ? 1 : 0,
          problems:
            problem === undefined ? [] : [{ key: 'conflist', message: `in ${this.#options.confDir}: ${problem}` }],
        };
      }),
    ];
    const { routes, problems } = wantedRoutes({ ...own, podCidrs: facts.podCidrs }, others);
    if (isInCharge) {
      // before the routes: the first packet to a new node's pods keeps its source already
      done.push(
        await this.#keep('masquerade', signal, () => this.#keepMasquerade(facts, others, signal)),
        await this.#keep('routes', signal, async () => {
          const kept = await this.#routes.keep(routes, signal);
          return { written: kept.written, problems: [...problems, ...kept.problems] };
        }),
      );
    }
    if (!this.#hasLooked) await this.#tellForwardPolicy(facts, signal);
    this.#hasLooked = true;
    const counts = Map.groupBy(this.#problems.keys(), (key) => key.split(' ', 1)[0] ?? '');
    const parts: Part[] = ['conflist', 'masquerade', 'routes', 'settings'];
    this.metrics.looked({
      routes: isInCharge ? routes.length : 0,
      isForeign,
      problems: new Map(parts.map((part) => [part, counts.get(part)?.length ?? 0])),
    });
    return done.every((isDone) => isDone);
  }

  async #keepSettings(own: NodeFacts, link: Link | undefined): Promise<Kept> {
    const { settings } = this.#need;
    const kept = await keepSettings(new Set(own.podCidrs.map(familyOf)), link?.name, settings);
    if (link !== undefined && (await isStrictReversePath(link.name, settings))) this.#tellStrict(link.name);
    return kept;
  }

  async #keepMasquerade(own: NodeFacts, others: readonly NodeFacts[], signal: AbortSignal): Promise<Kept> {
    const { masquerade, nonMasqueradeCidrs } = this.#options;
    if (!masquerade) return { written: (await this.#masquerade.drop(signal)) ? 1 : 0, problems: [] };
    const keepCidrs = [...others.flatMap(({ podCidrs }) => podCidrs), ...nonMasqueradeCidrs];
    const isWritten = await this.#masquerade.keep(masqueradeTable({ podCidrs: own.podCidrs, keepCidrs }), signal);
    return { written: isWritten ? 1 : 0, problems: [] };
  }

  async #keep(part: Part, signal: AbortSignal, keep: () => Promise<Kept>): Promise<boolean> {
    const { log } = this.#need;
    try {
      const { written, problems } = await keep();
      if (written > 0) {
        this.metrics.wrote(part, written);
        log.info({ part, changes: written }, 'pod network changed');
        if (part !== 'masquerade') {
          this.#masquerade.lookSoon();
          this.#mark();
        }
      }
      this.#tell(part, problems);
      return true;
    } catch (err) {
      if (signal.aborted) return false;
      this.metrics.failed(part);
      return this.#tell(part, [{ key: 'failed', message: `${part}: ${describeError(err)}` }]);
    }
  }

  /** Each problem once when it comes and once when it goes. @returns false */
  #tell(part: Part, problems: readonly Problem[]): false {
    const { log, events } = this.#need;
    const { nodeName } = this.#options;
    const now = new Map(problems.map((problem) => [`${part} ${problem.key}`, problem]));
    for (const [key, problem] of now) {
      if (this.#problems.get(key)?.message === problem.message) continue;
      this.#problems.set(key, problem);
      if (problem.isUsual === true) log.info({ part, reason: problem.message }, 'not yet');
      else log.warn({ part, reason: problem.message }, 'pods may not be reachable');
      if (problem.node === undefined) continue;
      const target = { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: nodeName };
      events.record(target, 'Warning', 'PodRouteMissing', problem.message);
    }
    for (const key of this.#problems.keys()) {
      if (!key.startsWith(`${part} `) || now.has(key)) continue;
      log.info({ part, reason: this.#problems.get(key)?.message }, 'that problem is gone');
      this.#problems.delete(key);
    }
    return false;
  }

  #waitsFor(what: string): Problem {
    return { key: 'node', message: `node "${this.#options.nodeName}" gets no pod network: ${what}`, isUsual: true };
  }

  #tellForeign(foreign: string | undefined, isInCharge: boolean): void {
    const now = foreign === undefined ? '' : `${foreign} ${isInCharge}`;
    if (now === this.#foreignTold) return;
    this.#foreignTold = now;
    const { log } = this.#need;
    if (foreign === undefined) log.info('the CNI configuration that comes first is ours again');
    else if (isInCharge)
      log.warn({ file: foreign }, "another program's CNI configuration comes first: new pods are its");
    else log.warn({ file: foreign }, "another program's CNI configuration is there: the pod network is left to it");
  }

  #tellStrict(device: string): void {
    if (this.#strictTold === device) return;
    this.#strictTold = device;
    this.#need.log.warn(
      { device, setting: 'rp_filter' },
      'reverse paths are checked strictly: packets that come another way than their answers would go are dropped',
    );
  }

  async #tellForwardPolicy({ podCidrs }: NodeFacts, signal: AbortSignal): Promise<void> {
    for (const family of new Set(podCidrs.map(familyOf))) {
      if (!(await dropsForwarded(family, signal))) continue;
      const tool = family === 'IPv4' ? 'iptables' : 'ip6tables';
      this.#need.log.warn(
        { family, mend: `${tool} -P FORWARD ACCEPT` },
        'packets from and to pods are dropped unless a rule of the filter table accepts them',
      );
    }
  }

  /** The interface that other nodes know us by. */
  async #linkOf({ internalIps }: NodeFacts): Promise<Link | undefined> {
    for (const ip of internalIps) {
      const link = await linkOf(ip);
      if (link !== undefined) return link;
    }
    return undefined;
  }

  /** A configuration that is removed by hand comes back at once; where the directory cannot be watched, a little later. */
  async #watchConfigs(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#need;
    while (!signal.aborted) {
      try {
        for await (const { filename } of watch(this.#options.confDir, { signal })) {
          if (filename !== null && isConfigFile(filename)) this.#mark();
        }
      } catch (err) {
        if (signal.aborted) return;
        log.debug({ reason: describeError(err) }, 'the CNI configuration directory cannot be watched, will retry');
      }
      await clock.sleep(lookPeriodMs, signal);
    }
  }
}

interface Kept {
  written: number;
  problems: Problem[];
}
