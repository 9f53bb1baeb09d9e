/**
 * Policies and pods as the objects of our table, kept up to date change by change.
 *
 * Owns: what is known of policies and pods, who is isolated by whom, and the wanted objects.
 * Promises: a pod's change costs the policies that apply on this node, a policy's change the pods; nothing is computed
 * for policies that select no pod of this node. Without any policy there is no object.
 */
import type { Direction, IpFamily, PodFacts, Policy } from '../network-policy-model.ts';
import { cidrRange, familyOfIp, formatRange, mergeRanges } from './ip-ranges.ts';
import { selects } from './match-policy.ts';
import { NftObjects, type NftVerdict } from './nft-objects.ts';
import {
  allowed,
  directions,
  elementsOf,
  families,
  isOfOwnNamespace,
  isolationChain,
  isolationName,
  policyObjects,
} from './policy-objects.ts';
import { baseChains, selfSet, strangersCounter, strangersSet, verdictMap } from './base-objects.ts';

export class PolicyState {
  readonly objects = new NftObjects();
  readonly #policies = new Map<string, Policy>();
  readonly #pods = new Map<string, PodFacts>();
  readonly #localPods = new Map<string, PodFacts>();
  readonly #podKeysByNamespace = new Map<string, Set<string>>();
  /** Policies that select pods of this node, with those. */
  readonly #active = new Map<string, Set<string>>();
  /** Of them: those whose sets can hold pods of their own namespace alone. */
  readonly #ownOnly = new Set<string>();
  /** Chains for pods that the same policies isolate: how many pods. */
  readonly #isolations = new Map<string, number>();
  /** By set and element: how many pods have it. */
  readonly #owners = new Map<string, Map<string, number>>();
  /** By pod: what its addresses lead to. */
  readonly #verdicts = new Map<string, Record<Direction, string | undefined> & { ips: readonly string[] }>();
  #podCidrs: readonly string[] = [];

  get policies(): ReadonlyMap<string, Policy> {
    return this.#policies;
  }

  get pods(): ReadonlyMap<string, PodFacts> {
    return this.#pods;
  }

