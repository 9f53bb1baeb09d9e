import { describe, expect, it } from 'vitest';
import { ConfigError, NotFoundError } from '../base/errors.ts';
import { type KubeletConfig, loadKubeletConfig, parseKubeletFlags } from './config.ts';

const header = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';

function load(args: string[], files: Record<string, string> = {}): Promise<KubeletConfig> {
  return loadKubeletConfig(parseKubeletFlags(args), {
    readFile: (path) => {
      const text = files[path];
      return text === undefined ? Promise.reject(new NotFoundError(`no file "${path}"`)) : Promise.resolve(text);
    },
    listFiles: (folder) => Promise.resolve(Object.keys(files).filter((path) => path.startsWith(`${folder}/`))),
  });
}

const loadYaml = (yaml: string, ...args: string[]): Promise<KubeletConfig> =>
  load(['--config=/etc/k.yaml', ...args], { '/etc/k.yaml': header + yaml });

async function problemsOf(loading: Promise<unknown>): Promise<readonly string[]> {
  const err = await loading.catch((reason: unknown) => reason);
  if (!(err instanceof ConfigError)) throw new Error(`expected a ConfigError, got ${String(err)}`);
  return err.problems;
}

/** What kubeadm 1.36 writes, where it differs from an empty file, with its many zeros. */
const kubeadm = `
authentication:
  anonymous: {enabled: false}
  webhook: {cacheTTL: 0s, enabled: true}
  x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}
authorization:
  mode: Webhook
  webhook: {cacheAuthorizedTTL: 0s, cacheUnauthorizedTTL: 0s}
cgroupDriver: systemd
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: ""
cpuManagerReconcilePeriod: 0s
crashLoopBackOff: {}
evictionPressureTransitionPeriod: 0s
fileCheckFrequency: 0s
healthzBindAddress: 127.0.0.1
healthzPort: 10248
httpCheckFrequency: 0s
imageMaximumGCAge: 0s
imageMinimumGCAge: 0s
logging:
  flushFrequency: 0
  options:
    json: {infoBufferSize: "0"}
    text: {infoBufferSize: "0"}
  verbosity: 0
memorySwap: {}
nodeStatusReportFrequency: 0s
nodeStatusUpdateFrequency: 0s
rotateCertificates: false
runtimeRequestTimeout: 0s
shutdownGracePeriod: 0s
shutdownGracePeriodCriticalPods: 0s
staticPodPath: /etc/kubernetes/manifests
streamingConnectionIdleTimeout: 0s
syncFrequency: 0s
volumeStatsAggPeriod: 0s
`;

