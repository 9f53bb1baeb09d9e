/**
 * Which pod has which address.
 *
 * Owns: the pods of all nodes as policies see them, and the claims to addresses.
 * Promises: an address belongs to one pod at most. The runtime's word about pods of this node goes before the API's,
 * which comes later and stays longer; among equals the youngest pod has it. Who loses an address is told before who gets
 * it. A change costs the pods that it is about.
 */
import type { Attachment } from '../../adapters/cni/attachments.ts';
import type { Container, Pod } from '../../objects/generated/core-v1.ts';
import { objectKey } from '../../objects/object-key.ts';
import { usualIp } from '../compute/ip-ranges.ts';
import type { NamedPort, PodFacts, Protocol } from '../network-policy-model.ts';

export interface PodSink {
  putPod(pod: PodFacts): void;
  removePod(key: string): void;
}

const noLabels: Readonly<Record<string, string>> = {};
/** On mirror pods: the uid that the kubelet and the runtime know a static pod by. */
const staticUidAnnotation = 'kubernetes.io/config.hash';

export class PodDirectory {
  readonly #nodeName: string;
  readonly #sink: PodSink;
  readonly #pods = new Map<string, Pod>();
  readonly #entries = new Map<string, PodFacts>();
  readonly #namespaces = new Map<string, Readonly<Record<string, string>>>();
  readonly #keysByNamespace = new Map<string, Set<string>>();
  /** By pod key and file name. */
  readonly #attachments = new Map<string, Map<string, Attachment>>();
  readonly #attachedKeys = new Map<string, string>();
  readonly #claims = new Map<string, Set<string>>();
  readonly #claimed = new Map<string, readonly string[]>();

  constructor(nodeName: string, sink: PodSink) {
    this.#nodeName = nodeName;
    this.#sink = sink;
  }

  /** How much is kept: nothing of pods that are gone. */
  get sizes(): readonly number[] {
    return [
      this.#pods,
      this.#entries,
      this.#keysByNamespace,
      this.#attachments,
      this.#attachedKeys,
      this.#claims,
      this.#claimed,
    ].map(({ size }) => size);
  }

  putPod(pod: Pod): void {
    const key = objectKey(pod);
    this.#pods.set(key, pod);
    const namespace = pod.metadata.namespace ?? '';
    this.#keysByNamespace.set(namespace, (this.#keysByNamespace.get(namespace) ?? new Set()).add(key));
    this.#refresh(key);
  }

  removePod(pod: Pod): void {
    const key = objectKey(pod);
    this.#pods.delete(key);
    const namespace = pod.metadata.namespace ?? '';
    const keys = this.#keysByNamespace.get(namespace);
    if (keys?.delete(key) === true && keys.size === 0) this.#keysByNamespace.delete(namespace);
    this.#refresh(key);
  }

