/** What a volume made from API objects will contain: file by file, before anything touches the disk. Pure. */
import type {
  ConfigMap,
  ConfigMapProjection,
  DownwardAPIVolumeFile,
  KeyToPath,
  PodCertificateProjection,
  ResourceFieldSelector,
  Secret,
  SecretProjection,
} from '../../../objects/generated/core-v1.ts';

export interface PayloadFile {
  data: Buffer;
  /** Permission bits, exactly as the file will have them before the pod's group is applied. */
  mode: number;
  /** The owner; root when undefined. */
  uid?: number | undefined;
}

/** By path relative to the volume. */
export type Payload = Map<string, PayloadFile>;

/** The mode of files when neither the item nor the volume says one. */
export const defaultFileMode = 0o644;

/** `configMap` is undefined when there is none and the source is optional. @throws {Error} for a key that is missing */
export function configMapPayload(
  { items, optional }: ConfigMapProjection,
  configMap: ConfigMap | undefined,
  defaultMode: number,
): Payload {
  const data = new Map<string, Buffer>();
  for (const [key, text] of Object.entries(configMap?.binaryData ?? {})) data.set(key, Buffer.from(text, 'base64'));
  for (const [key, text] of Object.entries(configMap?.data ?? {})) data.set(key, Buffer.from(text));
  return pick(data, items, optional, defaultMode, (key) => `configmap references non-existent config key: ${key}`);
}

/** As `configMapPayload`. */
export function secretPayload(
  { items, optional }: SecretProjection,
  secret: Secret | undefined,
  defaultMode: number,
): Payload {
  const data = new Map<string, Buffer>();
  for (const [key, text] of Object.entries(secret?.data ?? {})) data.set(key, Buffer.from(text, 'base64'));
  return pick(data, items, optional, defaultMode, (key) => `references non-existent secret key: ${key}`);
}

/** All keys, or those that `items` name. */
function pick(
  data: ReadonlyMap<string, Buffer>,
  items: KeyToPath[] | undefined,
  optional: boolean | undefined,
  defaultMode: number,
  missing: (key: string) => string,
): Payload {
  const payload: Payload = new Map();
  if (items === undefined || items.length === 0) {
    for (const [key, bytes] of data) payload.set(key, { data: bytes, mode: defaultMode });
    return payload;
  }
  for (const { key, path, mode } of items) {
    const bytes = data.get(key);
    if (bytes !== undefined) payload.set(path, { data: bytes, mode: mode ?? defaultMode });
    else if (optional !== true) throw new Error(missing(key));
  }
  return payload;
}

/** Key and certificates in as many files as the pod wants; an empty path is none. */
export function certificatePayload(
  { credentialBundlePath, keyPath, certificateChainPath }: PodCertificateProjection,
  { privateKey, certificateChain }: { privateKey: string; certificateChain: string },
  owner: Omit<PayloadFile, 'data'>,
): Payload {
  const payload: Payload = new Map();
  const add = (path: string | undefined, text: string): void => {
    if (path !== undefined && path !== '') payload.set(path, { data: Buffer.from(text), ...owner });
  };
  add(credentialBundlePath, privateKey + certificateChain);
  add(keyPath, privateKey);
  add(certificateChainPath, certificateChain);
  return payload;
}

/** How the values of a pod's own fields are read; throws for a field that it does not know. */
export interface PodFields {
  field(path: string): string;
  resource(selector: ResourceFieldSelector): string;
}

/** All that is wrong is said at once. @throws {Error} */
export function downwardPayload(
  items: readonly DownwardAPIVolumeFile[] | undefined,
  fields: PodFields,
  defaultMode: number,
): Payload {
  const payload: Payload = new Map();
  const problems: string[] = [];
  for (const { path, fieldRef, resourceFieldRef, mode } of items ?? []) {
    try {
      const text =
        fieldRef !== undefined
          ? fields.field(fieldRef.fieldPath)
          : resourceFieldRef !== undefined
            ? fields.resource(resourceFieldRef)
            : '';
      payload.set(path, { data: Buffer.from(text), mode: mode ?? defaultMode });
    } catch (err) {
      problems.push(err instanceof Error ? err.message : String(err));
    }
  }
  if (problems.length > 0) throw aggregateError(problems);
  return payload;
}

/** One problem as it is, several in brackets: how upstream joins errors. */
export function aggregateError(problems: readonly string[]): Error {
  const distinct = [...new Set(problems)];
  return new Error(distinct.length === 1 ? distinct[0] : `[${distinct.join(', ')}]`);
}
