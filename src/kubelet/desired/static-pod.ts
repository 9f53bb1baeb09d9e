/** Manifests in a file or behind a URL → the pods that run from them, or the reason why they can't. Pure. */
import { type ScalarTag, type Tags, parseAllDocuments } from 'yaml';
import type { Container, Pod, Volume } from '../../objects/generated/core-v1.ts';
import { fnv1a128Hex } from '../../base/fnv.ts';
import { defaultPod } from '../../objects/default-pod.ts';
import { readPodShape } from '../../objects/read-shape.ts';
import { type PodSource, configHashAnnotation } from '../pod-model.ts';
import { validatePod } from './validate-pod.ts';

interface Rejected {
  kind: 'rejected';
  problems: string[];
}

export type ParsedManifest = { kind: 'pod'; pod: Pod } | Rejected;

const rejected = (...problems: string[]): Rejected => ({ kind: 'rejected', problems });

/** @param path of the file: part of the pod's identity */
export function parseStaticPod(text: string, path: string, nodeName: string): ParsedManifest {
  const document = readDocument(text);
  return 'problems' in document ? rejected(...document.problems) : toPod(document.value, path, 'file', nodeName);
}

/** One pod or a `PodList`; one that cannot be used spoils the list. */
export function parseStaticPods(text: string, url: string, nodeName: string): { kind: 'pods'; pods: Pod[] } | Rejected {
  const document = readDocument(text);
  if ('problems' in document) return rejected(...document.problems);
  const { value } = document;
  if (!isObject(value) || value['kind'] !== 'PodList') {
    const parsed = toPod(value, url, 'http', nodeName);
    return parsed.kind === 'pod' ? { kind: 'pods', pods: [parsed.pod] } : parsed;
  }
  const items: unknown = value['items'] ?? [];
  if (value['apiVersion'] !== 'v1' || !Array.isArray(items)) {
    return rejected('expected a PodList of apiVersion "v1" with a list of items');
  }
  const pods: Pod[] = [];
  for (const [i, item] of (items as unknown[]).entries()) {
    const typed = isObject(item) ? { apiVersion: 'v1', kind: 'Pod', ...item } : item;
    const parsed = toPod(typed, url, 'http', nodeName);
    if (parsed.kind === 'rejected') return rejected(...parsed.problems.map((problem) => `items[${i}]: ${problem}`));
    pods.push(parsed.pod);
  }
  return { kind: 'pods', pods };
}

/** Kubernetes reads YAML 1.1 in these two: file modes are written `0644`, and `yes` is true. */
const octal: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^[-+]?0[0-7]+$/,
  resolve: (text) => Number.parseInt(text, 8),
};
const yes: ScalarTag = {
  tag: 'tag:yaml.org,2002:bool',
  default: true,
  test: /^(?:yes|Yes|YES|on|On|ON|no|No|NO|off|Off|OFF)$/,
  resolve: (text) => /^(?:yes|on)$/i.test(text),
};
const customTags = (tags: Tags): Tags => [octal, yes, ...tags];

function readDocument(text: string): { value: unknown } | { problems: string[] } {
  const documents = parseAllDocuments(text, { customTags, merge: true });
  const problems = [...documents].flatMap(({ errors }) =>
    errors.map(({ message }) => message.split('\n')[0] ?? message),
  );
  if (problems.length > 0) return { problems };
  const values = [...documents]
    .map((document): unknown => document.toJS({ maxAliasCount: 100 }))
    .filter((value) => value !== null);
  if (values.length !== 1) return { problems: [`expected one pod in the file, found ${values.length} documents`] };
  return { value: values[0] };
}

function toPod(raw: unknown, origin: string, source: PodSource, nodeName: string): ParsedManifest {
  if (!isObject(raw)) return rejected('expected a Pod object');
  const object = raw as Partial<Pod>;
  if (object.kind !== 'Pod' || object.apiVersion !== 'v1') {
    const found = `${object.apiVersion ?? 'no apiVersion'} ${object.kind ?? 'no kind'}`;
    return rejected(`expected apiVersion "v1" and kind "Pod", found "${found}"`);
  }
  if (!isObject(object.metadata) || typeof object.metadata.name !== 'string' || object.metadata.name === '') {
    return rejected('invalid pod: name is needed for the pod');
  }
  const { pod, problems: shape } = readPodShape(raw);
  const problems = validatePod(object);
  if (problems.length > 0) return rejected(...problems);
  if (shape.length > 0) return rejected(...shape);
  const references = apiReferences(pod).map((what) => `static pods may not reference ${what}`);
  if (references.length > 0) return rejected(...references);
  return { kind: 'pod', pod: asStaticPod(defaultPod(pod), raw, origin, source, nodeName) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
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

const secretRef = (volume: { secretRef?: unknown } | undefined): unknown => volume?.secretRef;

function volumeReferences(volume: Volume): string[] {
  const viaSecret = [
    volume.azureFile,
    ...[volume.cephfs, volume.cinder, volume.flexVolume, volume.iscsi].map(secretRef),
  ];
  if ([...viaSecret, ...[volume.rbd, volume.scaleIO, volume.storageos].map(secretRef)].some((it) => it !== undefined)) {
    return ['secrets'];
  }
  if (volume.glusterfs !== undefined) return ['endpoints (via glusterFS volumes)'];
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
