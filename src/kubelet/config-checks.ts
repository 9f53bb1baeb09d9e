/** What a configuration must satisfy beyond the kinds of its fields: ranges, choices, things that exclude each other. Pure. */
import { isIP } from 'node:net';
import { isAbsolute, normalize } from 'node:path';
import type { FieldValues } from './config-fields.ts';
import { gateProblems } from './config-gates.ts';
import type { KubeletFlags } from './config-flags.ts';
import { formatDuration } from './config-values.ts';
import { isQuantity, parseQuantity } from '../objects/quantity.ts';
import { verificationProblems } from './support/images/verify-access.ts';

/** Every problem, in upstream's words where upstream has the check. */
export function configProblems(v: FieldValues): string[] {
  const problems: string[] = [];
  const must = (isRight: boolean, problem: string): void => {
    if (!isRight) problems.push(problem);
  };
  const isPort = (port: number): boolean => port >= 1 && port <= 65_535;

  problems.push(...gateProblems(v.featureGates));
  must(v.nodeLeaseDurationSeconds > 0, 'nodeLeaseDurationSeconds must be greater than 0');
  must(
    v.healthzPort === 0 || isPort(v.healthzPort),
    `healthzPort (--healthz-port) ${v.healthzPort} must be between 1 and 65535, inclusive`,
  );
  must(isPort(v.port), `port (--port) ${v.port} must be between 1 and 65535, inclusive`);
  must(isIP(v.address) !== 0, `address (--address) "${v.address}" must be an IP address`);
  must(
    v.healthzPort === 0 || isIP(v.healthzBindAddress) !== 0,
    `healthzBindAddress (--healthz-bind-address) "${v.healthzBindAddress}" must be an IP address`,
  );
  for (const [name, flag, value] of [
    ['kubeAPIQPS', 'kube-api-qps', v.kubeAPIQPS],
    ['kubeAPIBurst', 'kube-api-burst', v.kubeAPIBurst],
    ['eventRecordQPS', 'event-qps', v.eventRecordQPS],
    ['eventBurst', 'event-burst', v.eventBurst],
    ['registryPullQPS', 'registry-qps', v.registryPullQPS],
    ['registryBurst', 'registry-burst', v.registryBurst],
    ['maxPods', 'max-pods', v.maxPods],
    ['podsPerCore', 'pods-per-core', v.podsPerCore],
  ] as const) {
    must(value >= 0, `${name} (--${flag}) ${value} must not be a negative number`);
  }
  must(
    v.nodeStatusMaxImages >= -1,
    `nodeStatusMaxImages (--node-status-max-images) ${v.nodeStatusMaxImages} must be -1 or greater`,
  );
  must(
    v.oomScoreAdj >= -1000 && v.oomScoreAdj <= 1000,
    `oomScoreAdj (--oom-score-adj) ${v.oomScoreAdj} must be between -1000 and 1000, inclusive`,
  );
  must(
    v.maxParallelImagePulls === undefined || v.maxParallelImagePulls >= 1,
    `maxParallelImagePulls ${v.maxParallelImagePulls} must be a positive number`,
  );
  must(
    v.serializeImagePulls !== true || (v.maxParallelImagePulls ?? 1) <= 1,
    'maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is set to false',
  );
  must(
    ['cgroupfs', 'systemd'].includes(v.cgroupDriver),
    `cgroupDriver (--cgroup-driver) "${v.cgroupDriver}" must be "cgroupfs" or "systemd"`,
  );
  must(
    ['', 'NoSwap', 'LimitedSwap'].includes(v['memorySwap.swapBehavior']),
    `memorySwap.swapBehavior "${v['memorySwap.swapBehavior']}" must be one of: "", "LimitedSwap" or "NoSwap"`,
  );
  const restartMs = v['crashLoopBackOff.maxContainerRestartPeriod'];
  must(
    restartMs >= 1000 && restartMs <= 300_000,
    `CrashLoopBackOff.MaxContainerRestartPeriod (got: ${restartMs / 1000} seconds) must be set between 1s and 300s`,
  );
  must(
    v.cpuCFSQuotaPeriod >= 1 && v.cpuCFSQuotaPeriod <= 1000,
    `cpuCFSQuotaPeriod (--cpu-cfs-quota-period) {${formatDuration(v.cpuCFSQuotaPeriod)}} must be between 1ms and 1sec, inclusive`,
  );
  must(
    ['Webhook', 'AlwaysAllow'].includes(v['authorization.mode']),
    `authorization.mode (--authorization-mode) "${v['authorization.mode']}" must be Webhook or AlwaysAllow`,
  );
  must(
    (v.tlsCertFile === '') === (v.tlsPrivateKeyFile === ''),
    'tlsCertFile (--tls-cert-file) and tlsPrivateKeyFile (--tls-private-key-file) must be set together',
  );
  must(v.containerLogMaxFiles > 1, 'containerLogMaxFiles must be greater than 1');
  must(v.containerLogMaxWorkers >= 1, 'containerLogMaxWorkers must be greater than or equal to 1');
  must(
    v.containerLogMonitorInterval >= 3000,
    'containerLogMonitorInterval must be a positive time duration greater than or equal to 3s',
  );
  must(
    isQuantity(v.containerLogMaxSize) && parseQuantity(v.containerLogMaxSize).nano > 0n,
    `containerLogMaxSize (--container-log-max-size) "${v.containerLogMaxSize}" must be a positive quantity like 10Mi`,
  );
  must(isAbsolute(v.podLogsDir), `pod logs path "${v.podLogsDir}" must be absolute path`);
  must(
    normalize(v.podLogsDir).replace(/(.)\/$/, '$1') === v.podLogsDir,
    `pod logs path "${v.podLogsDir}" must be normalized`,
  );
  const idsPerPod = v['userNamespaces.idsPerPod'];
  must(
    idsPerPod >= 65_536 && idsPerPod < 2 ** 32 && idsPerPod % 65_536 === 0,
    `userNamespaces.idsPerPod ${idsPerPod} must be a multiple of 65536, and no more than 4294901760`,
  );
  for (const server of v.clusterDNS)
    must(isIP(server) !== 0, `clusterDNS (--cluster-dns) "${server}" must be an IP address`);
  const { imageGCHighThresholdPercent: high, imageGCLowThresholdPercent: low } = v;
  for (const [name, flag, percent] of [
    ['imageGCHighThresholdPercent', 'image-gc-high-threshold', high],
    ['imageGCLowThresholdPercent', 'image-gc-low-threshold', low],
  ] as const) {
    must(percent >= 0 && percent <= 100, `${name} (--${flag}) ${percent} must be between 0 and 100, inclusive`);
  }
  must(
    low < high,
    `imageGCLowThresholdPercent (--image-gc-low-threshold) ${low} must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) ${high}`,
  );
  const { imageMaximumGCAge: maxAge, imageMinimumGCAge: minAge } = v;
  must(maxAge >= 0, `imageMaximumGCAge ${formatDuration(maxAge)} must not be negative`);
  must(
    maxAge === 0 || maxAge > minAge,
    `imageMaximumGCAge ${formatDuration(maxAge)} must be greater than imageMinimumGCAge ${formatDuration(minAge)}`,
  );
  problems.push(
    ...verificationProblems(v.imagePullCredentialsVerificationPolicy, v.preloadedImagesVerificationAllowlist),
    ...enforceProblems(v.enforceNodeAllocatable),
    ...reservedGroupProblems(v),
  );
  for (const [name, list] of [
    ['kubeReserved', v.kubeReserved],
    ['systemReserved', v.systemReserved],
  ] as const) {
    problems.push(...reservedProblems(name, list));
  }
  problems.push(...evictionProblems(v.evictionHard ?? {}));
  problems.push(...sysctlProblems(v.allowedUnsafeSysctls));
  return problems;
}

