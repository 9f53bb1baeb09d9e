/**
 * Every field that a pod spec reaches, and what becomes of it. A field that the API's table has and this one does not
 * fails here: nothing is ignored without somebody having decided so.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../test/fixtures/kubelet-pods.ts';
import { Mounts } from '../adapters/mounts/mounts.ts';
import { systemClock } from '../base/clock.ts';
import { NotFoundError } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import type {
  Container,
  EnvVarSource,
  EphemeralContainer,
  Pod,
  PodSecurityContext,
  PodSpec,
  SecurityContext,
  Service,
  VolumeMount,
} from '../objects/generated/core-v1.ts';
import { podShapeText } from '../objects/generated/pod-shape.ts';
import { loadKubeletConfig, parseKubeletFlags } from './config.ts';
import { refuseEphemeral, refuseUnsupported } from './dispatch/refuse-unsupported.ts';
import { makeContainerConfig, makeSandboxConfig } from './execute/container-config.ts';
import { podContainers, uidOf } from './pod-model.ts';
import { PodParts } from './pod-parts.ts';
import { UserNamespaces } from './support/security/user-namespaces.ts';
import { selectUnsupportedVolume } from './support/volumes/volume-kinds.ts';

type Claim =
  /** The file reads the field. */
  | { kind: 'honoured'; file: string }
  /** What the runtime is asked for differs with it. */
  | { kind: 'made'; spec: Partial<PodSpec>; base: Partial<PodSpec> }
  /** Such a pod is refused, by a name that contains this. */
  | { kind: 'refused'; spec: Partial<PodSpec>; says: string }
  /** Somebody else's. */
  | { kind: 'other'; why: string };

const by = (file: string): Claim => ({ kind: 'honoured', file });
const made = (spec: Partial<PodSpec>, base: Partial<PodSpec> = {}): Claim => ({ kind: 'made', spec, base });
const refused = (spec: Partial<PodSpec>, says: string): Claim => ({ kind: 'refused', spec, says });
const other = (why: string): Claim => ({ kind: 'other', why });

// ---- how rows say what differs

const oneContainer = (more: Partial<Container>): Partial<PodSpec> => ({ containers: [testContainer('web', more)] });
const container = (more: Partial<Container>, base: Partial<Container> = {}): Claim =>
  made(oneContainer(more), oneContainer(base));
const oneEphemeral = (more: Partial<EphemeralContainer>): Partial<PodSpec> => ({
  ephemeralContainers: [{ name: 'debug', image: 'x', ...more }],
});
const ephemeral = (more: Partial<EphemeralContainer>): Claim => made(oneEphemeral(more), oneEphemeral({}));
const refusedEphemeral = (more: Partial<EphemeralContainer>): Claim =>
  refused(oneEphemeral(more), `${Object.keys(more)[0]} `);
const podSecurity = (more: PodSecurityContext, base: PodSecurityContext = {}): Claim =>
  made({ securityContext: more }, { securityContext: base });
const security = (more: SecurityContext, base: SecurityContext = {}): Claim =>
  container({ securityContext: more }, { securityContext: base });
const oneVariable = (valueFrom: EnvVarSource): Partial<Container> => ({ env: [{ name: 'A', valueFrom }] });
const variable = (valueFrom: EnvVarSource, base: EnvVarSource = {}): Claim =>
  container(oneVariable(valueFrom), oneVariable(base));
const mount = (more: Partial<VolumeMount>, base: Partial<VolumeMount> = {}): Claim => {
  const whole = { name: 'data', mountPath: '/data', ...base };
  return container({ volumeMounts: [{ ...whole, ...more }] }, { volumeMounts: [whole] });
};
const unserved = (type: string): Claim => {
  const volumeMounts = [{ name: 'v', mountPath: '/v' }];
  return refused({ ...oneContainer({ volumeMounts }), volumes: [{ name: 'v', [type]: {} }] }, `of type ${type},`);
};

const exec = { exec: { command: ['true'] } };
const port = { containerPort: 80 };
const prober = by('kubelet/support/probes/prober.ts');
const probeSteps = by('kubelet/support/probes/next-probe-step.ts');
const httpProbe = by('kubelet/support/probes/http-probe-request.ts');
const hooks = by('kubelet/execute/hooks.ts');
const restart = by('kubelet/execute/restart-policy.ts');
const resizes = by('kubelet/support/resize/pod-resources.ts');
const served = by('kubelet/support/volumes/volume-kinds.ts');
const scheduler = other('the scheduler: when it is on a node this is over');
const windows = other('nodes with Windows: a manifest may carry both, and Linux nodes leave it alone as upstream');
const claims = refused(oneContainer({ resources: { claims: [{ name: 'gpu' }] } }), 'resources.claims');

