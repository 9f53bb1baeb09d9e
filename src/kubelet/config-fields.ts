/**
 * Every field of `KubeletConfiguration` (kubelet.config.k8s.io/v1beta1): its kind, upstream's default, its flag, and
 * what becomes of it here. A field is `honoured`, or `inert` (no effect on a Linux node upstream either, or none
 * that anybody can see with our parts), or refused by name when it is set to anything but its default.
 */
import type { Taint } from '../objects/generated/core-v1.ts';

/** What each kind of field holds once it is read. */
export interface Kinds {
  bool: boolean;
  int: number;
  float: number;
  string: string;
  /** Milliseconds. */
  duration: number;
  strings: readonly string[];
  ints: readonly number[];
  stringMap: Readonly<Record<string, string>>;
  boolMap: Readonly<Record<string, boolean>>;
  /** HTTP headers: each name may have several values. */
  headers: Readonly<Record<string, readonly string[]>>;
  taints: readonly Taint[];
  /** Anything: fields that are refused unless empty. */
  other: unknown;
}

export type Kind = keyof Kinds;

export type Use = 'honoured' | 'inert' | { readonly refused: string };

export interface Field<V> {
  readonly kind: Kind;
  readonly default: V;
  readonly use: Use;
  /** Name of the command line flag, without dashes. */
  readonly flag: string | undefined;
  /** A zero (0, "", 0s) in a file or flag is a value of its own, not "use the default". */
  readonly keepsZero: boolean;
}

interface Extra {
  flag?: string;
  keepsZero?: boolean;
}

/** Upstream takes zero for "unset" in durations and strings, and tells them apart in numbers and booleans. */
function field<K extends Kind>(kind: K, byDefault: Kinds[K], use: Use, extra: Extra = {}): Field<Kinds[K]> {
  const keepsZero = extra.keepsZero ?? (kind !== 'duration' && kind !== 'string');
  return { kind, default: byDefault, use, flag: extra.flag, keepsZero };
}

function optional<K extends Kind>(kind: K, use: Use, flag?: string): Field<Kinds[K] | undefined> {
  return { kind, default: undefined, use, flag, keepsZero: true };
}

const s = 1000;
const minute = 60 * s;
const zeroIsUnset = { keepsZero: false };

const notYet = (fix: string): Use => ({ refused: fix });
const leaveOut = notYet('this version does not do it yet: leave the field out');

