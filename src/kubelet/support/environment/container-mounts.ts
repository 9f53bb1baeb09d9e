/**
 * What the runtime mounts into a container: its volumes, the hosts file and the file for its last words.
 *
 * Sub paths are bound to places of their own below the pod's directory before the container starts; the volumes room
 * takes them down with the pod. Errors are the container's waiting message.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Mount } from '../../../adapters/cri/generated/runtime/v1/Mount.ts';
import type { Mounts } from '../../../adapters/mounts/mounts.ts';
import type { Clock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import type { Logger } from '../../../base/logger.ts';
import type { Container, VolumeMount } from '../../../objects/generated/core-v1.ts';
import type { EnvironmentVariable } from './environment.ts';
import { expandStrictly } from './expansion.ts';
import { writeHostsFile } from './hosts-file.ts';

export interface ContainerMountsNeed {
  mounts: Pick<Mounts, 'makeSubPath' | 'bindSubPath' | 'modeOf' | 'listMounts'>;
  clock: Clock;
  log: Logger;
}

interface VolumeOnHost {
  hostPath: string;
  readOnly: boolean;
  specName?: string;
  /** Upstream's name of its kind, of a volume that outlives pods; a driver's name follows. */
  plugin?: string;
}

export interface ContainerMountsInput {
  container: Container;
  /** `<root>/pods/<uid>`. */
  podDir: string;
  /** What the pod's volumes are on the host, by name. */
  volumes: ReadonlyMap<string, VolumeOnHost>;
  /** Those of the pod's volumes that are images, by name: the runtime mounts them by itself. */
  images: ReadonlyMap<string, { id: string; reference: string }>;
  /** The container's final environment, for `subPathExpr`. */
  environment: readonly EnvironmentVariable[];
  /** Content of `/etc/hosts`; undefined when the pod gets none. */
  hosts: string | undefined;
  /** Whether files that are made for containers must be labelled for them. */
  hasSeLinux: boolean;
  /** Whether the pod's runtime handler can make mounts below a read-only mount read-only too. */
  hasRecursiveReadOnly: boolean;
}

export interface ContainerMounts {
  /** In the order in which the runtime is to mount them. */
  mounts: Mount[];
  /** Removes what was made for this start alone: to be called when the container could not be created. */
  cleanup: () => Promise<void>;
}

/**
 * A volume that comes from elsewhere, as from a server that is gone, may never answer. A child process asks first: it can
 * be left behind, which a thread of ours could not.
 */
const lookLimitMs = 30_000;

const defaultTerminationMessagePath = '/dev/termination-log';

/** @throws {Error} in upstream's words */
export async function makeContainerMounts(
  input: ContainerMountsInput,
  need: ContainerMountsNeed,
  signal: AbortSignal,
): Promise<ContainerMounts> {
  const { container, podDir, hosts, hasSeLinux } = input;
  if (!isContainerName(container.name)) {
    throw new TypeError(`Cannot use ${JSON.stringify(container.name)} as a container's name in a path`);
  }
  const mounts: Mount[] = [];
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    mounts.push(await volumeMount(mount, index, input, need, signal));
  }
  const ownsHosts = (container.volumeMounts ?? []).some(({ mountPath }) => mountPath === '/etc/hosts');
  if (hosts !== undefined && !ownsHosts) {
    mounts.push(plainMount('/etc/hosts', await writeHostsFile(podDir, hosts), true));
  }
  const messagePath = container.terminationMessagePath ?? defaultTerminationMessagePath;
  const messageFile = messagePath === '' ? undefined : await makeMessageFile(podDir, container.name, need.log);
  if (messageFile !== undefined) mounts.push(plainMount(messagePath, messageFile, hasSeLinux));
  return {
    mounts,
    cleanup: async () => {
      if (messageFile !== undefined) await rm(messageFile, { force: true });
    },
  };
}

async function volumeMount(
  mount: VolumeMount,
  index: number,
  { container, podDir, volumes, images, environment, hasSeLinux, hasRecursiveReadOnly }: ContainerMountsInput,
  { mounts, clock }: ContainerMountsNeed,
  signal: AbortSignal,
): Promise<Mount> {
  const volume = volumes.get(mount.name);
  if (volume === undefined) {
    throw new Error(`cannot find volume "${mount.name}" to mount into container "${container.name}"`);
  }
  const propagation = mountPropagation(mount);
  const recursiveReadOnly = resolveRecursiveReadOnly(mount, hasRecursiveReadOnly);
  const subPath = resolveSubPath(mount, environment);
  const image = images.get(mount.name);
  if (image !== undefined) return imageMount(mount, image, { propagation, recursiveReadOnly, subPath });
  let hostPath = volume.hostPath;
  if (subPath !== '') {
    const where = `for volumeMount "${mount.name}" of container "${container.name}"`;
    if (!isMadeForPod(relative(podDir, volume.hostPath))) {
      const path = join(volume.hostPath, subPath);
      const look = (s: AbortSignal): Promise<unknown> => mounts.modeOf(path, s);
      await withDeadline(`looking at "${path}"`, lookLimitMs, clock, signal, look).catch((cause: unknown) => {
        signal.throwIfAborted();
        throw new Error(`failed to prepare subPath ${where}`, { cause });
      });
    }
    await mounts.makeSubPath({ volumePath: volume.hostPath, subPath }, signal).catch((cause: unknown) => {
      throw new Error(`failed to create subPath directory ${where}`, { cause });
    });
    hostPath = join(podDir, 'volume-subpaths', volume.specName ?? mount.name, container.name, String(index));
    const bind = { volumePath: volume.hostPath, subPath, target: hostPath };
    await mounts.bindSubPath(bind, signal).catch((cause: unknown) => {
      throw new Error(`failed to prepare subPath ${where}`, { cause });
    });
  }
  return {
    container_path: absolute(mount.mountPath),
    host_path: hostPath,
    readonly: mount.readOnly === true || volume.readOnly,
    selinux_relabel: hasSeLinux && (await takesLabel(volume, podDir, mounts)),
    propagation,
    recursive_read_only: recursiveReadOnly,
  };
}