/** By type; a claim instead of fields is about all of them. */
const table: Record<string, Claim | Record<string, Claim>> = {
  PodSpec: {
    activeDeadlineSeconds: by('kubelet/dispatch/active-deadlines.ts'),
    affinity: by('objects/node-selector.ts'),
    automountServiceAccountToken: other('the API server, which adds the volume with the token'),
    containers: by('kubelet/pod-model.ts'),
    dnsConfig: made({ dnsConfig: { nameservers: ['192.0.2.1'] } }),
    dnsPolicy: made({ dnsPolicy: 'Default' }),
    enableServiceLinks: made({ enableServiceLinks: false }),
    ephemeralContainers: made(oneEphemeral({})),
    hostAliases: made({ hostAliases: [{ ip: '192.0.2.1', hostnames: ['other'] }] }),
    hostIPC: made({ hostIPC: true }),
    hostNetwork: made({ hostNetwork: true }),
    hostPID: made({ hostPID: true }),
    hostUsers: made({ hostUsers: false }),
    hostname: made({ hostname: 'other' }),
    hostnameOverride: made({ hostnameOverride: 'other.example' }),
    imagePullSecrets: by('kubelet/kubelet-images.ts'),
    initContainers: made({ initContainers: [testContainer('first')] }),
    nodeName: by('kubelet/dispatch/fit-node.ts'),
    nodeSelector: by('objects/node-selector.ts'),
    os: by('kubelet/dispatch/admit-pod.ts'),
    overhead: made({ overhead: { cpu: '100m' } }),
    preemptionPolicy: scheduler,
    priority: by('kubelet/pod-model.ts'),
    priorityClassName: made({ priorityClassName: 'system-node-critical' }, { priority: 2_000_001_000 }),
    readinessGates: by('kubelet/report/compute-pod-status.ts'),
    resourceClaims: refused({ resourceClaims: [{ name: 'gpu' }] }, 'spec.resourceClaims'),
    resources: made({ resources: { limits: { cpu: '1' } } }),
    restartPolicy: restart,
    runtimeClassName: made({ runtimeClassName: 'strong' }),
    schedulerName: scheduler,
    schedulingGates: scheduler,
    schedulingGroup: scheduler,
    securityContext: podSecurity({ runAsUser: 7 }),
    serviceAccount: other('the API server, which keeps this old name equal to serviceAccountName'),
    serviceAccountName: by('kubelet/support/volumes/fetch-payload.ts'),
    setHostnameAsFQDN: made({ setHostnameAsFQDN: true }, { subdomain: 'sub' }),
    shareProcessNamespace: made({ shareProcessNamespace: true }),
    subdomain: made({ subdomain: 'sub' }),
    terminationGracePeriodSeconds: by('kubelet/execute/compute-grace.ts'),
    tolerations: by('kubelet/dispatch/fit-node.ts'),
    topologySpreadConstraints: scheduler,
    volumes: served,
  },
  Container: {
    args: container({ args: ['a'] }),
    command: container({ command: ['a'] }),
    env: container({ env: [{ name: 'A', value: 'a' }] }),
    envFrom: container({ envFrom: [{ configMapRef: { name: 'some' } }] }),
    image: container({ image: 'other' }),
    imagePullPolicy: by('kubelet/support/images/images.ts'),
    lifecycle: container({ lifecycle: { preStop: exec } }),
    livenessProbe: by('kubelet/support/probes/probes.ts'),
    name: made({ containers: [testContainer('other')] }),
    ports: container({ ports: [port] }),
    readinessProbe: by('kubelet/support/probes/probes.ts'),
    resizePolicy: resizes,
    resources: container({ resources: { limits: { cpu: '1' } } }),
    restartPolicy: restart,
    restartPolicyRules: restart,
    securityContext: security({ runAsUser: 7 }),
    startupProbe: by('kubelet/support/probes/probes.ts'),
    stdin: container({ stdin: true }),
    stdinOnce: container({ stdinOnce: true }),
    terminationMessagePath: container({ terminationMessagePath: '/message' }),
    terminationMessagePolicy: container({ terminationMessagePolicy: 'FallbackToLogsOnError' }),
    tty: container({ tty: true }),
    volumeDevices: container({ volumeDevices: [{ name: 'disk', devicePath: '/disk' }] }),
    volumeMounts: container({ volumeMounts: [{ name: 'data', mountPath: '/data' }] }),
    workingDir: container({ workingDir: '/w' }),
  },
  EphemeralContainer: {
    args: ephemeral({ args: ['a'] }),
    command: ephemeral({ command: ['a'] }),
    env: ephemeral({ env: [{ name: 'A', value: 'a' }] }),
    envFrom: ephemeral({ envFrom: [{ configMapRef: { name: 'some' } }] }),
    image: ephemeral({ image: 'other' }),
    imagePullPolicy: by('kubelet/support/images/images.ts'),
    lifecycle: refusedEphemeral({ lifecycle: { preStop: exec } }),
    livenessProbe: refusedEphemeral({ livenessProbe: exec }),
    name: ephemeral({ name: 'other' }),
    ports: refusedEphemeral({ ports: [port] }),
    readinessProbe: refusedEphemeral({ readinessProbe: exec }),
    resizePolicy: refusedEphemeral({ resizePolicy: [{ resourceName: 'cpu', restartPolicy: 'NotRequired' }] }),
    resources: ephemeral({ resources: { limits: { cpu: '1' } } }),
    restartPolicy: refusedEphemeral({ restartPolicy: 'Always' }),
    restartPolicyRules: refusedEphemeral({ restartPolicyRules: [{ action: 'Restart' }] }),
    securityContext: ephemeral({ securityContext: { runAsUser: 7 } }),
    startupProbe: refusedEphemeral({ startupProbe: exec }),
    stdin: ephemeral({ stdin: true }),
    stdinOnce: ephemeral({ stdinOnce: true }),
    targetContainerName: ephemeral({ targetContainerName: 'nobody' }),
    terminationMessagePath: ephemeral({ terminationMessagePath: '/message' }),
    terminationMessagePolicy: ephemeral({ terminationMessagePolicy: 'FallbackToLogsOnError' }),
    tty: ephemeral({ tty: true }),
    volumeDevices: ephemeral({ volumeDevices: [{ name: 'disk', devicePath: '/disk' }] }),
    volumeMounts: ephemeral({ volumeMounts: [{ name: 'data', mountPath: '/data' }] }),
    workingDir: ephemeral({ workingDir: '/w' }),
  },

  // ---- security
  PodSecurityContext: {
    appArmorProfile: podSecurity({ appArmorProfile: { type: 'RuntimeDefault' } }),
    fsGroup: podSecurity({ fsGroup: 7 }),
    fsGroupChangePolicy: by('kubelet/support/volumes/give-to-pod.ts'),
    runAsGroup: podSecurity({ runAsGroup: 7 }),
    runAsNonRoot: podSecurity({ runAsNonRoot: true }),
    runAsUser: podSecurity({ runAsUser: 7 }),
    seLinuxChangePolicy: other('volumes that are mounted with a label, which none is here'),
    seLinuxOptions: podSecurity({ seLinuxOptions: { level: 's0' } }),
    seccompProfile: podSecurity({ seccompProfile: { type: 'RuntimeDefault' } }),
    supplementalGroups: podSecurity({ supplementalGroups: [7] }),
    supplementalGroupsPolicy: podSecurity({ supplementalGroupsPolicy: 'Strict' }),
    sysctls: podSecurity({ sysctls: [{ name: 'a', value: 'b' }] }),
    windowsOptions: windows,
  },
  SecurityContext: {
    allowPrivilegeEscalation: security({ allowPrivilegeEscalation: false }),
    appArmorProfile: security({ appArmorProfile: { type: 'RuntimeDefault' } }),
    capabilities: security({ capabilities: { add: ['SYS_TIME'] } }),
    privileged: security({ privileged: true }),
    procMount: security({ procMount: 'Unmasked' }),
    readOnlyRootFilesystem: security({ readOnlyRootFilesystem: true }),
    runAsGroup: security({ runAsGroup: 7 }),
    runAsNonRoot: security({ runAsNonRoot: true }),
    runAsUser: security({ runAsUser: 7 }),
    seLinuxOptions: security({ seLinuxOptions: { level: 's0' } }),
    seccompProfile: security({ seccompProfile: { type: 'RuntimeDefault' } }),
    windowsOptions: windows,
  },
  WindowsSecurityContextOptions: windows,
  AppArmorProfile: {
    localhostProfile: security(
      { appArmorProfile: { type: 'Localhost', localhostProfile: 'a' } },
      { appArmorProfile: { type: 'Localhost' } },
    ),
    type: security({ appArmorProfile: { type: 'Unconfined' } }),
  },
  SeccompProfile: {
    localhostProfile: security(
      { seccompProfile: { type: 'Localhost', localhostProfile: 'a' } },
      { seccompProfile: { type: 'Localhost' } },
    ),
    type: security({ seccompProfile: { type: 'RuntimeDefault' } }),
  },
  Capabilities: {
    add: security({ capabilities: { add: ['SYS_TIME'] } }),
    drop: security({ capabilities: { drop: ['ALL'] } }),
  },
  SELinuxOptions: {
    level: security({ seLinuxOptions: { level: 'a' } }, { seLinuxOptions: {} }),
    role: security({ seLinuxOptions: { role: 'a' } }, { seLinuxOptions: {} }),
    type: security({ seLinuxOptions: { type: 'a' } }, { seLinuxOptions: {} }),
    user: security({ seLinuxOptions: { user: 'a' } }, { seLinuxOptions: {} }),
  },
  Sysctl: {
    name: podSecurity({ sysctls: [{ name: 'b', value: 'v' }] }, { sysctls: [{ name: 'a', value: 'v' }] }),
    value: podSecurity({ sysctls: [{ name: 'a', value: 'w' }] }, { sysctls: [{ name: 'a', value: 'v' }] }),
  },

  // ---- network and names
  ContainerPort: {
    containerPort: container({ ports: [{ containerPort: 81 }] }, { ports: [port] }),
    hostIP: container({ ports: [{ ...port, hostIP: '127.0.0.1' }] }, { ports: [port] }),
    hostPort: container({ ports: [{ ...port, hostPort: 80 }] }, { ports: [port] }),
    name: by('kubelet/support/probes/resolve-port.ts'),
    protocol: container({ ports: [{ ...port, protocol: 'UDP' }] }, { ports: [port] }),
  },
  HostAlias: {
    hostnames: made({ hostAliases: [{ ip: '::1', hostnames: ['a'] }] }, { hostAliases: [{ ip: '::1' }] }),
    ip: made({ hostAliases: [{ ip: '::2' }] }, { hostAliases: [{ ip: '::1' }] }),
  },
  PodDNSConfig: {
    nameservers: made({ dnsConfig: { nameservers: ['192.0.2.1'] } }),
    options: made({ dnsConfig: { options: [{ name: 'debug' }] } }),
    searches: made({ dnsConfig: { searches: ['example'] } }),
  },
  PodDNSConfigOption: {
    name: made({ dnsConfig: { options: [{ name: 'debug' }] } }),
    value: made({ dnsConfig: { options: [{ name: 'ndots', value: '3' }] } }),
  },

  // ---- environment
  EnvVar: {
    name: container({ env: [{ name: 'B', value: 'a' }] }, { env: [{ name: 'A', value: 'a' }] }),
    value: container({ env: [{ name: 'A', value: 'b' }] }, { env: [{ name: 'A', value: 'a' }] }),
    valueFrom: variable({ fieldRef: { fieldPath: 'metadata.name' } }),
  },
  EnvVarSource: {
    configMapKeyRef: variable({ configMapKeyRef: { name: 'some', key: 'k' } }),
    fieldRef: variable({ fieldRef: { fieldPath: 'metadata.name' } }),
    fileKeyRef: variable({ fileKeyRef: { volumeName: 'data', path: 'env', key: 'A' } }),
    resourceFieldRef: variable({ resourceFieldRef: { resource: 'limits.cpu' } }),
    secretKeyRef: variable({ secretKeyRef: { name: 'some', key: 'k' } }),
  },
  ConfigMapKeySelector: {
    key: variable({ configMapKeyRef: { name: 'some', key: 'l' } }, { configMapKeyRef: { name: 'some', key: 'k' } }),
    name: variable({ configMapKeyRef: { name: 'other', key: 'k' } }, { configMapKeyRef: { name: 'some', key: 'k' } }),
    optional: variable(
      { configMapKeyRef: { name: 'none', key: 'k', optional: true } },
      { configMapKeyRef: { name: 'none', key: 'k' } },
    ),
  },
  SecretKeySelector: {
    key: variable({ secretKeyRef: { name: 'some', key: 'l' } }, { secretKeyRef: { name: 'some', key: 'k' } }),
    name: variable({ secretKeyRef: { name: 'other', key: 'k' } }, { secretKeyRef: { name: 'some', key: 'k' } }),
    optional: variable(
      { secretKeyRef: { name: 'none', key: 'k', optional: true } },
      { secretKeyRef: { name: 'none', key: 'k' } },
    ),
  },
  FileKeySelector: {
    key: variable(
      { fileKeyRef: { volumeName: 'data', path: 'env', key: 'B' } },
      { fileKeyRef: { volumeName: 'data', path: 'env', key: 'A' } },
    ),
    optional: variable(
      { fileKeyRef: { volumeName: 'data', path: 'env', key: 'NONE', optional: true } },
      { fileKeyRef: { volumeName: 'data', path: 'env', key: 'NONE' } },
    ),
    path: variable(
      { fileKeyRef: { volumeName: 'data', path: 'none', key: 'A' } },
      { fileKeyRef: { volumeName: 'data', path: 'env', key: 'A' } },
    ),
    volumeName: variable(
      { fileKeyRef: { volumeName: 'none', path: 'env', key: 'A' } },
      { fileKeyRef: { volumeName: 'data', path: 'env', key: 'A' } },
    ),
  },
  ObjectFieldSelector: {
    apiVersion: variable(
      { fieldRef: { fieldPath: 'metadata.name', apiVersion: 'v2' } },
      { fieldRef: { fieldPath: 'metadata.name', apiVersion: 'v1' } },
    ),
    fieldPath: variable({ fieldRef: { fieldPath: 'metadata.name' } }, { fieldRef: { fieldPath: 'metadata.uid' } }),
  },
  ResourceFieldSelector: {
    containerName: variable(
      { resourceFieldRef: { resource: 'limits.cpu', containerName: 'none' } },
      { resourceFieldRef: { resource: 'limits.cpu' } },
    ),
    divisor: variable(
      { resourceFieldRef: { resource: 'limits.cpu', divisor: '1m' } },
      { resourceFieldRef: { resource: 'limits.cpu' } },
    ),
    resource: variable(
      { resourceFieldRef: { resource: 'limits.memory' } },
      { resourceFieldRef: { resource: 'limits.cpu' } },
    ),
  },
  EnvFromSource: {
    configMapRef: container({ envFrom: [{ configMapRef: { name: 'some' } }] }),
    prefix: container(
      { envFrom: [{ configMapRef: { name: 'some' }, prefix: 'P_' }] },
      { envFrom: [{ configMapRef: { name: 'some' } }] },
    ),
    secretRef: container({ envFrom: [{ secretRef: { name: 'some' } }] }),
  },
  ConfigMapEnvSource: {
    name: container({ envFrom: [{ configMapRef: { name: 'some' } }] }, { envFrom: [{ configMapRef: {} }] }),
    optional: container(
      { envFrom: [{ configMapRef: { name: 'none', optional: true } }] },
      { envFrom: [{ configMapRef: { name: 'none' } }] },
    ),
  },
  SecretEnvSource: {
    name: container({ envFrom: [{ secretRef: { name: 'some' } }] }, { envFrom: [{ secretRef: {} }] }),
    optional: container(
      { envFrom: [{ secretRef: { name: 'none', optional: true } }] },
      { envFrom: [{ secretRef: { name: 'none' } }] },
    ),
  },

  // ---- probes and hooks
  Probe: {
    exec: prober,
    failureThreshold: probeSteps,
    grpc: prober,
    httpGet: prober,
    initialDelaySeconds: probeSteps,
    periodSeconds: by('kubelet/support/probes/probe-worker.ts'),
    successThreshold: probeSteps,
    tcpSocket: prober,
    terminationGracePeriodSeconds: by('kubelet/execute/compute-grace.ts'),
    timeoutSeconds: prober,
  },
  ExecAction: { command: prober },
  GRPCAction: { port: prober, service: prober },
  HTTPGetAction: { host: httpProbe, httpHeaders: httpProbe, path: httpProbe, port: httpProbe, scheme: httpProbe },
  HTTPHeader: { name: httpProbe, value: httpProbe },
  TCPSocketAction: { host: prober, port: prober },
  Lifecycle: {
    postStart: by('kubelet/execute/pod-runtime.ts'),
    preStop: container({ lifecycle: { preStop: exec } }),
    stopSignal: container({ lifecycle: { stopSignal: 'SIGUSR1' } }),
  },
  LifecycleHandler: {
    exec: hooks,
    httpGet: hooks,
    sleep: hooks,
    tcpSocket: other('nobody: a hook with this alone fails and says so, as upstream (execute/hooks.ts)'),
  },
  SleepAction: { seconds: hooks },

  // ---- resources and restarts
  ResourceRequirements: {
    claims,
    limits: container({ resources: { limits: { cpu: '1' } } }),
    requests: container({ resources: { requests: { cpu: '1' } } }),
  },
  ResourceClaim: claims,
  PodResourceClaim: refused({ resourceClaims: [{ name: 'gpu', resourceClaimName: 'x' }] }, 'spec.resourceClaims'),
  ContainerResizePolicy: { resourceName: resizes, restartPolicy: resizes },
  ContainerRestartRule: { action: restart, exitCodes: restart },
  ContainerRestartRuleOnExitCodes: { operator: restart, values: restart },

  // ---- volumes
  Volume: {
    awsElasticBlockStore: unserved('awsElasticBlockStore'),
    azureDisk: unserved('azureDisk'),
    azureFile: unserved('azureFile'),
    cephfs: unserved('cephfs'),
    cinder: unserved('cinder'),
    configMap: served,
    csi: by('kubelet/support/volumes/csi-hands.ts'),
    downwardAPI: served,
    emptyDir: served,
    ephemeral: by('kubelet/support/volumes/resolve-volume.ts'),
    fc: unserved('fc'),
    flexVolume: unserved('flexVolume'),
    flocker: unserved('flocker'),
    gcePersistentDisk: unserved('gcePersistentDisk'),
    gitRepo: unserved('gitRepo'),
    glusterfs: unserved('glusterfs'),
    hostPath: served,
    image: served,
    iscsi: unserved('iscsi'),
    name: served,
    nfs: by('kubelet/support/volumes/resolve-volume.ts'),
    persistentVolumeClaim: by('kubelet/support/volumes/resolve-volume.ts'),
    photonPersistentDisk: unserved('photonPersistentDisk'),
    portworxVolume: unserved('portworxVolume'),
    projected: served,
    quobyte: unserved('quobyte'),
    rbd: unserved('rbd'),
    scaleIO: unserved('scaleIO'),
    secret: served,
    storageos: unserved('storageos'),
    vsphereVolume: unserved('vsphereVolume'),
  },
  VolumeMount: {
    mountPath: mount({ mountPath: '/other' }),
    mountPropagation: mount({ mountPropagation: 'HostToContainer' }),
    name: mount({ name: 'none' }),
    readOnly: mount({ readOnly: true }),
    recursiveReadOnly: mount({ recursiveReadOnly: 'Enabled' }, { readOnly: true }),
    subPath: mount({ subPath: 'sub' }),
    subPathExpr: mount({ subPathExpr: '$(NONE)' }),
  },
  VolumeDevice: {
    devicePath: container(
      { volumeDevices: [{ name: 'disk', devicePath: '/other' }] },
      { volumeDevices: [{ name: 'disk', devicePath: '/disk' }] },
    ),
    name: container(
      { volumeDevices: [{ name: 'none', devicePath: '/disk' }] },
      { volumeDevices: [{ name: 'disk', devicePath: '/disk' }] },
    ),
  },

  // ---- where it runs, and the rest
  LocalObjectReference: { name: by('kubelet/kubelet-images.ts') },
  PodOS: { name: by('kubelet/dispatch/admit-pod.ts') },
  PodReadinessGate: { conditionType: by('kubelet/report/compute-pod-status.ts') },
  PodSchedulingGate: scheduler,
  PodSchedulingGroup: scheduler,
  Toleration: {
    effect: by('objects/tolerations.ts'),
    key: by('objects/tolerations.ts'),
    operator: by('objects/tolerations.ts'),
    tolerationSeconds: other('the controller that evicts pods from tainted nodes'),
    value: by('objects/tolerations.ts'),
  },
  TopologySpreadConstraint: scheduler,
};

