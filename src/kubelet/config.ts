/**
 * The kubelet's configuration: upstream's defaults, then the `KubeletConfiguration` file, then its drop-ins, then the
 * flags. The only place that knows field names, defaults and duration texts; everything else gets `KubeletConfig`.
 * What this version cannot do is refused by name (`config-fields.ts`), and all problems are reported at once.
 *
 * Without `--config` the defaults are those of a file, not the older and more open ones that upstream has for flags
 * alone: nobody gets in without a certificate or token.
 */
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import type { Taint } from '../objects/generated/core-v1.ts';
import { ConfigError, errnoOf, isNotFound } from '../base/errors.ts';
import { type NodeIps, configProblems, flagProblems, parseNodeIps } from './config-checks.ts';
import { type Field, type FieldValues, kubeletFields } from './config-fields.ts';
import {
  type ConfigText,
  mergeConfigTexts,
  refusedFields,
  toUpstreamObject,
  withDefaults,
  withDerivedDefaults,
} from './config-file.ts';
import type { KubeletFlags } from './config-flags.ts';
import { isGateOn } from './config-gates.ts';
import { formatDuration, parseDurationMs } from './config-values.ts';
import {
  type CredentialProviderConfig,
  parseCredentialProviders,
} from './support/images/credential-provider-config.ts';
import type { GarbageLimits } from './support/images/image-garbage.ts';
import type { VerificationRules } from './support/images/verify-access.ts';
import type { DriverName } from './support/resources/group-names.ts';
import { valueOf } from '../objects/quantity.ts';

export { parseKubeletFlags } from './config-flags.ts';
export type { KubeletFlags } from './config-flags.ts';

export interface KubeletConfig {
  /** Lower case; name of the Node object and of our certificate. */
  nodeName: string;
  nodeIps: NodeIps;
  nodeLabels: Readonly<Record<string, string>>;
  /** Empty: standalone, static pods only. */
  kubeconfigPath: string;
  rootDir: string;
  certDir: string;
  cloudProvider: '' | 'external';
  providerId: string;
  registerNode: boolean;
  registerWithTaints: readonly Taint[];
  verbosity: number;

  // sources of pods
  staticPodPath: string;
  fileCheckPeriodMs: number;
  /** Empty: no static pods from a URL. */
  staticPodUrl: string;
  staticPodUrlHeaders: Readonly<Record<string, readonly string[]>>;
  httpCheckPeriodMs: number;
  syncPeriodMs: number;

  // runtime
  containerRuntimeEndpoint: string;
  imageServiceEndpoint: string;
  runtimeRequestTimeoutMs: number;
  podLogsDir: string;
  crashLoopBackOffMaxMs: number;
  /** The feature gate ContainerStopSignals. */
  hasStopSignals: boolean;
  /** Volumes may show ClusterTrustBundles. */
  hasTrustBundles: boolean;
  /** Volumes may show certificates that are made for their pod. */
  hasPodCertificates: boolean;

  // rotation of container logs
  containerLogMaxBytes: number;
  containerLogMaxFiles: number;
  containerLogMaxWorkers: number;
  containerLogMonitorPeriodMs: number;

  /** Ended containers: negative counts are no limit. */
  containerGarbage: { minAgeMs: number; maxPerContainer: number; maxTotal: number };

  // images
  /** 0: unlimited. */
  registryPullQps: number;
  registryBurst: number;
  serializeImagePulls: boolean;
  /** Undefined: no bound when pulls aren't serialised. */
  maxParallelImagePulls: number | undefined;
  imageVerification: VerificationRules;
  imageGarbage: GarbageLimits;
  /** Plugins that give registry credentials. */
  imageCredentialProviders: readonly CredentialProviderConfig[];
  imageCredentialProviderBinDir: string;

  // API client and events
  kubeApiQps: number;
  kubeApiBurst: number;
  eventRecordQps: number;
  eventBurst: number;

  // node status and lease
  nodeStatusUpdatePeriodMs: number;
  nodeStatusReportPeriodMs: number;
  nodeLeaseDurationSeconds: number;
  /** −1: all. */
  nodeStatusMaxImages: number;
  enableControllerAttachDetach: boolean;
  localStorageCapacityIsolation: boolean;
  /** Negative: nothing is measured. */
  volumeStatsAggPeriodMs: number;

  // pods on the node
  maxPods: number;
  podsPerCore: number;
  clusterDomain: string;
  clusterDns: readonly string[];
  /** Empty: pods get no host resolver. */
  resolvConfPath: string;
  seccompDefault: boolean;
  allowedUnsafeSysctls: readonly string[];
  /** Ids of the host for each pod with a user namespace of its own. */
  idsPerPod: number;

