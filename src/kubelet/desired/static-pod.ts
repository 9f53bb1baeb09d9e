/** A manifest in a file → the pod that runs from it, or the reason why it can't. Pure. */
import { parseAllDocuments } from 'yaml';
import type { Container, Pod, Volume } from '../../objects/generated/core-v1.ts';
import { fnv1a128Hex } from '../../base/fnv.ts';
import { defaultPod } from '../../objects/default-pod.ts';
import { readPodShape } from '../../objects/read-shape.ts';
import { type PodSource, configHashAnnotation } from '../pod-model.ts';
import { validatePod } from './validate-pod.ts';

export type ParsedManifest = { kind: 'pod'; pod: Pod } | { kind: 'rejected'; problems: string[] };

/** @param origin the file's path or the URL: part of the pod's identity */
export function parseStaticPod(text: string, origin: string, source: PodSource, nodeName: string): ParsedManifest {
  const documents = parseAllDocuments(text);
  const errors = [...documents].flatMap(({ errors: list }) =>
    list.map(({ message }) => message.split('\n')[0] ?? message),
  );
  if (errors.length > 0) return { kind: 'rejected', problems: errors };
  const values = [...documents]
    .map((document): unknown => document.toJS({ maxAliasCount: 100 }))
    .filter((value) => value !== null);
  if (values.length !== 1)
    return { kind: 'rejected', problems: [`expected one pod in the file, found ${values.length} documents`] };
  const raw = values[0];
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    return { kind: 'rejected', problems: ['expected a Pod object'] };
  const object = raw as Partial<Pod>;
  if (object.kind !== 'Pod' || object.apiVersion !== 'v1') {
    const found = `${object.apiVersion ?? 'no apiVersion'} ${object.kind ?? 'no kind'}`;
    return { kind: 'rejected', problems: [`expected apiVersion "v1" and kind "Pod", found "${found}"`] };
  }
  if (
    typeof object.metadata !== 'object' ||
    object.metadata === null ||
    typeof object.metadata.name !== 'string' ||
    object.metadata.name === ''
  ) {
    return { kind: 'rejected', problems: ['invalid pod: name is needed for the pod'] };
  }
  const { pod, problems: shape } = readPodShape(raw);
  const problems = validatePod(object);
  if (problems.length + shape.length > 0) return { kind: 'rejected', problems: problems.length > 0 ? problems : shape };
  const references = apiReferences(pod).map((what) => `static pods may not reference ${what}`);
  if (references.length > 0) return { kind: 'rejected', problems: references };
  return { kind: 'pod', pod: asStaticPod(defaultPod(pod), raw, origin, source, nodeName) };
}

function asStaticPod(pod: Pod, raw: unknown, origin: string, source: PodSource, nodeName: string): Pod {
  const uid = pod.metadata.uid || staticPodUid(raw, origin, source, nodeName);
  const tolerations =
    source === 'file'
      ? [...(pod.spec.tolerations ?? []), { operator: 'Exists', effect: 'NoExecute' }]
      : pod.spec.tolerations;
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      uid,
      name: `${pod.metadata.name}-${nodeName.toLowerCase()}`,
      namespace: pod.metadata.namespace || 'default',
      annotations: { ...pod.metadata.annotations, [configHashAnnotation]: uid },
    },
    spec: { ...pod.spec, nodeName, tolerations },
    status: { phase: 'Pending' },
  };
}

/** Changes with the manifest, the node and the file's path, and with nothing else. */
export function staticPodUid(raw: unknown, origin: string, source: PodSource, nodeName: string): string {
  const place = source === 'file' ? `file:${origin}` : `url:${origin}`;
  return fnv1a128Hex(Buffer.from(`${stableJson(raw)}host:${nodeName}${place}`));
}

function stableJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stableJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${stableJson(item)}`).join(',')}}`;
}

/** What a static pod names that only an API server could supply. */
function apiReferences({ spec }: Pod): string[] {
  const found = new Set<string>();
  if (spec.serviceAccountName) found.add('serviceaccounts');
  if ((spec.imagePullSecrets ?? []).length > 0) found.add('secrets');
  if ((spec.resourceClaims ?? []).length > 0) found.add('resourceclaims');
  const containers: Container[] = [...(spec.initContainers ?? []), ...spec.containers];
  for (const { env, envFrom } of containers) {
    for (const { valueFrom } of env ?? []) {
      if (valueFrom?.configMapKeyRef !== undefined) found.add('configmaps');
      if (valueFrom?.secretKeyRef !== undefined) found.add('secrets');
    }
    for (const { configMapRef, secretRef } of envFrom ?? []) {
      if (configMapRef !== undefined) found.add('configmaps');
      if (secretRef !== undefined) found.add('secrets');
    }
  }
  for (const volume of spec.volumes ?? []) for (const what of volumeReferences(volume)) found.add(what);
  return [...found];
}

function volumeReferences(volume: Volume): string[] {
  if (volume.configMap !== undefined) return ['configmaps (via configmap volumes)'];
  if (volume.secret !== undefined) return ['secrets (via secret volumes)'];
  if (volume.csi !== undefined) return ['csidrivers (via CSI volumes)'];
  if (volume.persistentVolumeClaim !== undefined || volume.ephemeral !== undefined) return ['persistentvolumeclaims'];
  return (volume.projected?.sources ?? []).flatMap((source) => [
    ...(source.configMap === undefined ? [] : ['configmaps (via projected volumes)']),
    ...(source.secret === undefined ? [] : ['secrets (via projected volumes)']),
    ...(source.serviceAccountToken === undefined ? [] : ['serviceaccounts']),
    ...(source.clusterTrustBundle === undefined ? [] : ['clustertrustbundles']),
    ...(source.podCertificate === undefined ? [] : ['podcertificates']),
  ]);
}