// ---- the API's table

/** The insides of these belong to those who read them. */
const closed = new Set(['core.v1.Affinity', 'meta.v1.LabelSelector']);

/** `Type.field` of everything below a PodSpec. */
function reachedFields(): string[] {
  const lines = podShapeText.split('\n').map((line) => line.split(' '));
  const fieldsOf = new Map(lines.map(([type = '', ...fields]) => [type, fields.map((field) => field.split('~'))]));
  const reached = new Set<string>();
  const seen = new Set<string>();
  const walk = (type: string): void => {
    if (seen.has(type) || closed.has(type)) return;
    seen.add(type);
    for (const [key = '', fieldType = ''] of fieldsOf.get(type) ?? []) {
      reached.add(`${type.replace('core.v1.', '')}.${key.replace('!', '')}`);
      if (type !== 'core.v1.Volume') walk(fieldType.replace('[]', ''));
    }
  };
  walk('core.v1.PodSpec');
  return [...reached];
}

const fieldsHere = (type: string, entry: Claim | Record<string, Claim>): Array<[field: string, claim: Claim]> =>
  'kind' in entry && typeof entry.kind === 'string'
    ? [[`${type}.*`, entry as Claim]]
    : Object.entries(entry).map(([field, claim]) => [`${type}.${field}`, claim]);