  // resources
  cgroupRoot: string;
  cgroupDriver: DriverName;
  failCgroupV1: boolean;
  failSwapOn: boolean;
  /** Whether the kubelet keeps chains of its own in iptables. */
  makeIptablesUtilChains: boolean;
  swapBehavior: '' | 'NoSwap' | 'LimitedSwap';
  /** Undefined: true on cgroup v1, false on v2. */
  singleProcessOomKill: boolean | undefined;
  cpuCfsQuota: boolean;
  cpuCfsQuotaPeriodMicros: number;
  /** −1: no limit. */
  podPidsLimit: number;
  kubeReserved: Readonly<Record<string, string>>;
  systemReserved: Readonly<Record<string, string>>;
  kubeReservedCgroup: string;
  systemReservedCgroup: string;
  /** Signal → quantity or percentage. */
  evictionHard: Readonly<Record<string, string>>;
  enforceNodeAllocatable: readonly string[];
  ignoreEvictionInAllocatable: boolean;
  oomScoreAdj: number;

  server: {
    isEnabled: boolean;
    enableDebuggingHandlers: boolean;
    address: string;
    port: number;
    tlsCertFile: string;
    tlsPrivateKeyFile: string;
    clientCaFile: string;
    anonymousEnabled: boolean;
    tokenWebhookEnabled: boolean;
    tokenCacheTtlMs: number;
    authorizationMode: 'Webhook' | 'AlwaysAllow';
    authorizedCacheTtlMs: number;
    unauthorizedCacheTtlMs: number;
  };
  healthz: {
    /** 0: no health server. */
    port: number;
    address: string;
  };

  /** The whole of it as upstream writes it: what `/configz` shows. */
  upstreamObject: Readonly<Record<string, unknown>>;
}

/** Files as the configuration needs them; `readFile` throws `NotFoundError` for what isn't there. */
export interface ConfigFiles {
  readFile(path: string): Promise<string>;
  /** Paths of all regular files below a folder, at any depth. */
  listFiles(folder: string): Promise<string[]>;
}

/** @throws {ConfigError} with every problem of the flags, the files and their values */
export async function loadKubeletConfig(
  parsed: { flags: KubeletFlags; problems: readonly string[] },
  files: ConfigFiles,
): Promise<KubeletConfig> {
  const { flags } = parsed;
  const problems = [...parsed.problems, ...flagProblems(flags)];
  const texts = await readTexts(flags, files, problems);
  const merged = mergeConfigTexts(texts);
  problems.push(...merged.problems);
  const { values: fileValues, explicit } = withDefaults(merged.raw);
  const own = new Set([...explicit, ...Object.keys(flags.fields)]) as typeof explicit; // flag fields are field paths
  const values = withDerivedDefaults(withFlags(fileValues, flags.fields), own);
  problems.push(...refusedFields(values), ...configProblems(values));
  await checkKubeconfig(flags, files, problems);
  const nodeName = (flags.hostnameOverride || hostname()).trim().toLowerCase();
  if (nodeName === '') problems.push('the node has no name: set --hostname-override');
  const providers = await readCredentialProviders(flags, files, problems);
  if (!isGateOn(values.featureGates, 'KubeletServiceAccountTokenForCredentialProviders')) {
    for (const { name } of providers.filter(({ tokens }) => tokens !== undefined)) {
      problems.push(
        `credential provider "${name}": tokenAttributes is not supported when KubeletServiceAccountTokenForCredentialProviders feature gate is disabled`,
      );
    }
  }
  if (problems.length > 0) throw new ConfigError('invalid configuration', problems);
  return toKubeletConfig(nodeName, flags, values, providers);
}

async function readTexts(flags: KubeletFlags, files: ConfigFiles, problems: string[]): Promise<ConfigText[]> {
  const texts: ConfigText[] = [];
  const read = async (path: string, isDropIn: boolean): Promise<void> => {
    try {
      texts.push({ path, text: await files.readFile(path), isDropIn });
    } catch (err) {
      problems.push(`cannot read kubelet config file "${path}": ${err instanceof Error ? err.message : String(err)}`);
    }
  };
  if (flags.config !== '') await read(flags.config, false);
  if (flags.configDir === '') return texts;
  try {
    const dropIns = (await files.listFiles(flags.configDir)).filter((path) => path.endsWith('.conf'));
    for (const path of dropIns.toSorted()) await read(path, true);
  } catch (err) {
    problems.push(`cannot list --config-dir "${flags.configDir}": ${err instanceof Error ? err.message : String(err)}`);
  }
  return texts;
}

