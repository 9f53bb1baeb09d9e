import { rejectChain } from '../../compute/nftables/table-layout.ts';
import type { ServiceState } from '../../proxy-model.ts';
import {
  type Claim,
  type ElementContext,
  type Frontend,
  type ServiceElements,
  frontendClaims,
  noElements,
  serviceElements,
  sharedSets,
} from '../../compute/nftables/service-elements.ts';

/** What the kernel must be told when some Services change. */
export interface Change {
  /** `set key` → value, as far as the kernel has it. Removed before `added` is added. */
  readonly removed: ReadonlyMap<string, string>;
  readonly added: ReadonlyMap<string, string>;
  /** Chains of single Services whose rules are different now. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Shared chains that nobody has used before. */
  readonly newSharedChains: readonly string[];
  /** Chains that nobody uses any more. */
  readonly goneChains: readonly string[];
  /** Endpoints are gone that clients may be remembered with. */
  readonly hasGoneSticky: boolean;
}

/**
 * What the kernel holds of ours, without a copy of it: elements are made again from a Service as it was. Owns who is
 * served where several want the same address, and what several Services share.
 */
export class InstalledState {
  readonly #services = new Map<string, ServiceState>();
  readonly #claims = new Map<Frontend, Claim | Claim[]>();
  /** Elements of shared sets and uses of shared chains: by how many Services. */
  readonly #uses = new Map<string, number>();
  readonly #stickyNumbers = new Set<number>();
  readonly lacksLocal = { internal: 0, external: 0 };

  /** Numbers of endpoints that clients may be remembered with. */
  get stickyNumbers(): ReadonlySet<number> {
    return this.#stickyNumbers;
  }

  isSticky(key: string): boolean {
    return this.#services.get(key)?.ports.some(({ affinitySeconds }) => affinitySeconds !== undefined) === true;
  }

