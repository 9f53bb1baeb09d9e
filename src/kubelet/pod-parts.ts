/**
 * Puts together what a sandbox or a container is made from: each part is computed by its room, here they meet.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { UserNamespace } from '../adapters/cri/generated/runtime/v1/UserNamespace.ts';
import type { Mount } from '../adapters/cri/generated/runtime/v1/Mount.ts';
import type { CriImage, CriRuntimeStatus } from '../adapters/cri/cri-types.ts';
import type { HostFacts } from '../adapters/host/host.ts';
import type { Mounts } from '../adapters/mounts/mounts.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { podContainers, uidOf } from './pod-model.ts';
import { podIpsInOrder } from '../objects/pod-ips.ts';
import type { ConfigMap, Container, Pod, Secret, Service } from '../objects/generated/core-v1.ts';
import type { KubeletConfig } from './config.ts';
import type { ContainerParts, SandboxParts } from './execute/container-config.ts';
import type { VolumeImage } from './execute/volume-images.ts';
import type { ObservedPod, PodContainer, PodEvents } from './pod-model.ts';
import { makeContainerDevices } from './support/environment/container-devices.ts';
import { makeContainerMounts } from './support/environment/container-mounts.ts';
import { dnsConfig } from './support/environment/dns-config.ts';
import { type EnvironmentVariable, makeEnvironment } from './support/environment/environment.ts';
import { expandAll } from './support/environment/expansion.ts';
import { readHostResolver } from './support/environment/host-resolver.ts';
import { podHostname } from './support/environment/hostname.ts';
import { hostsContent } from './support/environment/hosts-file.ts';
import {
  type NodeMachine,
  computeContainerResources,
  computeOverheadResources,
  computeSandboxResources,
} from './support/resources/compute-container-resources.ts';
import {
  computeSandboxSecurityContext,
  computeSandboxSysctls,
  computeSecurityContext,
} from './support/security/security.ts';
import type { MountedVolume } from './support/volumes/volumes.ts';

interface PodPartsNeed {
  config: KubeletConfig;
  facts: HostFacts;
  machine: NodeMachine;
  mounts: Mounts;
  /** What the pod's volumes are on the host; they were mounted before. */
  mountedVolumes(pod: Pod): ReadonlyMap<string, MountedVolume>;
  cgroupParent(pod: Pod): string;
  getConfigMap(namespace: string, name: string, signal: AbortSignal): Promise<ConfigMap>;
  getSecret(namespace: string, name: string, signal: AbortSignal): Promise<Secret>;
  /** Waits until services have been read once, or not at all without an API. */
  services(signal: AbortSignal): Promise<readonly Service[] | undefined>;
  /** The runtime's handler name for a RuntimeClass. @throws when there is no such class */
  runtimeHandler(pod: Pod, signal: AbortSignal): Promise<string>;
  /** @throws in upstream's words when the pod cannot have the user namespace that it asks for */
  userNamespace(pod: Pod, runtimeHandler: string): Promise<UserNamespace>;
  runtimeStatus(): CriRuntimeStatus | undefined;
  hostIps(): readonly string[];
  nodeAllocatable(): Record<string, string>;
  events: PodEvents;
  nodeEvent(type: 'Normal' | 'Warning', reason: string, message: string): void;
  clock: Clock;
  log: Logger;
}

export class PodParts {
  readonly #need: PodPartsNeed;

  constructor(need: PodPartsNeed) {
    this.#need = need;
  }