/** Volumes of the node itself for this pod alone: nobody else's label is lost when they get the pod's. */
const isMadeForPod = (path: string): boolean =>
  /^volumes\/kubernetes\.io~(?:empty-dir|configmap|secret|downward-api|projected)\//.test(path);

/** Whether the files of a volume get the label of the pod: those of others must not lose theirs. */
async function takesLabel(
  { hostPath, readOnly, plugin = '' }: VolumeOnHost,
  podDir: string,
  mounts: Pick<Mounts, 'listMounts'>,
): Promise<boolean> {
  if (isMadeForPod(relative(podDir, hostPath))) return true;
  if (readOnly) return false;
  if (!plugin.startsWith('kubernetes.io/csi:')) return plugin === 'kubernetes.io/local-volume';
  // a driver's file system may know no labels, or have been mounted with one for all
  const entry = (await mounts.listMounts()).findLast(({ target }) => target === hostPath);
  return entry?.superOptions.includes('seclabel') === true;
}

/** Nothing of an image lies on the host under a path that we know. */
function imageMount(
  { mountPath }: VolumeMount,
  { id, reference }: { id: string; reference: string },
  {
    propagation,
    recursiveReadOnly,
    subPath,
  }: { propagation: ReturnType<typeof mountPropagation>; recursiveReadOnly: boolean; subPath: string },
): Mount {
  return {
    container_path: absolute(mountPath),
    host_path: '',
    readonly: true,
    selinux_relabel: false,
    propagation,
    recursive_read_only: recursiveReadOnly,
    image: { image: id, user_specified_image: reference },
    ...(subPath === '' ? {} : { image_sub_path: subPath }),
  };
}

const absolute = (mountPath: string): string => (mountPath.startsWith('/') ? mountPath : `/${mountPath}`);

function plainMount(containerPath: string, hostPath: string, isRelabelled: boolean): Mount {
  return {
    container_path: containerPath,
    host_path: hostPath,
    readonly: false,
    selinux_relabel: isRelabelled,
    propagation: 'PROPAGATION_PRIVATE',
    recursive_read_only: false,
  };
}

/** The path inside the volume; empty for the whole volume. @throws {Error} for one that leaves it or lacks a value */
export function resolveSubPath(mount: VolumeMount, environment: readonly EnvironmentVariable[]): string {
  const { subPath = '', subPathExpr = '' } = mount;
  const path = subPathExpr === '' ? subPath : expandStrictly(subPathExpr, environment);
  if (path.startsWith('/')) throw new Error(`error SubPath \`${path}\` must not be an absolute path`);
  if (path.split('/').includes('..')) {
    throw new Error(`unable to provision SubPath \`${path}\`: must not contain '..'`);
  }
  return path;
}

export function mountPropagation({
  mountPropagation: mode = 'None',
}: VolumeMount): 'PROPAGATION_PRIVATE' | 'PROPAGATION_HOST_TO_CONTAINER' | 'PROPAGATION_BIDIRECTIONAL' {
  if (mode === 'None') return 'PROPAGATION_PRIVATE';
  if (mode === 'HostToContainer') return 'PROPAGATION_HOST_TO_CONTAINER';
  if (mode === 'Bidirectional') return 'PROPAGATION_BIDIRECTIONAL';
  throw new Error(`invalid MountPropagation mode: "${mode}"`);
}

/** @throws {Error} when it is asked for where it cannot be */
export function resolveRecursiveReadOnly(
  { name, readOnly, recursiveReadOnly = 'Disabled', mountPropagation: propagation = 'None' }: VolumeMount,
  isSupported: boolean,
): boolean {
  if (recursiveReadOnly === 'Disabled') return false;
  const failure = (what: string): Error =>
    new Error(
      `failed to resolve recursive read-only mode: volume "${name}" requested recursive read-only mode, but ${what}`,
    );
  if (readOnly !== true) throw failure('it is not read-only');
  if (propagation !== 'None') throw failure(`it is not compatible with propagation "${propagation}"`);
  if (recursiveReadOnly === 'IfPossible') return isSupported;
  if (recursiveReadOnly !== 'Enabled') {
    throw new Error(
      `failed to resolve recursive read-only mode: unknown recursive read-only mode "${recursiveReadOnly}"`,
    );
  }
  if (!isSupported) throw failure('it is not supported by the runtime');
  return true;
}

/** A DNS label. */
const isContainerName = (name: string): boolean => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name);

/** A new file at each start. A container without one starts nevertheless: it only cannot say why it ended. */
async function makeMessageFile(podDir: string, container: string, log: Logger): Promise<string | undefined> {
  const directory = join(podDir, 'containers', container);
  const file = join(directory, randomBytes(4).toString('hex'));
  try {
    await mkdir(directory, { recursive: true, mode: 0o750 });
    await writeFile(file, '', { flag: 'wx' });
    await chmod(file, 0o666); // whoever the container runs as may write
    return file;
  } catch (err) {
    log.warn({ err, container }, 'cannot make the file for a termination message');
    return undefined;
  }
}