  /** @param labels undefined: it is gone */
  setNamespace(name: string, labels: Readonly<Record<string, string>> | undefined): void {
    // a namespace has this label, whoever took it off
    const now = labels === undefined ? undefined : { ...labels, 'kubernetes.io/metadata.name': name };
    if (JSON.stringify(now) === JSON.stringify(this.#namespaces.get(name))) return;
    if (now === undefined) this.#namespaces.delete(name);
    else this.#namespaces.set(name, now);
    for (const key of this.#keysByNamespace.get(name) ?? []) this.#tell(key);
  }

  /** @param file by which the runtime's word is known @param attachment undefined: it was undone */
  setAttachment(file: string, attachment: Attachment | undefined): void {
    const before = this.#attachedKeys.get(file);
    if (before !== undefined) {
      const files = this.#attachments.get(before);
      if (files?.delete(file) === true && files.size === 0) this.#attachments.delete(before);
      this.#attachedKeys.delete(file);
    }
    const now = attachment === undefined ? undefined : `${attachment.namespace}/${attachment.name}`;
    if (attachment !== undefined && now !== undefined) {
      const files = this.#attachments.get(now) ?? new Map<string, Attachment>();
      this.#attachments.set(now, files.set(file, attachment));
      this.#attachedKeys.set(file, now);
    }
    if (before !== undefined && before !== now) this.#refresh(before);
    if (now !== undefined) this.#refresh(now);
  }

  /** The pod's claims are new: whoever claims the same addresses may have lost or won one. */
  #refresh(key: string): void {
    const before = this.#claimed.get(key) ?? [];
    const now = this.#ipsOf(key);
    for (const ip of before) if (!now.includes(ip)) this.#claims.get(ip)?.delete(key);
    for (const ip of now) this.#claims.set(ip, (this.#claims.get(ip) ?? new Set()).add(key));
    if (now.length > 0) this.#claimed.set(key, now);
    else this.#claimed.delete(key);
    const ips = new Set([...before, ...now]);
    const others = [...ips].flatMap((ip) => [...(this.#claims.get(ip) ?? [])]).filter((other) => other !== key);
    for (const ip of ips) if (this.#claims.get(ip)?.size === 0) this.#claims.delete(ip);
    // losers first
    const isLoser = (one: string): boolean =>
      (this.#entries.get(one)?.ips ?? []).some((ip) => this.#ownerOf(ip) !== one);
    for (const one of [...new Set([key, ...others])].toSorted((a, b) => Number(isLoser(b)) - Number(isLoser(a)))) {
      this.#tell(one);
    }
  }

  #tell(key: string): void {
    const pod = this.#pods.get(key);
    if (pod === undefined || !hasOwnNetwork(pod)) {
      if (this.#entries.delete(key)) this.#sink.removePod(key);
      return;
    }
    const namespace = pod.metadata.namespace ?? '';
    const facts: PodFacts = {
      key,
      namespace,
      labels: pod.metadata.labels ?? noLabels,
      namespaceLabels: this.#namespaces.get(namespace),
      ips: (this.#claimed.get(key) ?? []).filter((ip) => this.#ownerOf(ip) === key),
      isLocal: this.#isLocal(pod),
      ports: namedPorts(pod),
    };
    const before = this.#entries.get(key);
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(facts)) return;
    this.#entries.set(key, facts);
    this.#sink.putPod(facts);
  }

  #isLocal({ spec }: Pod): boolean {
    return spec.nodeName === this.#nodeName;
  }

  #ipsOf(key: string): string[] {
    const pod = this.#pods.get(key);
    if (pod === undefined || !hasOwnNetwork(pod)) return [];
    const attached = this.#attachedTo(key, pod);
    const { podIP, podIPs = [] } = pod.status ?? {};
    const told = podIPs.length > 0 ? podIPs.map(({ ip }) => ip) : [podIP];
    const ips = attached.length > 0 ? attached : told;
    return [...new Set(ips.flatMap((ip) => usualIp(ip ?? '') ?? []))];
  }

  #attachedTo(key: string, pod: Pod): string[] {
    if (!this.#isLocal(pod)) return [];
    const { uid, annotations } = pod.metadata;
    const uids = [uid, annotations?.[staticUidAnnotation]];
    return [...(this.#attachments.get(key)?.values() ?? [])]
      .filter((attachment) => attachment.uid === undefined || uids.includes(attachment.uid))
      .flatMap(({ ips }) => ips);
  }

  #ownerOf(ip: string): string | undefined {
    let owner: { key: string; rank: string } | undefined;
    for (const key of this.#claims.get(ip) ?? []) {
      const pod = this.#pods.get(key);
      if (pod === undefined) continue;
      const isAttached = this.#attachedTo(key, pod).some((one) => usualIp(one) === ip);
      const rank = `${isAttached ? 1 : 0} ${pod.metadata.creationTimestamp ?? ''} ${key}`;
      if (owner === undefined || rank > owner.rank) owner = { key, rank };
    }
    return owner?.key;
  }
}

/** Ended pods have given their addresses back; pods on the host's network are the node. */
function hasOwnNetwork({ spec, status }: Pod): boolean {
  return spec.hostNetwork !== true && status?.phase !== 'Succeeded' && status?.phase !== 'Failed';
}

function namedPorts({ spec }: Pod): NamedPort[] {
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...spec.containers, ...sidecars].flatMap(({ ports = [] }) =>
    ports.flatMap(({ name, protocol, containerPort }) =>
      name === undefined || name === '' ? [] : [{ name, protocol: protocolOf(protocol), port: containerPort }],
    ),
  );
}

function protocolOf(protocol: string | undefined): Protocol {
  return protocol === 'UDP' || protocol === 'SCTP' ? protocol : 'TCP';
}

/** What this room reads of a pod. */
export function trimPod({ metadata, spec, status }: Pod): Pod {
  const { namespace, name, uid, resourceVersion, creationTimestamp, labels, annotations } = metadata;
  const staticUid = annotations?.[staticUidAnnotation];
  return {
    metadata: {
      namespace,
      name,
      uid,
      resourceVersion,
      creationTimestamp,
      labels,
      annotations: staticUid === undefined ? undefined : { [staticUidAnnotation]: staticUid },
    },
    spec: {
      nodeName: spec.nodeName,
      hostNetwork: spec.hostNetwork,
      containers: onlyPorts(spec.containers),
      initContainers: onlyPorts(spec.initContainers ?? []),
    },
    status: { phase: status?.phase, podIP: status?.podIP, podIPs: status?.podIPs },
  };
}

/** Containers with named ports, and those of them. */
function onlyPorts(containers: readonly Container[]): Container[] {
  return containers.flatMap(({ name, image, restartPolicy, ports = [] }) => {
    const named = ports.filter((port) => port.name !== undefined && port.name !== '');
    if (named.length === 0) return [];
    const kept = named.map(({ name: portName, protocol, containerPort }) => ({
      name: portName,
      protocol,
      containerPort,
    }));
    return [{ name, image, restartPolicy, ports: kept }];
  });
}