function enforceProblems(keys: readonly string[]): string[] {
  const problems: string[] = [];
  for (const key of keys) {
    const isReserved = /^(kube|system)-reserved(-compressible)?$/.test(key);
    if (!isReserved && key !== 'pods' && key !== 'none' && key !== '') {
      problems.push(
        `option "${key}" specified for enforceNodeAllocatable (--enforce-node-allocatable). Valid options are "pods", "system-reserved", "kube-reserved", or "none"`,
      );
    }
  }
  if (keys.includes('none') && keys.length > 1) {
    problems.push(
      'enforceNodeAllocatable (--enforce-node-allocatable) may not contain additional enforcements when "none" is specified',
    );
  }
  return problems;
}

/** What is reserved can be enforced only on groups that have a name. */
function reservedGroupProblems(v: FieldValues): string[] {
  const enforce = 'enforceNodeAllocatable (--enforce-node-allocatable)';
  return (['system', 'kube'] as const).flatMap((what) => {
    const [all, compressible] = [`${what}-reserved`, `${what}-reserved-compressible`];
    const asked = v.enforceNodeAllocatable.filter((key) => key === all || key === compressible);
    const group = v[`${what}ReservedCgroup`];
    const field = `${what}ReservedCgroup (--${what}-reserved-cgroup)`;
    return [
      ...(asked.length > 0 && group === ''
        ? [`${field} must be specified when "${all}" or "${compressible}" included in ${enforce}`]
        : []),
      ...(new Set(asked).size > 1 ? [`${enforce} may not contain both "${all}" and "${compressible}"`] : []),
      ...(group === '' || (isAbsolute(group) && normalize(group) === group)
        ? []
        : [`${field} "${group}" must be an absolute, clean path`]),
    ];
  });
}

