/**
 * What a pod finds in its environment: variables, hosts file, host name, name service, mounts. This room decides; it
 * remembers nothing.
 *
 * `environment.ts` makes the variables of one container. It promises upstream's order and words: envFrom, then env,
 * then services, later ones winning; a missing thing that is not optional is an error that names it. It needs the
 * objects that the container refers to.
 */
import { join } from 'node:path';
import type { Mounts } from '../../../adapters/mounts/mounts.ts';
import { textOfBytes } from '../../../base/byte-text.ts';
import { NotFoundError, isNotFound } from '../../../base/errors.ts';
import type {
  ConfigMap,
  Container,
  EnvFromSource,
  EnvVarSource,
  FileKeySelector,
  Pod,
  Secret,
  Service,
} from '../../../objects/generated/core-v1.ts';
import { isStaticPod } from '../../pod-model.ts';
import { findInEnvFile } from './env-file.ts';
import { expand } from './expansion.ts';
import { type PodAddresses, environmentField, resourceField } from './field-path.ts';
import { serviceEnvironment } from './service-env.ts';

export interface EnvironmentVariable {
  name: string;
  /** As `base/byte-text.ts` writes bytes: those of a secret need not be text. */
  value: string;
}

export interface EnvironmentSources extends PodAddresses {
  /** Throw `NotFoundError` when there is none. */
  getConfigMap(namespace: string, name: string, signal: AbortSignal): Promise<ConfigMap>;
  getSecret(namespace: string, name: string, signal: AbortSignal): Promise<Secret>;
  /** All services that the node knows; undefined until they have been read once. */
  services: readonly Service[] | undefined;
  nodeAllocatable: Record<string, string>;
  /** Where the pod's volumes lie on the host, and how to read a file inside one: for `fileKeyRef`. */
  volumes?: ReadonlyMap<string, { hostPath: string }>;
  mounts?: Pick<Mounts, 'readFileIn'>;
}

/** A file of variables may be this large, in bytes. */
const envFileMax = 1024 * 1024;

/** The variables of a container, each name once. @throws {Error} whose message is the container's waiting message */
export async function makeEnvironment(
  pod: Pod,
  container: Container,
  sources: EnvironmentSources,
  signal: AbortSignal,
): Promise<EnvironmentVariable[]> {
  const namespace = pod.metadata.namespace ?? 'default';
  if (sources.services === undefined && !isStaticPod(pod)) {
    throw new Error('services have not yet been read at least once, cannot construct envvars');
  }
  // The API server sets the field; a static pod of a file may lack it, and means the default.
  const services = serviceEnvironment(sources.services ?? [], namespace, pod.spec.enableServiceLinks ?? true);
  const variables = new Map<string, string>();
  for (const source of container.envFrom ?? []) {
    for (const [key, value] of await readAll(namespace, source, sources, signal)) {
      variables.set(`${source.prefix ?? ''}${key}`, value);
    }
  }
  for (const { name, value = '', valueFrom } of container.env ?? []) {
    if (value !== '' || valueFrom === undefined) {
      variables.set(
        name,
        expand(value, (wanted) => variables.get(wanted) ?? services.get(wanted)),
      );
    } else {
      const found = await readOne(pod, container, valueFrom, sources, signal);
      if (found !== undefined) variables.set(name, found);
    }
  }
  for (const [name, value] of services) if (!variables.has(name)) variables.set(name, value);
  return [...variables].map(([name, value]) => ({ name, value }));
}

/** All text entries of a configMap or secret; none when it is optional and not there. */
async function readAll(
  namespace: string,
  { configMapRef, secretRef }: EnvFromSource,
  sources: EnvironmentSources,
  signal: AbortSignal,
): Promise<Array<[string, string]>> {
  if (configMapRef !== undefined) {
    const configMap = await findConfigMap(namespace, configMapRef, sources, signal);
    return Object.entries(configMap?.data ?? {});
  }
  if (secretRef === undefined) return [];
  const secret = await findSecret(namespace, secretRef, sources, signal);
  return Object.entries(secret?.data ?? {}).map(([key, text]) => [key, decode(text)]);
}