const rows = Object.entries(table).flatMap(([type, entry]) => fieldsHere(type, entry));

it('names every field that a pod spec reaches, and no other', () => {
  const whole = rows.flatMap(([field]) => (field.endsWith('.*') ? [field.slice(0, -1)] : []));
  const named = rows.map(([field]) => field);
  const reached = reachedFields();
  expect(reached.length).toBeGreaterThan(200);
  const isNamed = (field: string): boolean => named.includes(field) || whole.some((type) => field.startsWith(type));
  expect(reached.filter((field) => !isNamed(field))).toEqual([]);
  expect(named.filter((field) => !field.endsWith('.*') && !reached.includes(field))).toEqual([]);
  expect(whole.filter((type) => !reached.some((field) => field.startsWith(type)))).toEqual([]);
});

// ---- what the runtime is asked for

class NoMounts extends Mounts {
  override bindSubPath(): Promise<void> {
    return Promise.resolve();
  }
}

const signal = new AbortController().signal;
const service: Service = {
  metadata: { name: 'other', namespace: 'default' },
  spec: { clusterIP: '10.96.0.9', ports: [{ port: 80 }] },
};
let directory: string;
let parts: PodParts;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gantry-fields-'));
  const hostPath = join(directory, 'data');
  await mkdir(hostPath);
  await mkdir(join(directory, 'root', 'pods', 'uid-1'), { recursive: true });
  await writeFile(join(hostPath, 'env'), "A='a'\nB='b'\n");
  const text = JSON.stringify({
    kind: 'KubeletConfiguration',
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    resolvConf: '',
    clusterDNS: ['10.96.0.10'],
    clusterDomain: 'cluster.local',
    featureGates: { ContainerStopSignals: true },
    cgroupDriver: 'cgroupfs',
  });
  const flags = ['--config=/config', `--root-dir=${join(directory, 'root')}`, '--hostname-override=node-1'];
  const config = await loadKubeletConfig(parseKubeletFlags(flags), {
    readFile: () => Promise.resolve(text),
    listFiles: () => Promise.resolve([]),
  });
  const userNamespaces = new UserNamespaces({
    range: { firstId: 65_536, length: 655_360 },
    idsPerPod: 65_536,
    podDir: (uid) => join(directory, 'root', 'pods', uid),
    handlers: () => [{ name: '', userNamespaces: true }],
    log: silentLogger,
  });
  const found = (name: string): Promise<{ metadata: { name: string }; data: Record<string, string> }> =>
    name === 'some' || name === 'other'
      ? Promise.resolve({ metadata: { name }, data: { k: `k${name}`, l: 'LLLL' } })
      : Promise.reject(new NotFoundError(name));
  const facts = {
    machineId: '',
    bootId: '',
    systemUuid: '',
    kernelVersion: '6.1.0',
    osImage: '',
    architecture: 'amd64',
    cpuCount: 2,
    memoryBytes: 1e9,
    swapBytes: 0,
    hugepages: [],
    pidMax: 32_768,
    isAppArmorEnabled: true,
    isSeLinuxEnabled: false,
    thermalThrottlePaths: [],
  };
  parts = new PodParts({
    clock: systemClock,
    config,
    facts,
    machine: { cgroupVersion: 2, memoryBytes: 1e9, swapBytes: 0, hasSwapController: false, hugepageSizes: [] },
    mounts: new NoMounts(),
    mountedVolumes: () =>
      new Map([
        ['data', { hostPath, readOnly: false }],
        ['disk', { hostPath: '/dev/null', readOnly: false, isBlock: true }],
      ]),
    cgroupParent: () => '/parent',
    getConfigMap: (_, name) => found(name),
    getSecret: (_, name) => found(name),
    services: () => Promise.resolve([service]),
    runtimeHandler: ({ spec }) => Promise.resolve(spec.runtimeClassName ?? ''),
    userNamespace: (pod, handler) => userNamespaces.of(pod, handler),
    runtimeStatus: () => ({
      conditions: [],
      handlers: [{ name: '', userNamespaces: true, recursiveReadOnlyMounts: true }],
      hasSupplementalGroupsPolicy: true,
      supplementalGroupsPolicy: true,
    }),
    hostIps: () => ['192.0.2.9'],
    nodeAllocatable: () => ({ cpu: '2', memory: '1Gi' }),
    events: { pod: () => {}, container: () => {} },
    nodeEvent: () => {},
    log: silentLogger,
  });
});