const reservable = ['cpu', 'memory', 'ephemeral-storage', 'pid'];

function reservedProblems(field: string, list: Readonly<Record<string, string>>): string[] {
  return Object.entries(list).flatMap(([name, text]) => {
    if (!reservable.includes(name)) return [`${field} value failed to parse: cannot reserve "${name}" resource`];
    if (!isQuantity(text)) return [`${field}.${name}: "${text}" is not a quantity like 100m or 1Gi`];
    return parseQuantity(text).nano < 0n
      ? [`${field}: resource quantity for "${name}" cannot be negative: ${text}`]
      : [];
  });
}

export const evictionSignals = [
  'memory.available',
  'allocatableMemory.available',
  'nodefs.available',
  'nodefs.inodesFree',
  'imagefs.available',
  'imagefs.inodesFree',
  'containerfs.available',
  'containerfs.inodesFree',
  'pid.available',
];

function evictionProblems(thresholds: Readonly<Record<string, string>>): string[] {
  return Object.entries(thresholds).flatMap(([signal, value]) => {
    if (!evictionSignals.includes(signal)) return [`unsupported eviction signal ${signal}`];
    if (value.endsWith('%')) {
      const percent = Number(value.slice(0, -1));
      if (value.length === 1 || Number.isNaN(percent))
        return [`evictionHard.${signal}: "${value}" is not a percentage`];
      if (percent < 0) return [`eviction percentage threshold ${signal} must be >= 0%: ${value}`];
      return percent > 100 ? [`eviction percentage threshold ${signal} must be <= 100%: ${value}`] : [];
    }
    if (!isQuantity(value)) return [`evictionHard.${signal}: "${value}" is not a quantity or percentage`];
    return parseQuantity(value).nano <= 0n ? [`eviction threshold ${signal} must be positive: ${value}`] : [];
  });
}

function sysctlProblems(patterns: readonly string[]): string[] {
  const groups = ['kernel.shm', 'kernel.msg', 'kernel.sem', 'fs.mqueue.', 'net.'];
  return patterns.flatMap((pattern) => {
    const name = pattern.replaceAll('/', '.').replace(/\*$/, '');
    if (!/^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9*]([-_a-z0-9*]*[a-z0-9*])?)*[./]?\*?$/.test(pattern)) {
      return [`allowedUnsafeSysctls: "${pattern}" is not the name of a sysctl or a pattern like net.core.*`];
    }
    const isNamespaced = groups.some((group) => name.startsWith(group));
    return isNamespaced ? [] : [`allowedUnsafeSysctls: the sysctls "${pattern}" are not known to be namespaced`];
  });
}