describe('loadKubeletConfig', () => {
  it.each([
    { yaml: '', want: 60_000 },
    { yaml: 'volumeStatsAggPeriod: 0s\n', want: 60_000 },
    { yaml: 'volumeStatsAggPeriod: 10s\n', want: 10_000 },
    { yaml: 'volumeStatsAggPeriod: -1s\n', want: -1000 },
  ])('how often volumes are measured: $yaml', async ({ yaml, want }) => {
    expect((await loadYaml(yaml)).volumeStatsAggPeriodMs).toBe(want);
  });

  it('reads where static pods are to be had', async () => {
    const config = await loadYaml(
      'staticPodURL: http://x/pods\nstaticPodURLHeader: {A: [hello, again]}\nhttpCheckFrequency: 3s\n',
    );
    expect([config.staticPodUrl, config.staticPodUrlHeaders, config.httpCheckPeriodMs]).toEqual([
      'http://x/pods',
      { A: ['hello', 'again'] },
      3000,
    ]);
    const flags = ['--manifest-url=http://y/', '--manifest-url-header=a:hello,b:again,a:x:y'];
    const flagged = await loadYaml('', ...flags);
    expect([flagged.staticPodUrl, flagged.staticPodUrlHeaders]).toEqual([
      'http://y/',
      { a: ['hello', 'x:y'], b: ['again'] },
    ]);
  });

  it('reads a file of kubeadm, where zero means "use the default"', async () => {
    const config = await loadYaml(kubeadm, '--hostname-override', 'Node-1');
    expect(config).toMatchObject({
      nodeName: 'node-1',
      staticPodPath: '/etc/kubernetes/manifests',
      syncPeriodMs: 60_000,
      fileCheckPeriodMs: 20_000,
      clusterDns: ['10.96.0.10'],
      clusterDomain: 'cluster.local',
      containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
      imageServiceEndpoint: 'unix:///run/containerd/containerd.sock',
      nodeStatusUpdatePeriodMs: 10_000,
      nodeStatusReportPeriodMs: 300_000,
      runtimeRequestTimeoutMs: 120_000,
      server: { port: 10_250, clientCaFile: '/etc/kubernetes/pki/ca.crt', tokenCacheTtlMs: 120_000 },
      healthz: { port: 10_248, address: '127.0.0.1' },
    });
  });

  it('has upstream defaults without a file, and lets nobody in unknown', async () => {
    const config = await load([]);
    expect(config).toMatchObject({
      maxPods: 110,
      podPidsLimit: -1,
      resolvConfPath: '/etc/resolv.conf',
      cgroupRoot: '/',
      cpuCfsQuotaPeriodMicros: 100_000,
      nodeLeaseDurationSeconds: 40,
      serializeImagePulls: true,
      failCgroupV1: true,
      rootDir: '/var/lib/kubelet',
      enforceNodeAllocatable: ['pods'],
      crashLoopBackOffMaxMs: 300_000,
      hasStopSignals: false,
      containerLogMaxBytes: 10 * 1024 * 1024,
      evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '10%', 'imagefs.available': '15%' },
      server: { anonymousEnabled: false, authorizationMode: 'Webhook', tokenWebhookEnabled: true },
    });
  });

  it('has upstream’s defaults in what pods live by', async () => {
    expect(await loadYaml('')).toMatchObject({
      syncPeriodMs: 60_000,
      fileCheckPeriodMs: 20_000,
      httpCheckPeriodMs: 20_000,
      registryPullQps: 5,
      registryBurst: 10,
      eventRecordQps: 50,
      eventBurst: 100,
      kubeApiQps: 50,
      kubeApiBurst: 100,
      runtimeRequestTimeoutMs: 120_000,
      cpuCfsQuota: true,
      maxPods: 110,
      podPidsLimit: -1,
      podLogsDir: '/var/log/pods',
      containerLogMaxFiles: 5,
      containerLogMaxWorkers: 1,
      containerLogMonitorPeriodMs: 10_000,
      containerGarbage: { minAgeMs: 0, maxPerContainer: 1, maxTotal: -1 },
      seccompDefault: false,
      enableControllerAttachDetach: true,
      idsPerPod: 65_536,
      imageVerification: { isOn: true, policy: 'NeverVerifyPreloadedImages', allowlist: [] },
      containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    });
  });

  it('takes a rate of 0 for that of clients that were told none', async () => {
    const config = await loadYaml('eventRecordQPS: 0\nkubeAPIQPS: 0\n');
    expect(config).toMatchObject({ eventRecordQps: 5, eventBurst: 100, kubeApiQps: 5, kubeApiBurst: 100 });
  });

  it('lets pods have trust anchors and certificates behind upstream’s gates', async () => {
    const { hasTrustBundles, hasPodCertificates } = await loadYaml('');
    expect([hasTrustBundles, hasPodCertificates]).toEqual([false, false]);
    const gates = 'ClusterTrustBundle=true,ClusterTrustBundleProjection=true,PodCertificateRequest=true';
    const on = await loadYaml('', `--feature-gates=${gates}`);
    expect([on.hasTrustBundles, on.hasPodCertificates]).toEqual([true, true]);
  });

  it('takes a gate that may be set to either value', async () => {
    const config = await loadYaml('', '--feature-gates=ContainerStopSignals=true');
    expect(config.hasStopSignals).toBe(true);
  });

  it('lets flags win over the file, and gates add up', async () => {
    const config = await loadYaml(
      'maxPods: 50\nfeatureGates: {EventedPLEG: false}\nregisterWithTaints: [{key: a, effect: NoSchedule}]\n',
      '--max-pods=60',
      '--feature-gates=MemoryQoS=false',
      '--register-with-taints=b=1:NoExecute,c:NoSchedule',
      '--v=4',
      '--node-labels=zone=a,example.com/x=',
      '--node-ip',
      '10.0.0.1,fd00::1',
      '--resolv_conf=',
    );
    expect(config).toMatchObject({
      maxPods: 60,
      verbosity: 4,
      resolvConfPath: '',
      nodeLabels: { zone: 'a', 'example.com/x': '' },
      nodeIps: { ips: ['10.0.0.1', 'fd00::1'], preferredFamily: 4 },
      registerWithTaints: [
        { key: 'b', value: '1', effect: 'NoExecute' },
        { key: 'c', effect: 'NoSchedule' },
      ],
    });
    expect(config.upstreamObject).toMatchObject({
      maxPods: 60,
      syncFrequency: '1m0s',
      featureGates: { EventedPLEG: false, MemoryQoS: false },
      authentication: { webhook: { cacheTTL: '2m0s' } },
    });
  });

  it('merges drop-ins in the order of their names: maps by key, lists as a whole, null deletes', async () => {
    const config = await load(['--config=/etc/k.yaml', '--config-dir=/etc/k.d'], {
      '/etc/k.yaml': `${header}maxPods: 50\nclusterDNS: [10.0.0.1]\nkubeReserved: {cpu: 100m, memory: 1Gi}\n`,
      '/etc/k.d/10-a.conf': `${header}maxPods: 60\nclusterDNS: [10.0.0.2]\nkubeReserved: {cpu: 200m}\n`,
      '/etc/k.d/20-b.conf':
        '{"apiVersion":"kubelet.config.k8s.io/v1beta1","kind":"KubeletConfiguration","maxPods":null}',
      '/etc/k.d/30-c.yaml': 'not read: [',
    });
    expect(config.maxPods).toBe(110);
    expect(config.clusterDns).toEqual(['10.0.0.2']);
    expect(config.kubeReserved).toEqual({ cpu: '200m', memory: '1Gi' });
  });

  it('takes relative paths from the folder of the file that has them', async () => {
    const config = await loadYaml('staticPodPath: manifests\nauthentication: {x509: {clientCAFile: ca.crt}}\n');
    expect([config.staticPodPath, config.server.clientCaFile]).toEqual(['/etc/manifests', '/etc/ca.crt']);
  });

  it.each([
    { name: 'alone', yaml: 'evictionHard: {memory.available: 1Gi}\n', want: { 'memory.available': '1Gi' } },
    {
      name: 'merged on request',
      yaml: 'evictionHard: {memory.available: 1Gi}\nmergeDefaultEvictionSettings: true\n',
      want: {
        'memory.available': '1Gi',
        'nodefs.available': '10%',
        'nodefs.inodesFree': '5%',
        'imagefs.available': '15%',
        'imagefs.inodesFree': '5%',
      },
    },
  ])('own eviction thresholds stand $name', async ({ yaml, want }) => {
    expect((await loadYaml(yaml)).evictionHard).toEqual(want);
  });

  it('reports as often as it computes when only that was set', async () => {
    expect((await loadYaml('nodeStatusUpdateFrequency: 1m30s\n')).nodeStatusReportPeriodMs).toBe(90_000);
    expect((await loadYaml('maxParallelImagePulls: 3\n')).serializeImagePulls).toBe(false);
  });

  it('needs no bootstrap while there is a kubeconfig', async () => {
    const flags = ['--kubeconfig=/etc/kubelet.conf', '--bootstrap-kubeconfig=/etc/bootstrap.conf'];
    expect((await load(flags, { '/etc/kubelet.conf': 'x' })).kubeconfigPath).toBe('/etc/kubelet.conf');
    expect(await problemsOf(load(flags))).toEqual([expect.stringContaining('--bootstrap-kubeconfig is not supported')]);
  });

  it.each([
    { yaml: 'maxPodz: 3\n', want: '/etc/k.yaml: unknown field "maxPodz"' },
    { yaml: 'authentication: {x509: {caFile: a}}\n', want: '/etc/k.yaml: unknown field "authentication.x509.caFile"' },
    { yaml: 'authentication: 3\n', want: '/etc/k.yaml: authentication: 3 is not an object' },
    { yaml: 'maxPods: "3"\n', want: '/etc/k.yaml: maxPods: "3" is not a whole number' },
    { yaml: 'maxPods: 1.5\n', want: '/etc/k.yaml: maxPods: 1.5 is not a whole number' },
    { yaml: 'syncFrequency: 10\n', want: '/etc/k.yaml: syncFrequency: 10 is not a duration like 1m30s or 100ms' },
    { yaml: 'syncFrequency: 10x\n', want: '/etc/k.yaml: syncFrequency: "10x" is not a duration like 1m30s or 100ms' },
    { yaml: 'clusterDNS: 10.0.0.1\n', want: '/etc/k.yaml: clusterDNS: "10.0.0.1" is not a list of texts' },
    { yaml: 'kubeReserved: {cpu: 1}\n', want: '/etc/k.yaml: kubeReserved: {"cpu":1} is not a map of texts' },
    {
      yaml: 'registerWithTaints: [{key: a, effect: Never}]\n',
      want: '/etc/k.yaml: registerWithTaints: [{"key":"a","effect":"Never"}] is not a list of taints with key, value and effect',
    },
    { yaml: 'maxPods: 1\nmaxPods: 2\n', want: expect.stringMatching(/^\/etc\/k\.yaml: .*unique/) },
    { yaml: 'a: [\n', want: expect.stringMatching(/^\/etc\/k\.yaml: /) },
    {
      yaml: 'cgroupDriver: Systemd\n',
      want: 'cgroupDriver (--cgroup-driver) "Systemd" must be "cgroupfs" or "systemd"',
    },
    { yaml: 'readOnlyPort: 10255\n', want: 'readOnlyPort: 10255 is not supported: use the authenticated port' },
    {
      yaml: 'shutdownGracePeriod: 30s\n',
      want: expect.stringContaining('shutdownGracePeriod: 30000 is not supported'),
    },
    { yaml: 'reservedMemory: [{numaNode: 0}]\n', want: expect.stringContaining('reservedMemory') },
    { yaml: 'featureGates: {Nope: true}\n', want: 'unrecognized feature gate: Nope' },
    {
      yaml: 'featureGates: {ClusterTrustBundleProjection: true}\n',
      want: 'ClusterTrustBundleProjection is enabled, but depends on features that are disabled: [ClusterTrustBundle]',
    },
    {
      yaml: 'featureGates: {NodeSwap: false}\n',
      want: 'cannot set feature gate NodeSwap to false, feature is locked to true',
    },
    {
      yaml: 'featureGates: {MemoryQoS: true}\n',
      want: expect.stringContaining('featureGates.MemoryQoS cannot be true'),
    },
    { yaml: 'healthzPort: 70000\n', want: 'healthzPort (--healthz-port) 70000 must be between 1 and 65535, inclusive' },
    { yaml: 'port: -1\n', want: 'port (--port) -1 must be between 1 and 65535, inclusive' },
    { yaml: 'address: nowhere\n', want: 'address (--address) "nowhere" must be an IP address' },
    { yaml: 'maxPods: -1\n', want: 'maxPods (--max-pods) -1 must not be a negative number' },
    {
      yaml: 'oomScoreAdj: -2000\n',
      want: 'oomScoreAdj (--oom-score-adj) -2000 must be between -1000 and 1000, inclusive',
    },
    {
      yaml: 'memorySwap: {swapBehavior: Yes please}\n',
      want: 'memorySwap.swapBehavior "Yes please" must be one of: "", "LimitedSwap" or "NoSwap"',
    },
    {
      yaml: 'crashLoopBackOff: {maxContainerRestartPeriod: 10m}\n',
      want: 'CrashLoopBackOff.MaxContainerRestartPeriod (got: 600 seconds) must be set between 1s and 300s',
    },
    {
      yaml: 'cpuCFSQuotaPeriod: 2s\n',
      want: 'cpuCFSQuotaPeriod (--cpu-cfs-quota-period) {2s} must be between 1ms and 1sec, inclusive',
    },
    {
      yaml: 'serializeImagePulls: true\nmaxParallelImagePulls: 2\n',
      want: expect.stringMatching(/^maxParallelImagePulls cannot be larger than 1/),
    },
    { yaml: 'enforceNodeAllocatable: [pods, bananas]\n', want: expect.stringContaining('option "bananas"') },
    {
      yaml: 'enforceNodeAllocatable: [pods, kube-reserved]\n',
      want: 'kubeReservedCgroup (--kube-reserved-cgroup) must be specified when "kube-reserved" or "kube-reserved-compressible" included in enforceNodeAllocatable (--enforce-node-allocatable)',
    },
    {
      yaml: 'enforceNodeAllocatable: [system-reserved, system-reserved-compressible]\nsystemReservedCgroup: /system\n',
      want: expect.stringContaining('may not contain both "system-reserved" and "system-reserved-compressible"'),
    },
    { yaml: 'kubeReservedCgroup: ../kube\n', want: expect.stringContaining('must be an absolute, clean path') },
    { yaml: 'kubeReserved: {pods: "3"}\n', want: 'kubeReserved value failed to parse: cannot reserve "pods" resource' },
    { yaml: 'systemReserved: {cpu: -1}\n', want: expect.stringContaining('systemReserved') },
    {
      yaml: 'systemReserved: {cpu: "-1"}\n',
      want: 'systemReserved: resource quantity for "cpu" cannot be negative: -1',
    },
    { yaml: 'evictionHard: {cpu.available: "1"}\n', want: 'unsupported eviction signal cpu.available' },
    {
      yaml: 'evictionHard: {memory.available: 101%}\n',
      want: 'eviction percentage threshold memory.available must be <= 100%: 101%',
    },
    {
      yaml: 'evictionHard: {memory.available: "0"}\n',
      want: 'eviction threshold memory.available must be positive: 0',
    },
    { yaml: 'allowedUnsafeSysctls: [vm.swappiness]\n', want: expect.stringContaining('not known to be namespaced') },
    { yaml: 'podLogsDir: logs\n', want: 'pod logs path "logs" must be absolute path' },
    { yaml: 'tlsCertFile: /a.crt\n', want: expect.stringContaining('must be set together') },
    { yaml: 'containerLogMaxFiles: 1\n', want: 'containerLogMaxFiles must be greater than 1' },
    { yaml: 'runOnce: true\n', want: expect.stringContaining('Runonce mode has been deprecated') },
  ])('refuses a file with $yaml', async ({ yaml, want }) => {
    expect(await problemsOf(loadYaml(yaml))).toContainEqual(want);
  });

  it.each([
    { name: 'an empty file', text: '', want: 'kubelet config file "/etc/k.yaml" was empty' },
    { name: 'a list', text: '- 1', want: '/etc/k.yaml: expected a KubeletConfiguration object' },
    { name: 'no kind', text: 'maxPods: 3', want: expect.stringContaining('/etc/k.yaml: no apiVersion/kind') },
    {
      name: 'another kind',
      text: 'apiVersion: v1\nkind: Pod',
      want: expect.stringContaining('/etc/k.yaml: unknown apiVersion/kind: v1, Pod'),
    },
  ])('refuses $name', async ({ text, want }) => {
    expect(await problemsOf(load(['--config=/etc/k.yaml'], { '/etc/k.yaml': text }))).toContainEqual(want);
  });

  it('reports everything at once', async () => {
    const problems = await problemsOf(
      loadYaml('maxPodz: 1\nport: 99999\nrunOnce: true\n', '--bogus', '--cloud-provider=aws'),
    );
    expect(problems).toHaveLength(5);
  });

  it('names a config file that is not there', async () => {
    expect(await problemsOf(load(['--config=/nowhere']))).toEqual([
      'cannot read kubelet config file "/nowhere": no file "/nowhere"',
    ]);
  });
});