/** The value of one variable; undefined when it is optional and not there. */
async function readOne(
  pod: Pod,
  container: Container,
  { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef }: EnvVarSource,
  sources: EnvironmentSources,
  signal: AbortSignal,
): Promise<string | undefined> {
  const namespace = pod.metadata.namespace ?? 'default';
  if (fieldRef !== undefined) {
    const { apiVersion = '', fieldPath } = fieldRef;
    if (apiVersion !== '' && apiVersion !== 'v1') throw new Error(`unsupported pod version: ${apiVersion}`);
    return environmentField(pod, fieldPath, sources);
  }
  if (resourceFieldRef !== undefined) {
    const { nodeAllocatable } = sources;
    return resourceField(pod, resourceFieldRef, { nodeAllocatable, container, usesPodLimits: true });
  }
  if (configMapKeyRef !== undefined) {
    const { key, name = '', optional } = configMapKeyRef;
    const value = (await findConfigMap(namespace, configMapKeyRef, sources, signal))?.data?.[key];
    if (value === undefined && optional !== true) {
      throw new Error(`couldn't find key ${key} in ConfigMap ${namespace}/${name}`);
    }
    return value;
  }
  if (secretKeyRef !== undefined) {
    const { key, name = '', optional } = secretKeyRef;
    const text = (await findSecret(namespace, secretKeyRef, sources, signal))?.data?.[key];
    if (text === undefined && optional !== true) {
      throw new Error(`couldn't find key ${key} in Secret ${namespace}/${name}`);
    }
    return text === undefined ? undefined : decode(text);
  }
  return fileKeyRef === undefined ? undefined : await readFromFile(fileKeyRef, sources, signal);
}

/** Evaluated when the container is made, so that an init container may write the file. */
async function readFromFile(
  { volumeName, path, key, optional }: FileKeySelector,
  { volumes, mounts }: EnvironmentSources,
  signal: AbortSignal,
): Promise<string | undefined> {
  const volume = volumes?.get(volumeName);
  if (volume === undefined || mounts === undefined) {
    throw new Error(`cannot find the volume "${volumeName}" referenced by FileKeyRef`);
  }
  const file = { root: volume.hostPath, path, maxBytes: envFileMax };
  let value: string | undefined;
  try {
    value = findInEnvFile(textOfBytes(await mounts.readFileIn(file, signal)), key);
  } catch (cause) {
    throw new Error("couldn't parse env file", { cause });
  }
  if (value !== undefined && value !== '') return value;
  if (optional === true) return undefined;
  throw new Error(`environment variable key "${key}" not found in file "${join(volume.hostPath, path)}"`);
}

const decode = (base64: string): string => textOfBytes(Buffer.from(base64, 'base64'));

interface NamedSource {
  name?: string | undefined;
  optional?: boolean | undefined;
}

async function findConfigMap(
  namespace: string,
  { name = '', optional }: NamedSource,
  sources: EnvironmentSources,
  signal: AbortSignal,
): Promise<ConfigMap | undefined> {
  try {
    return await sources.getConfigMap(namespace, name, signal);
  } catch (err) {
    return missing(err, optional, `configmap "${name}" not found`);
  }
}

async function findSecret(
  namespace: string,
  { name = '', optional }: NamedSource,
  sources: EnvironmentSources,
  signal: AbortSignal,
): Promise<Secret | undefined> {
  try {
    return await sources.getSecret(namespace, name, signal);
  } catch (err) {
    return missing(err, optional, `secret "${name}" not found`);
  }
}

/** Only a thing that is not there can be done without; any other failure is one, optional or not. */
function missing(err: unknown, optional: boolean | undefined, message: string): undefined {
  if (!isNotFound(err)) throw err;
  if (optional !== true) throw new NotFoundError(message); // the user reads just this: no cause with the same words
}