  async sandboxParts(pod: Pod, signal: AbortSignal): Promise<SandboxParts> {
    const { config, events, nodeEvent } = this.#need;
    const { sandboxHostname } = podHostname(pod, config.clusterDomain);
    const { config: dns, events: notes } = dnsConfig(pod, {
      clusterDns: config.clusterDns,
      clusterDomain: config.clusterDomain,
      host: await readHostResolver(config.resolvConfPath),
      nodeIps: this.#need.hostIps(),
    });
    for (const { on, type, reason, message } of notes) {
      if (on === 'pod') events.pod(pod, type, reason, message);
      else nodeEvent(type, reason, message);
    }
    const runtimeHandler = await this.#need.runtimeHandler(pod, signal);
    const userNamespace = await this.#need.userNamespace(pod, runtimeHandler);
    return {
      hostname: sandboxHostname,
      dns,
      cgroupParent: this.#need.cgroupParent(pod),
      resources: computeSandboxResources(pod, config),
      overhead: computeOverheadResources(pod, config),
      security: computeSandboxSecurityContext(pod, { userNamespace, volumeGroups: this.#volumeGroups(pod) }),
      sysctls: computeSandboxSysctls(pod),
      runtimeHandler,
    };
  }

  async containerParts(
    pod: Pod,
    container: PodContainer,
    {
      image,
      volumeImages,
      podIps,
      observed,
    }: {
      image: CriImage;
      volumeImages: ReadonlyMap<string, VolumeImage>;
      podIps: readonly string[];
      observed: ObservedPod | undefined;
    },
    signal: AbortSignal,
  ): Promise<ContainerParts> {
    const { config, facts, machine, log, mounts } = this.#need;
    const { spec } = container;
    const hostIps = this.#need.hostIps();
    const userNamespace =
      pod.spec.hostUsers === false
        ? await this.#need.userNamespace(pod, await this.#need.runtimeHandler(pod, signal))
        : undefined;
    const ownIps = podIpsInOrder(podIps, hostIps[0]?.includes(':') === true);
    const addresses = { podIps: pod.spec.hostNetwork === true ? hostIps : ownIps, hostIps };
    const security = computeSecurityContext(
      pod,
      spec,
      { uid: image.uid, username: image.username },
      {
        seccompDefault: config.seccompDefault,
        seccompRoot: join(config.rootDir, 'seccomp'),
        thermalThrottlePaths: facts.thermalThrottlePaths,
        userNamespace,
        targetContainerId: targetContainerId(pod, container, observed),
        volumeGroups: this.#volumeGroups(pod),
      },
    );
    const environment: EnvironmentVariable[] = await makeEnvironment(
      pod,
      spec,
      {
        ...addresses,
        getConfigMap: this.#need.getConfigMap,
        getSecret: this.#need.getSecret,
        services: await this.#need.services(signal),
        nodeAllocatable: this.#need.nodeAllocatable(),
        volumes: this.#need.mountedVolumes(pod),
        mounts,
      },
      signal,
    );
    const { hostname, domain } = podHostname(pod, config.clusterDomain);
    const nodeHosts = pod.spec.hostNetwork === true ? await readFile('/etc/hosts', 'utf8') : '';
    const made = await makeContainerMounts(
      {
        container: spec,
        podDir: join(config.rootDir, 'pods', uidOf(pod)),
        volumes: this.#need.mountedVolumes(pod),
        images: volumeImages,
        environment,
        hosts: hostsContent(pod, { ...addresses, hostname, domain }, nodeHosts),
        hasSeLinux: facts.isSeLinuxEnabled,
        hasRecursiveReadOnly: await this.#hasRecursiveReadOnly(pod, spec, signal),
      },
      { mounts, clock: this.#need.clock, log },
      signal,
    );
    return {
      command: expandAll(spec.command, environment) ?? [],
      args: expandAll(spec.args, environment) ?? [],
      envs: environment,
      mounts: made.mounts.map((mount) => withIdMappings(mount, userNamespace)),
      cleanup: made.cleanup,
      devices: await makeContainerDevices(spec, this.#need.mountedVolumes(pod)),
      resources: computeContainerResources(pod, spec, machine, config),
      security,
    };
  }

  /** Groups that its volumes ask the pod's processes to be in. */
  #volumeGroups(pod: Pod): number[] {
    const known = new Set(pod.spec.securityContext?.supplementalGroups);
    const groups = new Set<number>();
    for (const { gid } of this.#need.mountedVolumes(pod).values())
      if (gid !== undefined && !known.has(gid)) groups.add(gid);
    return [...groups];
  }

  /** Whether the pod's own runtime handler has it; asked only for a container that wants it. */
  async #hasRecursiveReadOnly(pod: Pod, { volumeMounts }: Container, signal: AbortSignal): Promise<boolean> {
    if ((volumeMounts ?? []).every(({ recursiveReadOnly = 'Disabled' }) => recursiveReadOnly === 'Disabled'))
      return false;
    const handler = await this.#need.runtimeHandler(pod, signal);
    const known = this.#need.runtimeStatus()?.handlers.find(({ name }) => name === handler);
    return known?.recursiveReadOnlyMounts === true;
  }
}

/** In a user namespace of its own a container sees its files as owned by the users that own them on the host. */
const withIdMappings = (mount: Mount, userNamespace: UserNamespace | undefined): Mount =>
  userNamespace?.uids === undefined || userNamespace.gids === undefined
    ? mount
    : { ...mount, uidMappings: userNamespace.uids, gidMappings: userNamespace.gids };

/** The container whose processes an ephemeral container shares. @throws in upstream's words when it is not there */
function targetContainerId(
  pod: Pod,
  { kind, spec }: PodContainer,
  observed: ObservedPod | undefined,
): string | undefined {
  if (kind !== 'ephemeral') return undefined;
  const target = pod.spec.ephemeralContainers?.find(({ name }) => name === spec.name)?.targetContainerName;
  if (target === undefined || target === '') return undefined;
  const isKnown = podContainers(pod).some((container) => container.spec.name === target);
  const instance = observed?.containers.find(({ name }) => name === target);
  if (!isKnown || instance === undefined) throw new Error(`unable to find target container ${target}`);
  return instance.id;
}