afterAll(() => rm(directory, { recursive: true, force: true }));

/** Everything that the runtime would get for the pod, as text; what cannot be made is the reason. */
async function whatIsMade(spec: Partial<PodSpec>): Promise<string> {
  const pod = testPod({ volumes: [{ name: 'data', emptyDir: {} }], ...spec });
  const sandbox = await parts.sandboxParts(pod, signal);
  const configs: unknown[] = [sandbox.runtimeHandler, makeSandboxConfig(pod, 0, '/logs', sandbox)];
  for (const container of podContainers(pod)) configs.push(await containerMade(pod, container));
  const hosts = await readFile(join(directory, 'root', 'pods', uidOf(pod), 'etc-hosts'), 'utf8').catch(() => '');
  return `${JSON.stringify(configs, undefined, 1)}\n${hosts}`.replaceAll(/(containers\/[^/]+\/)[0-9a-f]{8}/g, '$1');
}

async function containerMade(pod: Pod, container: ReturnType<typeof podContainers>[number]): Promise<unknown> {
  const image = { id: 'sha256:1', repoTags: [], repoDigests: [], sizeBytes: 1, uid: undefined, username: '' };
  const context = {
    image: { ...image, pinned: false },
    volumeImages: new Map<string, never>(),
    podIps: ['10.88.0.2'],
    observed: undefined,
  };
  try {
    const made_ = await parts.containerParts(pod, container, context, signal);
    return makeContainerConfig(pod, container, { imageId: image.id, restartCount: 0 }, made_);
  } catch (err) {
    return String(err);
  }
}

describe('what the table says is so', () => {
  it.each(rows)('%s', async (field, claim) => {
    switch (claim.kind) {
      case 'made': {
        const base = await whatIsMade(claim.base);
        expect(await whatIsMade(claim.base)).toBe(base); // nothing of it is chance
        expect(await whatIsMade({ ...claim.base, ...claim.spec })).not.toBe(base);
        return;
      }
      case 'honoured': {
        const text = await readFile(join(import.meta.dirname, '..', claim.file), 'utf8');
        expect(text).toMatch(new RegExp(`\\b${field.split('.')[1]}\\b`));
        return;
      }
      case 'refused': {
        const pod = testPod(claim.spec);
        const gates = { ContainerStopSignals: true };
        const [debug] = pod.spec.ephemeralContainers ?? [];
        const rejection = debug === undefined ? refuseUnsupported(pod, gates) : refuseEphemeral(debug, gates);
        expect(rejection?.message ?? selectUnsupportedVolume(pod)).toContain(claim.says);
        return;
      }
      case 'other':
        expect(claim.why).not.toBe('');
    }
  });
});