/** A file, or all files of a folder in the order of their names. */
async function readCredentialProviders(
  { imageCredentialProviderConfig: path, imageCredentialProviderBinDir: binDir }: KubeletFlags,
  files: ConfigFiles,
  problems: string[],
): Promise<readonly CredentialProviderConfig[]> {
  if (path === '' && binDir === '') return [];
  if (path === '' || binDir === '') {
    problems.push('--image-credential-provider-config and --image-credential-provider-bin-dir must be set together');
    return [];
  }
  try {
    const texts = await readFileOrFolder(path, files);
    if (texts.length === 0) problems.push(`--image-credential-provider-config: there is no configuration in "${path}"`);
    const { providers, problems: own } = parseCredentialProviders(texts, { parseDurationMs });
    problems.push(...own);
    return providers;
  } catch (err) {
    problems.push(
      `cannot read --image-credential-provider-config "${path}": ${err instanceof Error ? err.message : String(err)}`,
    );
    return [];
  }
}

async function readFileOrFolder(path: string, files: ConfigFiles): Promise<Array<{ path: string; text: string }>> {
  try {
    return [{ path, text: await files.readFile(path) }];
  } catch (err) {
    if (errnoOf(err) !== 'EISDIR') throw err;
  }
  const names = (await files.listFiles(path)).filter(
    (name) => dirname(name) === path.replace(/(.)\/+$/, '$1') && /\.(json|yaml|yml)$/.test(name),
  );
  return await Promise.all(names.toSorted().map(async (name) => ({ path: name, text: await files.readFile(name) })));
}

/** A bootstrap file is not needed while there is a kubeconfig; without one we cannot make it yet. */
async function checkKubeconfig(flags: KubeletFlags, files: ConfigFiles, problems: string[]): Promise<void> {
  if (flags.kubeconfig === '' || flags.bootstrapKubeconfig === '') return;
  try {
    await files.readFile(flags.kubeconfig);
  } catch (err) {
    if (!isNotFound(err)) throw err;
    problems.push(
      `--bootstrap-kubeconfig is not supported: create "${flags.kubeconfig}" with a client certificate of the node first`,
    );
  }
}

/** What Go clients take a rate of 0 for: unlimited it is not. */
const clientDefaults = { qps: 5, burst: 10 } as const;

function withFlags(values: FieldValues, flags: Partial<FieldValues>): FieldValues {
  const merged = { ...values, ...flags };
  if (flags.featureGates !== undefined) merged.featureGates = { ...values.featureGates, ...flags.featureGates };
  return merged;
}