  /** Policies that select pods of this node. */
  get activePolicies(): Policy[] {
    return [...this.#policies.values()].filter(({ key }) => this.#active.has(key));
  }

  get isolatedPods(): number {
    return [...this.#verdicts.values()].filter(({ ingress, egress }) => (ingress ?? egress) !== undefined).length;
  }

  setPodCidrs(podCidrs: readonly string[]): void {
    if (podCidrs.join() === this.#podCidrs.join()) return;
    this.#podCidrs = podCidrs;
    if (this.#policies.size > 0) this.#putStrangers();
  }

  putPolicy(policy: Policy): void {
    const before = this.#policies.get(policy.key);
    if (this.#policies.size === 0) this.#open(policy);
    if (before !== undefined) this.#deactivate(before);
    this.#policies.set(policy.key, policy);
    this.#activate(policy);
    this.#putPods(this.#podsOf(policy.namespace));
    this.#putBase();
  }

  removePolicy(key: string): void {
    const policy = this.#policies.get(key);
    if (policy === undefined) return;
    this.#deactivate(policy);
    this.#policies.delete(key);
    if (this.#policies.size === 0) return this.#close();
    this.#putPods(this.#podsOf(policy.namespace));
    this.#putBase();
  }

  putPod(pod: PodFacts): void {
    const before = this.#pods.get(pod.key);
    this.#replacePod(before, pod);
    this.#pods.set(pod.key, pod);
    const keys = this.#podKeysByNamespace.get(pod.namespace) ?? new Set();
    this.#podKeysByNamespace.set(pod.namespace, keys.add(pod.key));
    if (before?.isLocal === true && !pod.isLocal) this.#takeLocal(before);
    if (!pod.isLocal) return;
    this.#localPods.set(pod.key, pod);
    if (this.#policies.size === 0) return;
    this.#select(pod);
    this.#putPods([pod]);
  }

  removePod(key: string): void {
    const pod = this.#pods.get(key);
    if (pod === undefined) return;
    this.#replacePod(pod, undefined);
    this.#pods.delete(key);
    const keys = this.#podKeysByNamespace.get(pod.namespace);
    if (keys?.delete(key) === true && keys.size === 0) this.#podKeysByNamespace.delete(pod.namespace);
    if (pod.isLocal) this.#takeLocal(pod);
  }

  #takeLocal(pod: PodFacts): void {
    this.#localPods.delete(pod.key);
    for (const [key, selected] of this.#active) {
      if (!selected.delete(pod.key) || selected.size > 0) continue;
      const policy = this.#policies.get(key);
      if (policy !== undefined) this.#removePolicyObjects(policy);
    }
    this.#putVerdict(pod.key, undefined);
  }

  /** Which policies a local pod belongs to now: some become active, some stop to be. */
  #select(pod: PodFacts): void {
    for (const policy of this.#policies.values()) {
      const selected = this.#active.get(policy.key);
      if (selects(policy, pod)) {
        if (selected === undefined) this.#activate(policy);
        else selected.add(pod.key);
      } else if (selected?.delete(pod.key) === true && selected.size === 0) {
        this.#removePolicyObjects(policy);
      }
    }
  }

  #activate(policy: Policy): void {
    const selected = [...this.#localPods.values()].filter((pod) => selects(policy, pod));
    if (selected.length === 0) return;
    this.#active.set(policy.key, new Set(selected.map(({ key }) => key)));
    for (const direction of directions) {
      if (policy[direction] === undefined) continue;
      for (const [name, object] of policyObjects(policy, direction)) {
        this.objects.put(name, object);
        if (object.kind === 'set' && object.flags === undefined) this.#owners.set(name, new Map());
      }
    }
    const isOwn = isOfOwnNamespace(policy);
    if (isOwn) this.#ownOnly.add(policy.key);
    const concerned = isOwn
      ? [...(this.#podKeysByNamespace.get(policy.namespace) ?? [])].flatMap((key) => this.#pods.get(key) ?? [])
      : this.#pods.values();
    for (const pod of concerned) {
      for (const [set, element] of distinct(elementsOf(policy, pod))) this.#own(set, element);
    }
  }

  #deactivate(policy: Policy): void {
    if (this.#active.has(policy.key)) this.#removePolicyObjects(policy);
  }

  #removePolicyObjects(policy: Policy): void {
    this.#active.delete(policy.key);
    this.#ownOnly.delete(policy.key);
    for (const direction of directions) {
      if (policy[direction] === undefined) continue;
      for (const name of policyObjects(policy, direction).keys()) {
        this.objects.remove(name);
        this.#owners.delete(name);
      }
    }
  }

  /** Moves a pod in the sets of the policies that are active. */
  #replacePod(before: PodFacts | undefined, now: PodFacts | undefined): void {
    for (const key of this.#active.keys()) {
      const policy = this.#policies.get(key);
      if (policy === undefined) continue;
      if (this.#ownOnly.has(key) && policy.namespace !== (now ?? before)?.namespace) continue;
      const old = before === undefined ? [] : distinct(elementsOf(policy, before));
      const wanted = now === undefined ? [] : distinct(elementsOf(policy, now));
      for (const [set, element] of wanted) this.#own(set, element);
      for (const [set, element] of old) this.#disown(set, element);
    }
  }

  #own(set: string, element: string): void {
    const owners = this.#owners.get(set);
    if (owners === undefined) return;
    const count = owners.get(element) ?? 0;
    owners.set(element, count + 1);
    if (count === 0) this.objects.putElement(set, element);
  }

  #disown(set: string, element: string): void {
    const owners = this.#owners.get(set);
    const count = owners?.get(element);
    if (owners === undefined || count === undefined) return;
    if (count > 1) owners.set(element, count - 1);
    else {
      owners.delete(element);
      this.objects.removeElement(set, element);
    }
  }

  #podsOf(namespace: string): PodFacts[] {
    const keys = [...(this.#podKeysByNamespace.get(namespace) ?? [])];
    return keys.map((key) => this.#localPods.get(key)).filter((pod) => pod !== undefined);
  }

  #putPods(pods: readonly PodFacts[]): void {
    for (const pod of pods) this.#putVerdict(pod.key, pod);
  }

  #putVerdict(key: string, pod: PodFacts | undefined): void {
    const before = this.#verdicts.get(key);
    const ips = pod?.ips ?? [];
    const now = { ingress: this.#isolation('ingress', pod), egress: this.#isolation('egress', pod), ips };
    for (const ip of before?.ips ?? []) {
      if (ips.includes(ip)) continue;
      for (const direction of directions) this.objects.removeElement(verdictMap(direction, familyOf(ip)), ip);
      this.objects.removeElement(selfSet(familyOf(ip)), `${ip} . ${ip}`);
    }
    for (const ip of ips) {
      for (const direction of directions) {
        const map = verdictMap(direction, familyOf(ip));
        this.objects.putElement(map, ip, verdictOf(direction, now[direction]));
      }
      this.objects.putElement(selfSet(familyOf(ip)), `${ip} . ${ip}`);
    }
    if (pod === undefined) this.#verdicts.delete(key);
    else this.#verdicts.set(key, now);
    for (const direction of directions) {
      if (before?.[direction] === now[direction]) continue;
      this.#leaveIsolation(before?.[direction]);
    }
  }

  /** The chain for this pod, made and counted where the pod did not lead there before. */
  #isolation(direction: Direction, pod: PodFacts | undefined): string | undefined {
    if (pod === undefined) return undefined;
    const keys = [...this.#active]
      .filter(([key, selected]) => selected.has(pod.key) && this.#policies.get(key)?.[direction] !== undefined)
      .map(([key]) => key)
      .toSorted();
    if (keys.length === 0) return undefined;
    const name = isolationName(direction, keys);
    if (this.objects.get(name) === undefined) this.objects.put(name, isolationChain(direction, keys));
    if (this.#verdicts.get(pod.key)?.[direction] !== name) {
      this.#isolations.set(name, (this.#isolations.get(name) ?? 0) + 1);
    }
    return name;
  }

  #leaveIsolation(name: string | undefined): void {
    if (name === undefined) return;
    const count = (this.#isolations.get(name) ?? 1) - 1;
    if (count > 0) this.#isolations.set(name, count);
    else {
      this.#isolations.delete(name);
      this.objects.remove(name);
    }
  }

  /** The first policy: what all of them stand on. */
  #open(first: Policy): void {
    for (const { suffix, type } of families) {
      for (const direction of directions) {
        this.objects.put(`${direction}${suffix}`, { kind: 'set', type, isMap: true, elements: new Map() });
      }
      this.objects.put(`self${suffix}`, { kind: 'set', type: `${type} . ${type}`, elements: new Map() });
    }
    for (const direction of directions) this.objects.put(strangersCounter(direction), { kind: 'counter' });
    this.#putStrangers();
    this.#putBase([first]);
    this.#putPods([...this.#localPods.values()]);
  }

  /** The last policy is gone: nothing is left that packets could be held against. */
  #close(): void {
    for (const name of this.objects.names()) this.objects.remove(name);
    this.#isolations.clear();
    this.#verdicts.clear();
    this.#owners.clear();
  }

  #putStrangers(): void {
    for (const { family, suffix, type } of families) {
      const ranges = mergeRanges(
        this.#podCidrs.flatMap((cidr) => cidrRange(cidr) ?? []).filter((range) => range.family === family),
      );
      const elements = new Map(ranges.map((range) => [formatRange(range), undefined]));
      this.objects.put(strangersSet(suffix), { kind: 'set', type, flags: 'interval', elements });
    }
  }

  #putBase(more: readonly Policy[] = []): void {
    const policies = [...this.#policies.values(), ...more];
    const chains = baseChains({
      ingress: policies.some(({ ingress }) => ingress !== undefined),
      egress: policies.some(({ egress }) => egress !== undefined),
    });
    for (const [name, chain] of chains) {
      if (JSON.stringify(this.objects.get(name)) !== JSON.stringify(chain)) this.objects.put(name, chain);
    }
  }
}

function verdictOf(direction: Direction, isolation: string | undefined): NftVerdict {
  return isolation === undefined ? allowed(direction) : { kind: 'goto', chain: isolation };
}

function familyOf(ip: string): IpFamily {
  return familyOfIp(ip) ?? 'IPv4';
}

function distinct(elements: Iterable<[string, string]>): Array<[string, string]> {
  return [...new Map([...elements].map((one) => [one.join(' '), one])).values()];
}
