/**
 * Feature gates of 1.36 that change what a node does. A few may be set either way; any other may be set to what we do
 * anyway, and is refused by name when it is set to anything else, as is a gate that nobody knows.
 */

/** Always on: setting one to false is an error upstream, too. */
const locked = [
  'CPUCFSQuotaPeriod',
  'CustomCPUCFSQuotaPeriod',
  'DynamicResourceAllocation',
  'ImageMaximumGCAge',
  'ImageVolume',
  'InPlacePodVerticalScaling',
  'KubeletCgroupDriverFromCRI',
  'KubeletFineGrainedAuthz',
  'KubeletPSI',
  'KubeletPodResourcesDynamicResources',
  'KubeletPodResourcesGet',
  'KubeletTracing',
  'NodeLogQuery',
  'NodeSwap',
  'PodLifecycleSleepAction',
  'PodLifecycleSleepActionAllowZero',
  'PodObservedGenerationTracking',
  'ProcMountType',
  'RecursiveReadOnlyMounts',
  'SupplementalGroupsPolicy',
  'SystemdWatchdog',
  'UserNamespacesSupport',
];

const onByDefault = [
  'ComponentFlagz',
  'ComponentStatusz',
  'ContainerCheckpoint',
  'ContainerRestartRules',
  'DRAAdminAccess',
  'DRAConsumableCapacity',
  'DRADeviceTaints',
  'DRAExtendedResource',
  'DRAPartitionableDevices',
  'DRAPrioritizedList',
  'DisableCPUQuotaWithExclusiveCPUs',
  'DisableNodeKubeProxyVersion',
  'EnvFiles',
  'ExtendWebSocketsToKubelet',
  'GracefulNodeShutdown',
  'GracefulNodeShutdownBasedOnPodPriority',
  'HostnameOverride',
  'InPlacePodLevelResourcesVerticalScaling',
  'InPlacePodVerticalScalingInitContainers',
  'KubeletCrashLoopBackOffMax',
  'KubeletEnsureSecretPulledImages',
  'KubeletSeparateDiskGC',
  'KubeletServiceAccountTokenForCredentialProviders',
  'NodeDeclaredFeatures',
  'PLEGOnDemandRelist',
  'PodLevelResources',
  'PodReadyToStartContainersCondition',
  'PreventStaticPodAPIReferences',
  'ReloadKubeletClientCAFile',
  'ReloadKubeletServerCertificateFile',
  'ResourceHealthStatus',
  'ResourceHealthStatusMessage',
  'RestartAllContainersOnContainerExits',
  'RotateKubeletServerCertificate',
];

const offByDefault = [
  'AllowDNSOnlyNodeCSR',
  'CRIListStreaming',
  'CSIVolumeHealth',
  'ChangeContainerStatusOnKubeletRestart',
  'ClusterTrustBundle',
  'ClusterTrustBundleProjection',
  'ContainerStopSignals',
  'EventedPLEG',
  'ImageVolumeWithDigest',
  'InPlacePodVerticalScalingExclusiveCPUs',
  'InPlacePodVerticalScalingExclusiveMemory',
  'KubeletInUserNamespace',
  'KubeletRegistrationGetOnExistsOnly',
  'LocalStorageCapacityIsolationFSQuotaMonitoring',
  'MemoryQoS',
  'PodAndContainerStatsFromCRI',
  'PodCertificateRequest',
  'PodLevelResourceManagers',
  'PodLogsQuerySplitStreams',
  'PodsAPI',
  'QOSReserved',
  'ReduceDefaultCrashLoopBackOffDecay',
  'RuntimeClassInImageCriAPI',
  'UserNamespacesHostNetworkSupport',
];

/** Those that may be set to either value. */
const switchable: readonly string[] = [
  'ClusterTrustBundle',
  'ClusterTrustBundleProjection',
  'ContainerStopSignals',
  'KubeletEnsureSecretPulledImages',
  'KubeletServiceAccountTokenForCredentialProviders',
  'PodCertificateRequest',
];

/** A gate that may be on only where another one is. */
const dependencies: Record<string, string> = { ClusterTrustBundleProjection: 'ClusterTrustBundle' };

export const isGateOn = (gates: Readonly<Record<string, boolean>>, name: string): boolean =>
  gates[name] ?? defaults.get(name)?.on === true;

const defaults = new Map<string, { on: boolean; locked: boolean }>([
  ...locked.map((name) => [name, { on: true, locked: true }] as const),
  ...onByDefault.map((name) => [name, { on: true, locked: false }] as const),
  ...offByDefault.map((name) => [name, { on: false, locked: false }] as const),
]);

/** Pure: the problems with these gates, none when all are as they would be anyway. */
export function gateProblems(gates: Readonly<Record<string, boolean>>): string[] {
  const problems: string[] = [];
  for (const [name, wanted] of Object.entries(gates)) {
    const gate = defaults.get(name);
    if (gate === undefined) {
      // AllAlpha and AllBeta stand for many gates: only their defaults leave everything as it is
      if (name === 'AllAlpha' || name === 'AllBeta') {
        if (wanted) problems.push(`featureGates.${name} cannot be set: name the gates one by one`);
      } else {
        problems.push(`unrecognized feature gate: ${name}`);
      }
    } else if (gate.on !== wanted && !switchable.includes(name)) {
      problems.push(
        gate.locked
          ? `cannot set feature gate ${name} to ${wanted}, feature is locked to ${gate.on}`
          : `featureGates.${name} cannot be ${wanted}: this version has it ${gate.on ? 'on' : 'off'}, leave the gate out`,
      );
    }
  }
  for (const [name, needed] of Object.entries(dependencies)) {
    if (isGateOn(gates, name) && !isGateOn(gates, needed)) {
      problems.push(`${name} is enabled, but depends on features that are disabled: [${needed}]`);
    }
  }
  return problems;
}