/** Labels of Kubernetes' own domains that a node may set on itself. */
const allowedLabels = new Set([
  'kubernetes.io/hostname',
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
  'node.kubernetes.io/instance-type',
  'beta.kubernetes.io/instance-type',
  'kubernetes.io/os',
  'kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/arch',
]);
const isUnder = (domain: string, parent: string): boolean => domain === parent || domain.endsWith(`.${parent}`);

export function labelProblems(labels: Readonly<Record<string, string>>): string[] {
  const unknown: string[] = [];
  const invalid: string[] = [];
  for (const [key, value] of Object.entries(labels)) {
    const domain = key.includes('/') ? (key.split('/')[0] ?? '') : '';
    const isReserved = isUnder(domain, 'kubernetes.io') || isUnder(domain, 'k8s.io');
    const isOurs = isUnder(domain, 'kubelet.kubernetes.io') || isUnder(domain, 'node.kubernetes.io');
    if (isReserved && !isOurs && !allowedLabels.has(key)) unknown.push(key);
    const name = key.includes('/') ? key.slice(key.indexOf('/') + 1) : key;
    const isName = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
    const isDomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
    if (!isName.test(name) || (key.includes('/') && (domain.length > 253 || !isDomain.test(domain)))) {
      invalid.push(`'${key}' - is not a label key`);
    }
    if (value !== '' && !isName.test(value)) invalid.push(`'${value}' - is not a label value`);
  }
  const problems: string[] = [];
  if (unknown.length > 0) {
    problems.push(
      `unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [${unknown.toSorted().join(' ')}]`,
    );
  }
  if (invalid.length > 0) problems.push(`invalid node labels: ${invalid.join('; ')}`);
  return problems;
}

export interface NodeIps {
  /** Concrete addresses the node was told to use, primary first; empty when it shall find out. */
  ips: readonly string[];
  /** Without a concrete address: which family to look for first. */
  preferredFamily: 4 | 6;
}

/** `--node-ip`: one address, `::` or `0.0.0.0` for "of that family", or a pair of both families. */
export function parseNodeIps(text: string): NodeIps & { problems: string[] } {
  const ips = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => isIP(part) !== 0);
  const isAny = (ip: string): boolean => ip === '0.0.0.0' || ip === '::';
  if (ips.length > 1 && ips.some(isAny)) {
    return {
      ips: [],
      preferredFamily: 4,
      problems: [`--node-ip: dual-stack node IP cannot include '0.0.0.0' or '::'`],
    };
  }
  const [first = '', second] = ips;
  if (ips.length > 2 || (second !== undefined && isIP(first) === isIP(second))) {
    return {
      ips: [],
      preferredFamily: 4,
      problems: ['--node-ip: must contain either a single IP or a dual-stack pair of IPs'],
    };
  }
  const problems = text.trim() !== '' && ips.length === 0 ? [`--node-ip: "${text}" holds no IP address`] : [];
  return { ips: ips.filter((ip) => !isAny(ip)), preferredFamily: isIP(first) === 6 ? 6 : 4, problems };
}

/** What is wrong with flags that have no field. */
export function flagProblems(flags: KubeletFlags): string[] {
  const problems = [...labelProblems(flags.nodeLabels), ...parseNodeIps(flags.nodeIp).problems];
  if (!isAbsolute(flags.rootDir) || normalize(flags.rootDir).replace(/(.)\/$/, '$1') !== flags.rootDir) {
    problems.push(`rootDirectory not in canonical form: --root-dir "${flags.rootDir}" must be an absolute, clean path`);
  }
  return problems;
}