export const kubeletFields = {
  enableServer: field('bool', true, 'honoured', { flag: 'enable-server' }),
  staticPodPath: field('string', '', 'honoured', { flag: 'pod-manifest-path' }),
  staticPodURL: field('string', '', 'honoured', { flag: 'manifest-url' }),
  staticPodURLHeader: optional('headers', 'honoured', 'manifest-url-header'),
  podLogsDir: field('string', '/var/log/pods', 'honoured'),
  syncFrequency: field('duration', minute, 'honoured', { flag: 'sync-frequency' }),
  fileCheckFrequency: field('duration', 20 * s, 'honoured', { flag: 'file-check-frequency' }),
  httpCheckFrequency: field('duration', 20 * s, 'honoured', { flag: 'http-check-frequency' }),
  address: field('string', '0.0.0.0', 'honoured', { flag: 'address' }),
  port: field('int', 10250, 'honoured', { flag: 'port', ...zeroIsUnset }),
  readOnlyPort: field('int', 0, notYet('use the authenticated port'), { flag: 'read-only-port' }),
  tlsCertFile: field('string', '', 'honoured', { flag: 'tls-cert-file' }),
  tlsPrivateKeyFile: field('string', '', 'honoured', { flag: 'tls-private-key-file' }),
  tlsCipherSuites: field('strings', [], leaveOut, { flag: 'tls-cipher-suites' }),
  tlsMinVersion: field('string', '', leaveOut, { flag: 'tls-min-version' }),
  tlsCurvePreferences: field('ints', [], leaveOut),
  rotateCertificates: field(
    'bool',
    false,
    notYet('set it to false and renew the certificate in the kubeconfig by other means'),
    { flag: 'rotate-certificates' },
  ),
  serverTLSBootstrap: field('bool', false, notYet('set tlsCertFile and tlsPrivateKeyFile instead'), {
    flag: 'rotate-server-certificates',
  }),
  'authentication.x509.clientCAFile': field('string', '', 'honoured', { flag: 'client-ca-file' }),
  'authentication.webhook.enabled': field('bool', true, 'honoured', { flag: 'authentication-token-webhook' }),
  'authentication.webhook.cacheTTL': field('duration', 2 * minute, 'honoured', {
    flag: 'authentication-token-webhook-cache-ttl',
  }),
  'authentication.anonymous.enabled': field('bool', false, 'honoured', { flag: 'anonymous-auth' }),
  'authorization.mode': field('string', 'Webhook', 'honoured', { flag: 'authorization-mode' }),
  'authorization.webhook.cacheAuthorizedTTL': field('duration', 5 * minute, 'honoured', {
    flag: 'authorization-webhook-cache-authorized-ttl',
  }),
  'authorization.webhook.cacheUnauthorizedTTL': field('duration', 30 * s, 'honoured', {
    flag: 'authorization-webhook-cache-unauthorized-ttl',
  }),
  registryPullQPS: field('int', 5, 'honoured', { flag: 'registry-qps' }),
  registryBurst: field('int', 10, 'honoured', { flag: 'registry-burst', ...zeroIsUnset }),
  imagePullCredentialsVerificationPolicy: field('string', 'NeverVerifyPreloadedImages', 'honoured'),
  preloadedImagesVerificationAllowlist: field('strings', [], 'honoured'),
  eventRecordQPS: field('int', 50, 'honoured', { flag: 'event-qps' }),
  eventBurst: field('int', 100, 'honoured', { flag: 'event-burst', ...zeroIsUnset }),
  enableDebuggingHandlers: field('bool', true, 'honoured', { flag: 'enable-debugging-handlers' }),
  enableContentionProfiling: field('bool', false, leaveOut, { flag: 'contention-profiling' }),
  healthzPort: field('int', 10248, 'honoured', { flag: 'healthz-port' }),
  healthzBindAddress: field('string', '127.0.0.1', 'honoured', { flag: 'healthz-bind-address' }),
  oomScoreAdj: field('int', -999, 'honoured', { flag: 'oom-score-adj' }),
  clusterDomain: field('string', '', 'honoured', { flag: 'cluster-domain' }),
  clusterDNS: field('strings', [], 'honoured', { flag: 'cluster-dns' }),
  streamingConnectionIdleTimeout: field('duration', 240 * minute, 'inert', {
    flag: 'streaming-connection-idle-timeout',
  }),
  nodeStatusUpdateFrequency: field('duration', 10 * s, 'honoured', { flag: 'node-status-update-frequency' }),
  nodeStatusReportFrequency: field('duration', 5 * minute, 'honoured'),
  nodeLeaseDurationSeconds: field('int', 40, 'honoured', zeroIsUnset),
  imageMinimumGCAge: field('duration', 2 * minute, 'honoured', { flag: 'minimum-image-ttl-duration' }),
  imageMaximumGCAge: field('duration', 0, 'honoured'),
  imageGCHighThresholdPercent: field('int', 85, 'honoured', { flag: 'image-gc-high-threshold' }),
  imageGCLowThresholdPercent: field('int', 80, 'honoured', { flag: 'image-gc-low-threshold' }),
  volumeStatsAggPeriod: field('duration', minute, 'honoured', { flag: 'volume-stats-agg-period' }),
  kubeletCgroups: field('string', '', leaveOut, { flag: 'kubelet-cgroups' }),
  systemCgroups: field('string', '', leaveOut, { flag: 'system-cgroups' }),
  cgroupRoot: field('string', '', 'honoured', { flag: 'cgroup-root' }),
  cgroupsPerQOS: field('bool', true, notYet('set it to true'), { flag: 'cgroups-per-qos' }),
  cgroupDriver: field('string', 'cgroupfs', 'honoured', { flag: 'cgroup-driver' }),
  cpuManagerPolicy: field('string', 'none', leaveOut, { flag: 'cpu-manager-policy' }),
  cpuManagerPolicyOptions: field('stringMap', {}, leaveOut, { flag: 'cpu-manager-policy-options' }),
  cpuManagerReconcilePeriod: field('duration', 10 * s, 'inert', { flag: 'cpu-manager-reconcile-period' }),
  singleProcessOOMKill: optional('bool', 'honoured'),
  memoryManagerPolicy: field('string', 'None', leaveOut, { flag: 'memory-manager-policy' }),
  reservedMemory: optional('other', leaveOut, 'reserved-memory'),
  topologyManagerPolicy: field('string', 'none', leaveOut, { flag: 'topology-manager-policy' }),
  topologyManagerScope: field('string', 'container', leaveOut, { flag: 'topology-manager-scope' }),
  topologyManagerPolicyOptions: field('stringMap', {}, leaveOut, { flag: 'topology-manager-policy-options' }),
  qosReserved: field('stringMap', {}, leaveOut, { flag: 'qos-reserved' }),
  runtimeRequestTimeout: field('duration', 2 * minute, 'honoured', { flag: 'runtime-request-timeout' }),
  hairpinMode: field('string', 'promiscuous-bridge', 'inert', { flag: 'hairpin-mode' }),
  maxPods: field('int', 110, 'honoured', { flag: 'max-pods', ...zeroIsUnset }),
  podsPerCore: field('int', 0, 'honoured', { flag: 'pods-per-core' }),
  podCIDR: field('string', '', leaveOut, { flag: 'pod-cidr' }),
  podPidsLimit: field('int', -1, 'honoured', { flag: 'pod-max-pids' }),
  resolvConf: field('string', '/etc/resolv.conf', 'honoured', { flag: 'resolv-conf', keepsZero: true }),
  runOnce: field('bool', false, notYet('Runonce mode has been deprecated and should not be set'), { flag: 'runonce' }),
  cpuCFSQuota: field('bool', true, 'honoured', { flag: 'cpu-cfs-quota' }),
  cpuCFSQuotaPeriod: field('duration', 100, 'honoured', { flag: 'cpu-cfs-quota-period' }),
  nodeStatusMaxImages: field('int', 50, 'honoured', { flag: 'node-status-max-images' }),
  maxOpenFiles: field('int', 1_000_000, notYet('set LimitNOFILE in the unit file instead'), {
    flag: 'max-open-files',
    ...zeroIsUnset,
  }),
  contentType: field('string', 'application/vnd.kubernetes.protobuf', 'inert', { flag: 'kube-api-content-type' }),
  kubeAPIQPS: field('int', 50, 'honoured', { flag: 'kube-api-qps' }),
  kubeAPIBurst: field('int', 100, 'honoured', { flag: 'kube-api-burst', ...zeroIsUnset }),
  serializeImagePulls: optional('bool', 'honoured', 'serialize-image-pulls'),
  maxParallelImagePulls: optional('int', 'honoured'),
  evictionHard: optional('stringMap', 'honoured', 'eviction-hard'),
  evictionSoft: field('stringMap', {}, leaveOut, { flag: 'eviction-soft' }),
  evictionSoftGracePeriod: field('stringMap', {}, leaveOut, { flag: 'eviction-soft-grace-period' }),
  evictionMinimumReclaim: field('stringMap', {}, leaveOut, { flag: 'eviction-minimum-reclaim' }),
  evictionPressureTransitionPeriod: field('duration', 5 * minute, leaveOut, {
    flag: 'eviction-pressure-transition-period',
  }),
  evictionMaxPodGracePeriod: field('int', 0, leaveOut, { flag: 'eviction-max-pod-grace-period' }),
  mergeDefaultEvictionSettings: field('bool', false, 'honoured'),
  enableControllerAttachDetach: field('bool', true, 'honoured', { flag: 'enable-controller-attach-detach' }),
  protectKernelDefaults: field('bool', false, leaveOut, { flag: 'protect-kernel-defaults' }),
  makeIPTablesUtilChains: field('bool', true, 'honoured', { flag: 'make-iptables-util-chains' }),
  iptablesMasqueradeBit: field('int', 14, 'inert', { flag: 'iptables-masquerade-bit' }),
  iptablesDropBit: field('int', 15, 'inert', { flag: 'iptables-drop-bit' }),
  featureGates: field('boolMap', {}, 'honoured', { flag: 'feature-gates' }),
  failSwapOn: field('bool', true, 'honoured', { flag: 'fail-swap-on' }),
  'memorySwap.swapBehavior': field('string', '', 'honoured'),
  containerLogMaxSize: field('string', '10Mi', 'honoured', { flag: 'container-log-max-size' }),
  containerLogMaxFiles: field('int', 5, 'honoured', { flag: 'container-log-max-files' }),
  containerLogMaxWorkers: field('int', 1, 'honoured'),
  containerLogMonitorInterval: field('duration', 10 * s, 'honoured'),
  configMapAndSecretChangeDetectionStrategy: field('string', 'Watch', leaveOut),
  systemReserved: field('stringMap', {}, 'honoured', { flag: 'system-reserved' }),
  kubeReserved: field('stringMap', {}, 'honoured', { flag: 'kube-reserved' }),
  reservedSystemCPUs: field('string', '', notYet('set systemReserved.cpu instead'), { flag: 'reserved-cpus' }),
  systemReservedCgroup: field('string', '', 'honoured', { flag: 'system-reserved-cgroup' }),
  kubeReservedCgroup: field('string', '', 'honoured', { flag: 'kube-reserved-cgroup' }),
  enforceNodeAllocatable: field('strings', ['pods'], 'honoured', { flag: 'enforce-node-allocatable' }),
  allowedUnsafeSysctls: field('strings', [], 'honoured', { flag: 'allowed-unsafe-sysctls' }),
  volumePluginDir: field(
    'string',
    '/usr/libexec/kubernetes/kubelet-plugins/volume/exec/',
    notYet('flexvolumes are not served: use a CSI driver'),
    { flag: 'volume-plugin-dir' },
  ),
  providerID: field('string', '', 'honoured', { flag: 'provider-id' }),
  kernelMemcgNotification: field('bool', false, leaveOut, { flag: 'kernel-memcg-notification' }),
  'logging.format': field('string', 'text', 'inert', { flag: 'logging-format' }),
  'logging.flushFrequency': field('duration', 5 * s, 'inert', { flag: 'log-flush-frequency' }),
  'logging.verbosity': field('int', 0, 'honoured', { flag: 'v' }),
  'logging.vmodule': optional('other', notYet('raise logging.verbosity for the whole process instead')),
  'logging.options.text.splitStream': field('bool', false, leaveOut),
  'logging.options.text.infoBufferSize': optional('other', 'inert'),
  'logging.options.json.splitStream': field('bool', false, leaveOut),
  'logging.options.json.infoBufferSize': optional('other', 'inert'),
  enableSystemLogHandler: field('bool', true, 'inert', { flag: 'enable-system-log-handler' }),
  enableSystemLogQuery: field('bool', false, leaveOut),
  shutdownGracePeriod: field('duration', 0, leaveOut),
  shutdownGracePeriodCriticalPods: field('duration', 0, leaveOut),
  shutdownGracePeriodByPodPriority: optional('other', leaveOut),
  'crashLoopBackOff.maxContainerRestartPeriod': field('duration', 300 * s, 'honoured'),
  enableProfilingHandler: field('bool', true, 'inert', { flag: 'profiling' }),
  enableDebugFlagsHandler: field('bool', true, 'inert'),
  seccompDefault: field('bool', false, 'honoured', { flag: 'seccomp-default' }),
  memoryThrottlingFactor: field('float', 0.9, 'inert'),
  memoryReservationPolicy: field('string', 'None', leaveOut),
  registerNode: field('bool', true, 'honoured', { flag: 'register-node' }),
  registerWithTaints: field('taints', [], 'honoured', { flag: 'register-with-taints' }),
  'tracing.endpoint': optional('string', leaveOut),
  'tracing.samplingRatePerMillion': optional('int', leaveOut),
  localStorageCapacityIsolation: field('bool', true, 'honoured', { flag: 'local-storage-capacity-isolation' }),
  containerRuntimeEndpoint: field('string', 'unix:///run/containerd/containerd.sock', 'honoured', {
    flag: 'container-runtime-endpoint',
  }),
  imageServiceEndpoint: field('string', '', 'honoured', { flag: 'image-service-endpoint' }),
  failCgroupV1: field('bool', true, 'honoured', { flag: 'fail-cgroupv1' }),
  'userNamespaces.idsPerPod': field('int', 65_536, 'honoured'),
  showHiddenMetricsForVersion: field('string', '', leaveOut, { flag: 'show-hidden-metrics-for-version' }),
} satisfies Record<string, Field<unknown>>;

export type FieldPath = keyof typeof kubeletFields;

/** A value for every field. */
export type FieldValues = {
  -readonly [P in FieldPath]: (typeof kubeletFields)[P] extends Field<infer V> ? V : never;
};

export const isFieldPath = (path: string): path is FieldPath => Object.hasOwn(kubeletFields, path);

/** What upstream reserves when a file says nothing about hard eviction. */
export const defaultEvictionHard: Readonly<Record<string, string>> = {
  'memory.available': '100Mi',
  'nodefs.available': '10%',
  'nodefs.inodesFree': '5%',
  'imagefs.available': '15%',
  'imagefs.inodesFree': '5%',
};
