/**
 * The scheduler's picture of the nodes and of the pods on them, those included that it has just placed and that the
 * API has not shown yet ("assumed").
 */
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { objectKey } from '../../objects/object-key.ts';
import { type NodeInfo, type PodInfo, nodeInfoOf, podInfoOf } from './node-info.ts';

export class NodeCache {
  readonly #nodes = new Map<string, Node>();
  readonly #podsByNode = new Map<string, Map<string, PodInfo>>();
  readonly #nodeOfPod = new Map<string, string>();
  readonly #assumed = new Set<string>();
  readonly #infos = new Map<string, NodeInfo>();

  setNode(node: Node): void {
    this.#nodes.set(node.metadata.name, node);
    this.#infos.delete(node.metadata.name);
  }

  removeNode(name: string): void {
    this.#nodes.delete(name);
    this.#infos.delete(name);
  }

  /** A pod that the API shows on a node, in any but a final phase. */
  setPod(pod: Pod): void {
    const { nodeName } = pod.spec;
    if (nodeName === undefined || nodeName === '') return;
    this.#assumed.delete(objectKey(pod));
    this.#place(pod, nodeName);
  }

  removePod(pod: Pod): void {
    const key = objectKey(pod);
    this.#assumed.delete(key);
    this.#unplace(key);
  }

  /** Counts the pod on the node until the API shows it there or `forget` is called. */
  assume(pod: Pod, nodeName: string): void {
    this.#assumed.add(objectKey(pod));
    this.#place({ ...pod, spec: { ...pod.spec, nodeName } }, nodeName);
  }

  /** Takes an assumption back; a pod that the API has shown meanwhile stays. */
  forget(pod: Pod): void {
    const key = objectKey(pod);
    if (this.#assumed.delete(key)) this.#unplace(key);
  }

  isAssumed(pod: Pod): boolean {
    return this.#assumed.has(objectKey(pod));
  }

  /** All nodes, in the order in which they came. */
  snapshot(): NodeInfo[] {
    return [...this.#nodes.values()].map((node) => {
      const { name } = node.metadata;
      const known = this.#infos.get(name);
      if (known !== undefined) return known;
      const info = nodeInfoOf(node, [...(this.#podsByNode.get(name)?.values() ?? [])]);
      this.#infos.set(name, info);
      return info;
    });
  }

  #place(pod: Pod, nodeName: string): void {
    const key = objectKey(pod);
    if (this.#nodeOfPod.get(key) !== nodeName) this.#unplace(key);
    const pods = this.#podsByNode.get(nodeName) ?? new Map<string, PodInfo>();
    pods.set(key, podInfoOf(pod));
    this.#podsByNode.set(nodeName, pods);
    this.#nodeOfPod.set(key, nodeName);
    this.#infos.delete(nodeName);
  }

  #unplace(key: string): void {
    const nodeName = this.#nodeOfPod.get(key);
    if (nodeName === undefined) return;
    this.#nodeOfPod.delete(key);
    const pods = this.#podsByNode.get(nodeName);
    pods?.delete(key);
    if (pods?.size === 0) this.#podsByNode.delete(nodeName);
    this.#infos.delete(nodeName);
  }
}