function toKubeletConfig(
  nodeName: string,
  flags: KubeletFlags,
  v: FieldValues,
  imageCredentialProviders: readonly CredentialProviderConfig[],
): KubeletConfig {
  const { ips, preferredFamily } = parseNodeIps(flags.nodeIp);
  return {
    nodeName,
    nodeIps: { ips, preferredFamily },
    nodeLabels: flags.nodeLabels,
    kubeconfigPath: flags.kubeconfig,
    rootDir: flags.rootDir,
    certDir: flags.certDir,
    cloudProvider: flags.cloudProvider,
    providerId: v.providerID,
    registerNode: v.registerNode,
    registerWithTaints: v.registerWithTaints,
    verbosity: v['logging.verbosity'],
    staticPodPath: v.staticPodPath,
    fileCheckPeriodMs: v.fileCheckFrequency,
    staticPodUrl: v.staticPodURL,
    staticPodUrlHeaders: v.staticPodURLHeader ?? {},
    httpCheckPeriodMs: v.httpCheckFrequency,
    syncPeriodMs: v.syncFrequency,
    containerRuntimeEndpoint: v.containerRuntimeEndpoint,
    imageServiceEndpoint: v.imageServiceEndpoint,
    runtimeRequestTimeoutMs: v.runtimeRequestTimeout,
    podLogsDir: v.podLogsDir,
    crashLoopBackOffMaxMs: v['crashLoopBackOff.maxContainerRestartPeriod'],
    hasStopSignals: v.featureGates['ContainerStopSignals'] === true,
    hasTrustBundles: isGateOn(v.featureGates, 'ClusterTrustBundleProjection'),
    hasPodCertificates: isGateOn(v.featureGates, 'PodCertificateRequest'),
    containerLogMaxBytes: valueOf(v.containerLogMaxSize),
    containerLogMaxFiles: v.containerLogMaxFiles,
    containerLogMaxWorkers: v.containerLogMaxWorkers,
    containerLogMonitorPeriodMs: v.containerLogMonitorInterval,
    containerGarbage: flags.containerGarbage,
    registryPullQps: v.registryPullQPS,
    registryBurst: v.registryBurst,
    serializeImagePulls: v.serializeImagePulls ?? true,
    maxParallelImagePulls: v.maxParallelImagePulls,
    imageVerification: {
      isOn: isGateOn(v.featureGates, 'KubeletEnsureSecretPulledImages'),
      policy: v.imagePullCredentialsVerificationPolicy as VerificationRules['policy'], // checked to be one of them
      allowlist: v.preloadedImagesVerificationAllowlist,
    },
    imageGarbage: {
      highPercent: v.imageGCHighThresholdPercent,
      lowPercent: v.imageGCLowThresholdPercent,
      minAgeMs: v.imageMinimumGCAge,
      maxAgeMs: v.imageMaximumGCAge,
    },
    imageCredentialProviders,
    imageCredentialProviderBinDir: flags.imageCredentialProviderBinDir,
    kubeApiQps: v.kubeAPIQPS || clientDefaults.qps,
    kubeApiBurst: v.kubeAPIBurst || clientDefaults.burst,
    eventRecordQps: v.eventRecordQPS || clientDefaults.qps,
    eventBurst: v.eventBurst || clientDefaults.burst,
    nodeStatusUpdatePeriodMs: v.nodeStatusUpdateFrequency,
    nodeStatusReportPeriodMs: v.nodeStatusReportFrequency,
    nodeLeaseDurationSeconds: v.nodeLeaseDurationSeconds,
    nodeStatusMaxImages: v.nodeStatusMaxImages,
    enableControllerAttachDetach: v.enableControllerAttachDetach,
    localStorageCapacityIsolation: v.localStorageCapacityIsolation,
    volumeStatsAggPeriodMs: v.volumeStatsAggPeriod,
    maxPods: v.maxPods,
    idsPerPod: v['userNamespaces.idsPerPod'],
    podsPerCore: v.podsPerCore,
    clusterDomain: v.clusterDomain,
    clusterDns: v.clusterDNS,
    resolvConfPath: v.resolvConf,
    seccompDefault: v.seccompDefault,
    allowedUnsafeSysctls: v.allowedUnsafeSysctls,
    cgroupRoot: v.cgroupRoot === '' ? '/' : v.cgroupRoot,
    cgroupDriver: v.cgroupDriver === 'systemd' ? 'systemd' : 'cgroupfs', // any other has been refused
    failCgroupV1: v.failCgroupV1,
    failSwapOn: v.failSwapOn,
    makeIptablesUtilChains: v.makeIPTablesUtilChains,
    swapBehavior: v['memorySwap.swapBehavior'] as KubeletConfig['swapBehavior'], // checked to be one of them
    singleProcessOomKill: v.singleProcessOOMKill,
    cpuCfsQuota: v.cpuCFSQuota,
    cpuCfsQuotaPeriodMicros: Math.round(v.cpuCFSQuotaPeriod * 1000),
    podPidsLimit: v.podPidsLimit,
    kubeReserved: v.kubeReserved,
    systemReserved: v.systemReserved,
    kubeReservedCgroup: v.kubeReservedCgroup,
    systemReservedCgroup: v.systemReservedCgroup,
    evictionHard: v.evictionHard ?? {},
    enforceNodeAllocatable: v.enforceNodeAllocatable,
    ignoreEvictionInAllocatable: flags.ignoreEvictionInAllocatable,
    oomScoreAdj: v.oomScoreAdj,
    server: {
      isEnabled: v.enableServer,
      enableDebuggingHandlers: v.enableDebuggingHandlers,
      address: v.address,
      port: v.port,
      tlsCertFile: v.tlsCertFile,
      tlsPrivateKeyFile: v.tlsPrivateKeyFile,
      clientCaFile: v['authentication.x509.clientCAFile'],
      anonymousEnabled: v['authentication.anonymous.enabled'],
      tokenWebhookEnabled: v['authentication.webhook.enabled'],
      tokenCacheTtlMs: v['authentication.webhook.cacheTTL'],
      authorizationMode: v['authorization.mode'] === 'AlwaysAllow' ? 'AlwaysAllow' : 'Webhook',
      authorizedCacheTtlMs: v['authorization.webhook.cacheAuthorizedTTL'],
      unauthorizedCacheTtlMs: v['authorization.webhook.cacheUnauthorizedTTL'],
    },
    healthz: { port: v.healthzPort, address: v.healthzBindAddress },
    upstreamObject: {
      kind: 'KubeletConfiguration',
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      ...toUpstreamObject(v, (path, value) => {
        const { kind }: Field<unknown> = kubeletFields[path];
        return kind === 'duration' && typeof value === 'number' ? formatDuration(value) : value;
      }),
    },
  };
}
