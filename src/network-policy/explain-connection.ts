/** What policies say to a connection, from the API's objects alone: for those who diagnose. Pure. */
import type { Namespace, Node, Pod } from '../objects/generated/core-v1.ts';
import type { NetworkPolicy } from '../objects/generated/networking-v1.ts';
import { PodDirectory } from './collect/pod-directory.ts';
import { compilePolicy } from './compute/compile-policy.ts';
import { type Verdict, explainVerdict } from './compute/explain-verdict.ts';
import { usualIp } from './compute/ip-ranges.ts';
import type { PodFacts, Protocol } from './network-policy-model.ts';

export interface PolicyWorld {
  readonly policies: readonly NetworkPolicy[];
  /** Of all nodes. */
  readonly pods: readonly Pod[];
  readonly namespaces: readonly Namespace[];
  readonly nodes: readonly Node[];
}

export interface Connection {
  readonly fromIp: string;
  /** Behind a Service: the endpoint's. */
  readonly toIp: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** Whether a new connection may be made, in words: which policies isolate its ends, and which rule allows it. */
export function explainConnection(world: PolicyWorld, { fromIp, toIp, protocol, port }: Connection): Verdict {
  const byIp = new Map<string, PodFacts>();
  const directory = new PodDirectory('', {
    putPod: (pod) => {
      for (const ip of pod.ips) byIp.set(ip, pod);
    },
    removePod: () => {},
  });
  for (const { metadata } of world.namespaces) directory.setNamespace(metadata.name, metadata.labels ?? {});
  for (const pod of world.pods) directory.putPod(pod);
  const [from, to] = [fromIp, toIp].map((text) => {
    const ip = usualIp(text) ?? text;
    return { ip, pod: byIp.get(ip) };
  });
  if (from === undefined || to === undefined) throw new Error('unreachable');
  if (from.pod !== undefined && from.pod === to.pod) {
    return { isAllowed: true, sentences: [`pod "${from.pod.key}" reaches itself, whatever policies say`] };
  }
  const nodeOf = (pod: PodFacts | undefined): string | undefined =>
    world.pods.find(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}` === pod?.key)?.spec.nodeName;
  const ownNode = (pod: PodFacts | undefined, ip: string): string | undefined =>
    world.nodes.find(
      ({ metadata, status }) =>
        metadata.name === nodeOf(pod) && (status?.addresses ?? []).some(({ address }) => usualIp(address) === ip),
    )?.metadata.name;
  const node = ownNode(to.pod, from.ip) ?? ownNode(from.pod, to.ip);
  if (node !== undefined) {
    return { isAllowed: true, sentences: [`a pod and its own node "${node}" reach each other, whatever policies say`] };
  }
  return explainVerdict(world.policies.map(compilePolicy), from, to, protocol, port);
}
