/** Revisions of a Deployment and the annotations that record them. Pure. */
import type { Deployment, ReplicaSet } from '../../objects/generated/apps-v1.ts';
import { desiredAnnotation, maxAnnotation, replicasOf, rolloutLimits } from './compute-replica-counts.ts';

export const revisionAnnotation = 'deployment.kubernetes.io/revision';
const historyAnnotation = 'deployment.kubernetes.io/revision-history';
const historyMaxLength = 2000;

/** Annotations of the Deployment that its ReplicaSets don't inherit. */
const notCopied: ReadonlySet<string> = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  revisionAnnotation,
  historyAnnotation,
  desiredAnnotation,
  maxAnnotation,
  'deprecated.deployment.rollback.to',
]);

export function revisionOf({ metadata }: Pick<ReplicaSet, 'metadata'>): number {
  const number = Number(metadata.annotations?.[revisionAnnotation] ?? 0);
  return Number.isSafeInteger(number) ? number : 0;
}

export function nextRevision(old: readonly ReplicaSet[]): number {
  return Math.max(0, ...old.map(revisionOf)) + 1;
}

/** The annotations that the ReplicaSet of the current template should have. */
export function newSetAnnotations(
  deployment: Deployment,
  existing: ReplicaSet | undefined,
  revision: number,
): Record<string, string> {
  const annotations: Record<string, string> = { ...existing?.metadata.annotations };
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {})) {
    if (!notCopied.has(key)) annotations[key] = value;
  }
  const oldText = annotations[revisionAnnotation];
  const isNumber = oldText === undefined || /^-?\d+$/.test(oldText);
  if (isNumber && Number(oldText ?? 0) < revision) {
    annotations[revisionAnnotation] = String(revision);
    if (existing !== undefined && oldText !== undefined) {
      annotations[historyAnnotation] = appended(annotations[historyAnnotation], oldText);
    }
  }
  return existing === undefined ? { ...annotations, ...sizeAnnotations(deployment) } : annotations;
}

/** What `scaleAll` needs later: the sizes that the Deployment had. */
export function sizeAnnotations(deployment: Deployment): Record<string, string> {
  const replicas = replicasOf(deployment);
  return {
    [desiredAnnotation]: String(replicas),
    [maxAnnotation]: String(replicas + rolloutLimits(deployment).maxSurge),
  };
}

function appended(history: string | undefined, revision: string): string {
  const parts = history === undefined || history === '' ? [] : history.split(',');
  parts.push(revision);
  while (parts.length > 1 && parts.join(',').length > historyMaxLength) parts.shift();
  return parts.join(',');
}
