/**
 * The door for pods that come over the wire. An API server has checked them, an older or a broken one less than we
 * count on: whatever comes in is of the right types afterwards, and a pod that no kubelet can run is known as such, with
 * the reasons. Remembers the reasons as long as somebody holds the pod.
 */
import { defaultPod } from '../../objects/default-pod.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { readPodShape } from '../../objects/read-shape.ts';
import { identityProblems, validatePod } from './validate-pod.ts';

export class PodDoor {
  readonly #problems = new WeakMap<Pod, readonly string[]>();

  /**
   * The pod as far as it can be read, without `managedFields`. Never throws.
   * @param before as it was read last: most changes are of the status, and a spec of the same generation is the same
   */
  read(raw: unknown, before?: Pod): Pod {
    if (before !== undefined && !this.#problems.has(before) && hasSameSpec(raw, before)) {
      const { pod, problems } = readPodShape({ ...raw, spec: { containers: [] } });
      if (problems.length === 0 && identityProblems(pod.metadata).length === 0) {
        const { managedFields: _, ...metadata } = pod.metadata;
        return { ...pod, metadata, spec: before.spec };
      }
    }
    const { pod: read, problems: shape } = readPodShape(raw);
    const { managedFields: _, ...metadata } = read.metadata;
    const pod: Pod = { ...read, metadata };
    const problems = shape.length > 0 ? shape : [...new Set([...identityProblems(metadata), ...validatePod(pod)])];
    if (problems.length === 0) return withDefaults(pod);
    // of a pod that is not run nothing but its metadata counts
    const refused: Pod = { ...pod, spec: { containers: [] } };
    this.#problems.set(refused, problems);
    return refused;
  }

  /** Why the pod cannot run anywhere; empty for one that can. @param pod as `read` returned it */
  problemsOf(pod: Pod): readonly string[] {
    return this.#problems.get(pod) ?? [];
  }

  /** Whether nobody can answer for the pod: without a name, a namespace and a uid there is no place to say anything. */
  isNobody(pod: Pod): boolean {
    return identityProblems(pod.metadata).length > 0;
  }
}

/** The generation counts the changes of a spec; older servers have none. */
function hasSameSpec(raw: unknown, { metadata: { uid, generation } }: Pod): raw is object {
  if (typeof raw !== 'object' || raw === null || !('metadata' in raw)) return false;
  const metadata: { uid?: unknown; generation?: unknown } | null | undefined = raw.metadata as
    | object
    | null
    | undefined;
  return (generation ?? 0) > 0 && metadata?.generation === generation && metadata?.uid === uid;
}

/** An API server gives defaults to what it sends; who counts on them must not hang on one that does not. */
function withDefaults(pod: Pod): Pod {
  const { spec } = defaultPod(pod);
  // a volume of a kind that is not known here must not pass for an empty one
  return pod.spec.volumes === undefined ? { ...pod, spec } : { ...pod, spec: { ...spec, volumes: pod.spec.volumes } };
}