describe('parseKubeletFlags', () => {
  it.each([
    { args: ['--bogus=1'], want: 'unknown flag: --bogus' },
    { args: ['serve'], want: 'unknown command serve' },
    { args: ['--max-pods'], want: 'flag needs an argument: --max-pods' },
    { args: ['--max-pods=many'], want: '--max-pods: "many" is not a whole number' },
    { args: ['--register-node=maybe'], want: '--register-node: "maybe" is not true or false' },
    { args: ['--pod-infra-container-image=x'], want: '--pod-infra-container-image no longer exists: leave it out' },
    { args: ['--runtime-cgroups=/x'], want: '--runtime-cgroups=/x is not supported: leave it out' },
    { args: ['--register-with-taints=a'], want: '--register-with-taints: "a" is not of the form key=value:effect' },
    { args: ['--maximum-dead-containers=x'], want: '--maximum-dead-containers: "x" is not a whole number' },
    {
      args: ['--minimum-container-ttl-duration=-1m'],
      want: '--minimum-container-ttl-duration: "-1m" is not a duration like "1m"',
    },
    { args: ['--node-labels=a'], want: '--node-labels: "a" is not of the form key=value' },
  ])('refuses $args', ({ args, want }) => expect(parseKubeletFlags(args).problems).toEqual([want]));

  it('reads values in all the ways of writing them', () => {
    const { flags, problems } = parseKubeletFlags([
      '-v',
      '5',
      '--register-node',
      '--seccomp_default=false',
      '--eviction-hard=memory.available<200Mi,nodefs.available<5%',
      '--kube-reserved=cpu=100m,memory=1Gi',
      '--cluster-dns=10.0.0.1',
      '--cluster-dns=10.0.0.2',
      '--maximum-dead-containers=20',
      '--minimum-container-ttl-duration=1m30s',
      '--root-dir=/x',
    ]);
    expect(problems).toEqual([]);
    expect(flags.rootDir).toBe('/x');
    expect(flags.containerGarbage).toEqual({ minAgeMs: 90_000, maxPerContainer: 1, maxTotal: 20 });
    expect(flags.fields).toEqual({
      'logging.verbosity': 5,
      registerNode: true,
      seccompDefault: false,
      evictionHard: { 'memory.available': '200Mi', 'nodefs.available': '5%' },
      kubeReserved: { cpu: '100m', memory: '1Gi' },
      clusterDNS: ['10.0.0.1', '10.0.0.2'],
    });
  });
});