  /** Takes over how some Services are now; undefined: gone. */
  apply(changes: ReadonlyMap<string, ServiceState | undefined>, context: ElementContext): Change {
    const dirty = new Map(changes);
    for (const [key, after] of changes) {
      for (const rival of this.#rivals(key, after)) if (!dirty.has(rival)) dirty.set(rival, this.#services.get(rival));
    }
    const render = (service: ServiceState | undefined): ServiceElements =>
      service === undefined
        ? noElements
        : serviceElements(service, context, (frontend, claim) => this.#holder(frontend) === claim);

    const befores = [...dirty.keys()].map((key) => render(this.#services.get(key)));
    for (const [key, after] of dirty) {
      const before = this.#services.get(key);
      if (before !== undefined) for (const { frontend, claim } of frontendClaims(before)) this.#drop(frontend, claim);
      if (after === undefined) this.#services.delete(key);
      else this.#services.set(key, after);
    }
    for (const after of dirty.values()) {
      if (after !== undefined) for (const { frontend, claim } of frontendClaims(after)) this.#claim(frontend, claim);
    }
    const diff = new Diff(this.#uses, this.#stickyNumbers, this.lacksLocal);
    for (const [i, after] of [...dirty.values()].entries()) diff.take(befores[i] ?? noElements, render(after));
    return diff.end();
  }

  /** Other Services that want a frontend which this one has or will have. */
  *#rivals(key: string, after: ServiceState | undefined): Generator<string> {
    for (const service of [this.#services.get(key), after]) {
      if (service === undefined) continue;
      for (const { frontend } of frontendClaims(service)) {
        const claims = this.#claims.get(frontend);
        if (claims === undefined) continue;
        for (const claim of Array.isArray(claims) ? claims : [claims]) {
          const rival = serviceOf(claim);
          if (rival !== key) yield rival;
        }
      }
    }
  }

  #holder(frontend: Frontend): Claim | undefined {
    const claims = this.#claims.get(frontend);
    return Array.isArray(claims) ? claims[0] : claims;
  }

  #claim(frontend: Frontend, claim: Claim): void {
    const claims = this.#claims.get(frontend);
    if (claims === undefined) this.#claims.set(frontend, claim);
    else this.#claims.set(frontend, [...(Array.isArray(claims) ? claims : [claims]), claim].toSorted());
  }

  #drop(frontend: Frontend, claim: Claim): void {
    const claims = this.#claims.get(frontend);
    const left = Array.isArray(claims) ? claims.filter((one) => one !== claim) : [];
    const [first] = left;
    if (first === undefined) this.#claims.delete(frontend);
    else this.#claims.set(frontend, left.length === 1 ? first : left);
  }
}

/** A claim is a rank and `namespace/name` or `namespace/name:port`. */
function serviceOf(claim: Claim): string {
  const colon = claim.indexOf(':');
  return claim.slice(2, colon < 0 ? undefined : colon);
}

class Diff {
  readonly #uses: Map<string, number>;
  readonly #stickyNumbers: Set<number>;
  readonly #lacksLocal: { internal: number; external: number };
  readonly #usedBefore = new Map<string, boolean>();
  readonly #removed = new Map<string, string>();
  readonly #added = new Map<string, string>();
  readonly #chains = new Map<string, readonly string[]>();
  readonly #goneChains = new Set<string>();
  #hasGoneSticky = false;

  constructor(uses: Map<string, number>, sticky: Set<number>, lacksLocal: { internal: number; external: number }) {
    this.#uses = uses;
    this.#stickyNumbers = sticky;
    this.#lacksLocal = lacksLocal;
  }

  take(before: ServiceElements, after: ServiceElements): void {
    for (const [element, value] of before.elements) {
      if (isShared(element)) this.#use(element, -1);
      else if (after.elements.get(element) !== value) this.#removed.set(element, value);
      this.#useChain(value, -1);
    }
    for (const [element, value] of after.elements) {
      if (isShared(element)) this.#use(element, 1);
      else if (before.elements.get(element) !== value) this.#added.set(element, value);
      this.#useChain(value, 1);
    }
    for (const name of before.chains.keys()) if (!after.chains.has(name)) this.#goneChains.add(name);
    for (const [name, rules] of after.chains) {
      const known = before.chains.get(name) ?? [];
      if (rules.length !== known.length || rules.some((rule, i) => rule !== known[i])) this.#chains.set(name, rules);
    }
    for (const number of before.stickyNumbers) this.#stickyNumbers.delete(number);
    for (const number of after.stickyNumbers) this.#stickyNumbers.add(number);
    this.#hasGoneSticky ||= before.stickyNumbers.some((number) => !this.#stickyNumbers.has(number));
    for (const policy of ['internal', 'external'] as const) {
      this.#lacksLocal[policy] += after.lacksLocal[policy] - before.lacksLocal[policy];
    }
  }

  end(): Change {
    const newSharedChains: string[] = [];
    for (const [use, wasUsed] of this.#usedBefore) {
      const isUsed = this.#uses.has(use);
      if (isUsed === wasUsed) continue;
      if (isShared(use)) (isUsed ? this.#added : this.#removed).set(use, '');
      else if (isUsed) newSharedChains.push(use);
      else this.#goneChains.add(use);
    }
    // handed over from one Service to another as it is
    for (const [element, value] of this.#removed) {
      if (this.#added.get(element) !== value || !this.#added.has(element)) continue;
      this.#removed.delete(element);
      this.#added.delete(element);
    }
    return {
      removed: this.#removed,
      added: this.#added,
      chains: this.#chains,
      newSharedChains,
      goneChains: [...this.#goneChains],
      hasGoneSticky: this.#hasGoneSticky,
    };
  }

  #useChain(value: string, by: number): void {
    if (!value.startsWith('goto ')) return;
    const chain = value.slice('goto '.length);
    if (isSharedChain(chain)) this.#use(chain, by);
  }

  #use(what: string, by: number): void {
    const count = this.#uses.get(what) ?? 0;
    if (!this.#usedBefore.has(what)) this.#usedBefore.set(what, count > 0);
    if (count + by === 0) this.#uses.delete(what);
    else this.#uses.set(what, count + by);
  }
}

/** Chains that are always there, and those of single Services, are not counted. */
const isSharedChain = (chain: string): boolean => chain !== rejectChain && !chain.includes('/');

/** Chain names have no space. */
function isShared(element: string): boolean {
  const space = element.indexOf(' ');
  return space > 0 && sharedSets.has(element.slice(0, space));
}
