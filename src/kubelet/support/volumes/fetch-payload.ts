/** Collects what a projected volume shows, from the API and from the pod itself. Touches no disk. */
import { createHash } from 'node:crypto';
import { NotFoundError, describeError, isNotFound } from '../../../base/errors.ts';
import type {
  ClusterTrustBundleProjection,
  ConfigMap,
  Pod,
  PodCertificateProjection,
  Secret,
  Volume,
  VolumeProjection,
} from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import {
  type Payload,
  type PodFields,
  aggregateError,
  certificatePayload,
  configMapPayload,
  defaultFileMode,
  downwardPayload,
  secretPayload,
} from './file-payload.ts';
import { tokenFileOwner } from './ownership.ts';
import type { TokenWish } from './service-account-tokens.ts';

export interface PayloadSources {
  /** Throw `NotFoundError` when there is none. */
  getConfigMap(namespace: string, name: string, signal: AbortSignal): Promise<ConfigMap>;
  getSecret(namespace: string, name: string, signal: AbortSignal): Promise<Secret>;
  /** Values of the pod's own fields. */
  podFields(pod: Pod): PodFields;
  getToken(wish: TokenWish, signal: AbortSignal): Promise<string>;
  /** Trust anchors as PEM. @throws {Error} in upstream's words where there are none to be had */
  getTrustAnchors(wish: ClusterTrustBundleProjection, signal: AbortSignal): Promise<string>;
  /** The certificate for one source of a volume. @throws {Error} in upstream's words while there is none */
  getPodCertificate(
    pod: Pod,
    volume: string,
    sourceIndex: number,
    source: PodCertificateProjection,
  ): { privateKey: string; certificateChain: string };
}

/** @throws {Error} in upstream's words when a part is missing that is not optional */
export async function fetchPayload(
  pod: Pod,
  volume: Volume,
  sources: PayloadSources,
  signal: AbortSignal,
): Promise<Payload> {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap !== undefined) {
    const mode = configMap.defaultMode ?? defaultFileMode;
    return configMapPayload(configMap, await findConfigMap(pod, configMap, sources, signal), mode);
  }
  if (secret !== undefined) {
    const { secretName, items, optional, defaultMode } = secret;
    const source = { name: secretName, items, optional };
    return secretPayload(source, await findSecret(pod, source, sources, signal), defaultMode ?? defaultFileMode);
  }
  if (downwardAPI !== undefined) {
    return downwardPayload(downwardAPI.items, sources.podFields(pod), downwardAPI.defaultMode ?? defaultFileMode);
  }
  const mode = projected?.defaultMode ?? defaultFileMode;
  const parts = await Promise.allSettled(
    (projected?.sources ?? []).map((source, index) =>
      fetchSource(pod, { volume: volume.name, index, source }, mode, sources, signal),
    ),
  );
  const problems: string[] = [];
  const payload: Payload = new Map();
  for (const part of parts) {
    if (part.status === 'fulfilled') for (const [path, file] of part.value) payload.set(path, file);
    else problems.push(describeError(part.reason));
  }
  signal.throwIfAborted();
  if (problems.length > 0) throw aggregateError(problems);
  return payload;
}

async function fetchSource(
  pod: Pod,
  { volume, index, source }: { volume: string; index: number; source: VolumeProjection },
  mode: number,
  sources: PayloadSources,
  signal: AbortSignal,
): Promise<Payload> {
  const { configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle, podCertificate } = source;
  if (configMap !== undefined) {
    return configMapPayload(configMap, await findConfigMap(pod, configMap, sources, signal), mode);
  }
  if (secret !== undefined) return secretPayload(secret, await findSecret(pod, secret, sources, signal), mode);
  if (downwardAPI !== undefined) return downwardPayload(downwardAPI.items, sources.podFields(pod), mode);
  if (serviceAccountToken !== undefined) {
    const { path, audience, expirationSeconds } = serviceAccountToken;
    const token = await sources.getToken(
      {
        namespace: namespaceOf(pod),
        serviceAccount: pod.spec.serviceAccountName ?? 'default',
        audience: audience === '' ? undefined : audience,
        expirationSeconds: expirationSeconds ?? 3600,
        podName: pod.metadata.name,
        podUid: uidOf(pod),
      },
      signal,
    );
    return new Map([[path, { data: Buffer.from(token), ...tokenFileOwner(pod, mode) }]]);
  }
  if (clusterTrustBundle !== undefined) {
    const anchors = await sources.getTrustAnchors(clusterTrustBundle, signal);
    return new Map([[clusterTrustBundle.path, { data: Buffer.from(anchors), ...tokenFileOwner(pod, mode) }]]);
  }
  if (podCertificate !== undefined) {
    const bundle = sources.getPodCertificate(pod, volume, index, podCertificate);
    return certificatePayload(podCertificate, bundle, tokenFileOwner(pod, mode));
  }
  return new Map();
}

const namespaceOf = (pod: Pod): string => pod.metadata.namespace ?? 'default';

interface NamedSource {
  name?: string | undefined;
  optional?: boolean | undefined;
}

async function findConfigMap(
  pod: Pod,
  { name = '', optional }: NamedSource,
  sources: PayloadSources,
  signal: AbortSignal,
): Promise<ConfigMap | undefined> {
  try {
    return await sources.getConfigMap(namespaceOf(pod), name, signal);
  } catch (err) {
    return missing(err, optional, `configmap "${name}" not found`);
  }
}

async function findSecret(
  pod: Pod,
  { name = '', optional }: NamedSource,
  sources: PayloadSources,
  signal: AbortSignal,
): Promise<Secret | undefined> {
  try {
    return await sources.getSecret(namespaceOf(pod), name, signal);
  } catch (err) {
    return missing(err, optional, `secret "${name}" not found`);
  }
}

/** Only a thing that is not there can be done without; any other failure is one, optional or not. */
function missing(err: unknown, optional: boolean | undefined, message: string): undefined {
  if (!isNotFound(err)) throw err;
  if (optional !== true) throw new NotFoundError(message);
}

/** Equal for payloads of equal paths, bytes, modes and owners. */
export function payloadDigest(payload: Payload): string {
  const hash = createHash('sha256');
  for (const path of [...payload.keys()].toSorted()) {
    const file = payload.get(path);
    if (file === undefined) continue;
    hash.update(JSON.stringify([path, file.mode, file.uid, file.data.length])).update(file.data);
  }
  return hash.digest('base64');
}