describe('flags without a field', () => {
  it.each([
    { flag: '--node-ip=10.0.0.1,0.0.0.0', want: `dual-stack node IP cannot include '0.0.0.0' or '::'` },
    { flag: '--node-ip=10.0.0.1,10.0.0.2', want: 'must contain either a single IP or a dual-stack pair of IPs' },
    { flag: '--node-ip=here', want: 'holds no IP address' },
    {
      flag: '--node-labels=kubernetes.io/foo=1',
      want: `unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [kubernetes.io/foo]`,
    },
    { flag: '--node-labels=a!=b', want: `invalid node labels: 'a!' - ` },
    { flag: '--root-dir=var/lib', want: 'rootDirectory not in canonical form' },
    { flag: '--root-dir=/var/../x', want: 'rootDirectory not in canonical form' },
  ])('refuses $flag', async ({ flag, want }) => {
    expect(await problemsOf(load([flag]))).toEqual([expect.stringContaining(want)]);
  });

  const provider = (name: string): string =>
    JSON.stringify({
      apiVersion: 'kubelet.config.k8s.io/v1',
      kind: 'CredentialProviderConfig',
      providers: [
        {
          name,
          matchImages: ['*.test'],
          defaultCacheDuration: '1h0m0s',
          apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
        },
      ],
    });
  const folder = (files: Record<string, string>): Promise<KubeletConfig> =>
    loadKubeletConfig(
      parseKubeletFlags(['--image-credential-provider-config=/p/', '--image-credential-provider-bin-dir=/bin']),
      {
        readFile: (path) => {
          const text = files[path];
          return text === undefined
            ? Promise.reject(Object.assign(new Error('is a directory'), { code: 'EISDIR' }))
            : Promise.resolve(text);
        },
        listFiles: () => Promise.resolve(Object.keys(files)),
      },
    );

  it('reads credential providers from a file, or from all files of a folder in order', async () => {
    const flags = ['--image-credential-provider-config=/p.yaml', '--image-credential-provider-bin-dir=/bin'];
    const config = await load(flags, { '/p.yaml': provider('one') });
    expect(config.imageCredentialProviders).toMatchObject([{ name: 'one', defaultCacheMs: 3_600_000 }]);
    expect(config.imageCredentialProviderBinDir).toBe('/bin');
    const several = await folder({
      '/p/b.json': provider('b'),
      '/p/a.yml': provider('a'),
      '/p/c.txt': provider('c'),
      '/p/d/e.yaml': provider('e'),
    });
    expect(several.imageCredentialProviders.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(await problemsOf(folder({ '/p/a.yaml': provider('a'), '/p/b.yaml': provider('a') }))).toEqual([
      'duplicate provider name "a" in --image-credential-provider-config',
    ]);
  });

  it('a gate turns the verification of images off', async () => {
    expect((await load([])).imageVerification.isOn).toBe(true);
    const off = await load(['--feature-gates=KubeletEnsureSecretPulledImages=false']);
    expect(off.imageVerification.isOn).toBe(false);
  });

  it('refuses one flag of credential providers without the other, and a file that is not there', async () => {
    const together = '--image-credential-provider-config and --image-credential-provider-bin-dir must be set together';
    expect(await problemsOf(load(['--image-credential-provider-config=/p.yaml']))).toEqual([together]);
    expect(await problemsOf(load(['--image-credential-provider-bin-dir=/bin']))).toEqual([together]);
    const both = ['--image-credential-provider-config=/p.yaml', '--image-credential-provider-bin-dir=/bin'];
    expect(await problemsOf(load(both))).toEqual([
      'cannot read --image-credential-provider-config "/p.yaml": no file "/p.yaml"',
    ]);
  });

  it.each(['kubelet.kubernetes.io/a=1', 'sub.node.kubernetes.io/a=1', 'topology.kubernetes.io/zone=a', 'a.b/c=d'])(
    'takes the label %s',
    async (label) => {
      expect(Object.keys((await load([`--node-labels=${label}`])).nodeLabels)).toHaveLength(1);
    },
  );

  it.each([
    { ip: '::', ips: [], preferredFamily: 6 },
    { ip: '0.0.0.0', ips: [], preferredFamily: 4 },
    { ip: 'fd00::1', ips: ['fd00::1'], preferredFamily: 6 },
  ])('reads node IP $ip', async ({ ip, ips, preferredFamily }) => {
    expect((await load([`--node-ip=${ip}`])).nodeIps).toEqual({ ips, preferredFamily });
  });
});
