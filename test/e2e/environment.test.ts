/** What containers find around them, read from inside: variables, hosts file, host name, name service, last words. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { Container, EnvVar, EnvVarSource, Node, Pod, Service } from '../../src/objects/generated/core-v1.ts';
import { milliOf, valueOf } from '../../src/objects/quantity.ts';
import { describeAsRoot } from './support/as-root.ts';
import { useLab } from './support/lab.ts';
import {
  applyObjects,
  awaitEvent,
  awaitPhase,
  awaitPod,
  awaitReady,
  containerOf,
  inPod,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

interface Space {
  capacityBytes: number;
  usedBytes: number;
}

interface Summary {
  node: { nodeName: string; fs: Space };
  pods: Array<{
    podRef: { name: string };
    volume?: Array<Space & { name: string }>;
    containers: Array<{
      cpu?: { usageCoreNanoSeconds: number };
      memory?: { workingSetBytes: number };
      logs?: Space;
    }>;
    'ephemeral-storage'?: Space;
  }>;
}

const from = (name: string, valueFrom: EnvVarSource): EnvVar => ({ name, valueFrom });
const field = (name: string, fieldPath: string): EnvVar => from(name, { fieldRef: { fieldPath } });
const resource = (name: string, of: string, divisor?: string, containerName?: string): EnvVar => {
  const more = {
    ...(divisor === undefined ? {} : { divisor }),
    ...(containerName === undefined ? {} : { containerName }),
  };
  return from(name, { resourceFieldRef: { resource: of, ...more } });
};
const inFile = (name: string, key: string, path: string, optional?: boolean): EnvVar =>
  from(name, { fileKeyRef: { volumeName: 'work', path, key, ...(optional === undefined ? {} : { optional }) } });
/** The node's resolv.conf while these tests run. */
const ofNode = 'nameserver 192.0.2.53\nsearch corp.test\noptions timeout:3\n';
const work = { name: 'work', mountPath: '/work' };
const volumes = [{ name: 'work', emptyDir: {} }];

const settings = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'settings' },
  data: { color: 'blue', 'odd.key-1': 'odd', hosts: '192.0.2.3\tmine\n' },
  binaryData: { bytes: '/wA=' },
};
const keys = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'keys' },
  data: { key: Buffer.from('s3cret').toString('base64') },
};
const database: Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'the-db' },
  spec: {
    ports: [
      { name: 'main-port', port: 5432 },
      { name: 'side', port: 53, protocol: 'UDP' },
    ],
  },
};

describeAsRoot('around a container', () => {
  const lab = useLab();
  const look = async (
    name: string,
  ): Promise<{ podIp: string; hostname: string; hosts: string; resolver: string[] }> => {
    const { status } = await awaitReady(lab, name);
    const script = 'hostname; echo =; cat /etc/hosts; echo =; cat /etc/resolv.conf';
    const [hostname = '', hosts = '', resolver = ''] = (await inPod(lab, name, script)).split('=\n');
    return { podIp: status?.podIP ?? '', hostname, hosts, resolver: resolver.trimEnd().split('\n').toSorted() };
  };

  beforeAll(async () => {
    await lab.onNode(0, 'sh', '-c', `printf '%s' '${ofNode}' > /etc/resolv.conf`);
    await applyObjects(lab, settings, keys, database);
  });

  describe.concurrent('are', () => {
    it('its variables, of every source, expanded in values, command and arguments', async () => {
      const envFile = String.raw`# made by an init container
A='one' # the first
  B='two
lines $(A)'
EMPTY=''
A='other'
`;
      const main = shell('', {
        command: ['sh', '-c', `printf '%s\n' "$@" > /work/args; ${untilAsked}`, '$(LITERAL)'],
        args: ['$(LITERAL);;$(COLOR)', '$$(LITERAL)', '$(NOBODY)', '$(THE_DB_SERVICE_PORT)', '$'],
        resources: { limits: { memory: '64Mi' }, requests: { cpu: '250m', memory: '32Mi' } },
        envFrom: [
          { configMapRef: { name: 'settings' } },
          { prefix: '1-', configMapRef: { name: 'settings' } },
          { secretRef: { name: 'nobody', optional: true } },
        ],
        env: [
          { name: 'LITERAL', value: 'plain' },
          { name: 'EXPANDED', value: '$(LITERAL) $(color) $$(LITERAL) $(LATER) $(THE_DB_SERVICE_HOST)' },
          { name: 'LATER', value: 'late' },
          { name: 'EMPTY', value: '' },
          { name: 'color', value: 'red' },
          from('COLOR', { configMapKeyRef: { name: 'settings', key: 'color' } }),
          from('KEY', { secretKeyRef: { name: 'keys', key: 'key' } }),
          from('NO_KEY', { configMapKeyRef: { name: 'settings', key: 'none', optional: true } }),
          from('NO_SECRET', { secretKeyRef: { name: 'nobody', key: 'key', optional: true } }),
          field('POD_NAME', 'metadata.name'),
          field('POD_NAMESPACE', 'metadata.namespace'),
          field('POD_UID', 'metadata.uid'),
          field('TIER', "metadata.labels['example.com/tier']"),
          field('NOTE', "metadata.annotations['note']"),
          field('NONE', "metadata.annotations['none']"),
          field('NODE', 'spec.nodeName'),
          field('ACCOUNT', 'spec.serviceAccountName'),
          field('HOST_IP', 'status.hostIP'),
          field('HOST_IPS', 'status.hostIPs'),
          field('POD_IP', 'status.podIP'),
          field('POD_IPS', 'status.podIPs'),
          resource('CPU_REQUEST', 'requests.cpu'),
          resource('CPU_REQUEST_MILLI', 'requests.cpu', '1m'),
          resource('CPU_LIMIT', 'limits.cpu', '1m'),
          resource('MEMORY', 'limits.memory', '1Mi'),
          resource('MEMORY_ROUNDED', 'requests.memory', '1M'),
          resource('STORAGE', 'limits.ephemeral-storage'),
          resource('NO_REQUEST', 'requests.ephemeral-storage'),
          resource('OTHER_MEMORY', 'limits.memory', '1Mi', 'quiet'),
          inFile('FILE_A', 'A', 'dir/env'),
          inFile('FILE_B', 'B', 'link/env'),
          inFile('FILE_NONE', 'NONE', 'dir/env', true),
        ],
        volumeMounts: [work, { ...work, mountPath: '/mine', subPathExpr: '$(POD_NAME)/$(color)' }],
      });
      const prepare = shell(`mkdir /work/dir; ln -s /dir /work/link; cat > /work/dir/env <<'E'\n${envFile}E`, {
        name: 'prepare',
        volumeMounts: [work],
      });
      const quiet = shell(untilAsked, { name: 'quiet', resources: { limits: { memory: '48Mi' } } });
      const pod: Pod = podOf('variables', [main, quiet], { volumes, initContainers: [prepare] });
      pod.metadata = { ...pod.metadata, labels: { 'example.com/tier': 'front' }, annotations: { note: 'two\nlines' } };
      await applyObjects(lab, pod, podOf('unlinked', untilAsked, { enableServiceLinks: false }));
      const { metadata, status } = await awaitReady(lab, 'variables');
      const read = async (name: string): Promise<Map<string, string>> => {
        const entries = (await inPod(lab, name, 'cat /proc/1/environ')).split('\0').filter((entry) => entry !== '');
        return new Map(
          entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
        );
      };
      const seen = await read('variables');
      const service = await lab.kubectlJson<Service>('get', 'service', 'the-db');
      const dbIp = service.spec?.clusterIP ?? '';
      const [hostIp = ''] = (status?.hostIPs ?? []).map(({ ip }) => ip);
      const { allocatable = {} } = (await lab.kubectlJson<Node>('get', 'node', lab.nodeName(0))).status ?? {};
      expect(Object.fromEntries(seen)).toMatchObject({
        'odd.key-1': 'odd',
        '1-odd.key-1': 'odd',
        '1-color': 'blue',
        color: 'red',
        LITERAL: 'plain',
        EXPANDED: `plain blue $(LITERAL) $(LATER) ${dbIp}`,
        LATER: 'late',
        EMPTY: '',
        COLOR: 'blue',
        KEY: 's3cret',
        POD_NAME: 'variables',
        POD_NAMESPACE: 'default',
        POD_UID: metadata.uid,
        TIER: 'front',
        NOTE: 'two\nlines',
        NONE: '',
        NODE: lab.nodeName(0),
        ACCOUNT: 'default',
        HOST_IP: hostIp,
        HOST_IPS: (status?.hostIPs ?? []).map(({ ip }) => ip).join(','),
        POD_IP: status?.podIP,
        POD_IPS: (status?.podIPs ?? []).map(({ ip }) => ip).join(','),
        CPU_REQUEST: '1',
        CPU_REQUEST_MILLI: '250',
        CPU_LIMIT: String(milliOf(allocatable['cpu'])),
        MEMORY: '64',
        MEMORY_ROUNDED: '34',
        STORAGE: String(valueOf(allocatable['ephemeral-storage'])),
        NO_REQUEST: '0',
        OTHER_MEMORY: '48',
        FILE_A: 'one',
        FILE_B: 'two\nlines $(A)',
        THE_DB_SERVICE_HOST: dbIp,
        THE_DB_SERVICE_PORT: '5432',
        THE_DB_SERVICE_PORT_MAIN_PORT: '5432',
        THE_DB_SERVICE_PORT_SIDE: '53',
        THE_DB_PORT: `tcp://${dbIp}:5432`,
        THE_DB_PORT_5432_TCP: `tcp://${dbIp}:5432`,
        THE_DB_PORT_53_UDP: `udp://${dbIp}:53`,
        THE_DB_PORT_53_UDP_PROTO: 'udp',
        THE_DB_PORT_53_UDP_PORT: '53',
        THE_DB_PORT_53_UDP_ADDR: dbIp,
        KUBERNETES_SERVICE_PORT_HTTPS: '443',
      });
      for (const name of ['NO_KEY', 'NO_SECRET', 'FILE_NONE', 'bytes', '1-bytes'])
        expect([...seen.keys()]).not.toContain(name);
      expect(await inPod(lab, 'variables', 'cat /work/args')).toBe('plain;;blue\n$(LITERAL)\n$(NOBODY)\n5432\n$\n');
      // a sub path of variables is a directory of the volume, seen by whoever mounts all of it
      expect(await inPod(lab, 'variables', 'echo here > /mine/file; cat /work/variables/red/file')).toBe('here\n');
      await awaitReady(lab, 'unlinked');
      const unlinked = [...(await read('unlinked')).keys()];
      expect(unlinked).toContain('KUBERNETES_SERVICE_HOST');
      expect(unlinked.filter((name) => name.startsWith('THE_DB'))).toEqual([]);
    });

    it('nothing, with the reason, when a variable or a sub path cannot be had; it starts once it can', async () => {
      const bad: Record<string, { more: Partial<Container>; message: string | RegExp }> = {
        'no-secret': {
          more: { env: [from('A', { secretKeyRef: { name: 'nobody', key: 'a' } })] },
          message: 'secret "nobody" not found',
        },
        'no-map': {
          more: { envFrom: [{ configMapRef: { name: 'nobody' } }] },
          message: 'configmap "nobody" not found',
        },
        'no-key': {
          more: { env: [from('A', { secretKeyRef: { name: 'keys', key: 'a' } })] },
          message: "couldn't find key a in Secret default/keys",
        },
        'bad-file': { more: { env: [inFile('A', 'A', 'bad', true)] }, message: "couldn't parse env file" },
        outside: { more: { env: [inFile('A', 'A', 'outside')] }, message: "couldn't parse env file" },
        'no-variable': {
          more: { env: [inFile('A', 'NONE', 'good')] },
          message: /^environment variable key "NONE" not found in file ".*\/work\/good"$/,
        },
        up: {
          more: {
            env: [{ name: 'UP', value: '..' }],
            volumeMounts: [{ ...work, mountPath: '/x', subPathExpr: '$(UP)' }],
          },
          message: /subPath|SubPath/,
        },
        absolute: {
          more: {
            env: [{ name: 'ROOT', value: '/etc' }],
            volumeMounts: [{ ...work, mountPath: '/x', subPathExpr: '$(ROOT)' }],
          },
          message: /subPath|SubPath/,
        },
        later: {
          more: {
            env: [field('NOTE', "metadata.annotations['note']")],
            volumeMounts: [work, { ...work, mountPath: '/x', subPathExpr: '$(NOTE)' }],
          },
          message: 'missing value for NOTE',
        },
      };
      const containers = Object.entries(bad).map(([name, { more }]) =>
        shell(untilAsked, { name, volumeMounts: [work], ...more }),
      );
      const script = `printf 'A="1"' > /work/bad; printf "A='1'" > /work/good; ln -s /etc/passwd /work/outside`;
      const prepare = shell(script, { name: 'prepare', volumeMounts: [work] });
      await applyObjects(lab, podOf('lacking', containers, { volumes, initContainers: [prepare] }));
      const isWaiting = (pod: Pod): boolean =>
        Object.keys(bad).every(
          (name) => containerOf(pod, name)?.state?.waiting?.reason === 'CreateContainerConfigError',
        );
      const pod = await awaitPod(lab, 'lacking', 'the reasons', isWaiting);
      for (const [name, { message }] of Object.entries(bad)) {
        const { waiting } = containerOf(pod, name)?.state ?? {};
        if (typeof message === 'string') expect(waiting?.message).toBe(message);
        else expect(waiting?.message).toMatch(message);
        expect(containerOf(pod, name)?.restartCount).toBe(0);
      }
      const event = await awaitEvent(lab, 'lacking', 'Failed', 'secret "nobody" not found');
      expect([event.type, event.message, event.involvedObject.fieldPath]).toEqual([
        'Warning',
        'Error: secret "nobody" not found',
        'spec.containers{no-secret}',
      ]);
      await lab.kubectl('annotate', 'pod', 'lacking', 'note=found');
      await awaitPod(lab, 'lacking', 'its start', (now) => containerOf(now, 'later')?.state?.running !== undefined);
      expect(await inPod(lab, 'lacking', 'touch /x/here; ls /work/found', 'later')).toBe('here\n');
    });

    it('names: of the pod, in full, another one, or the node’s; hosts files and name servers to match', async () => {
      const hostAliases = [
        { ip: '192.0.2.7', hostnames: ['other', 'other.example'] },
        { ip: '2001:db8::7', hostnames: ['six'] },
      ];
      const named = { hostname: 'front', subdomain: 'team', hostAliases };
      const own = shell(untilAsked, {
        name: 'own',
        volumeMounts: [{ name: 'settings', mountPath: '/etc/hosts', subPath: 'hosts' }],
      });
      const plain = [shell(untilAsked)];
      const more = {
        nameservers: ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'],
        searches: [...Array.from({ length: 32 }, (_, i) => `s${i}.test`), 'one_too.many'],
        options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
      };
      await applyObjects(
        lab,
        podOf('named', [...plain, own], { ...named, volumes: [{ name: 'settings', configMap: { name: 'settings' } }] }),
        podOf('full', plain, { ...named, setHostnameAsFQDN: true, dnsPolicy: 'Default' }),
        podOf('overridden', plain, {
          hostnameOverride: 'web.example.com',
          subdomain: 'team',
          dnsPolicy: 'Default',
          dnsConfig: { searches: ['lab.test'], options: [{ name: 'ndots', value: '3' }] },
        }),
        podOf('hosted', plain, { hostNetwork: true, hostname: 'ignored', hostAliases }),
        podOf('hosted-cluster', plain, { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }),
        podOf('a'.repeat(70), plain, { dnsPolicy: 'None', dnsConfig: more }),
      );
      const [first, full, overridden, hosted, hostedCluster, long] = await Promise.all(
        ['named', 'full', 'overridden', 'hosted', 'hosted-cluster', 'a'.repeat(70)].map(look),
      );
      const head =
        '# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' +
        'fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n';
      const aliases = '\n# Entries added by HostAliases.\n192.0.2.7\tother\tother.example\n2001:db8::7\tsix\n';
      const names = 'front.team.default.svc.cluster.local\tfront';
      const ofCluster = [
        'nameserver 10.96.0.10',
        'options ndots:5',
        'search default.svc.cluster.local svc.cluster.local cluster.local corp.test',
      ];
      const host = ['nameserver 192.0.2.53', 'options timeout:3', 'search corp.test'];
      expect(first).toMatchObject({
        hostname: 'front\n',
        hosts: `${head}${first?.podIp}\t${names}\n${aliases}`,
        resolver: ofCluster,
      });
      expect(full).toMatchObject({
        hostname: 'front.team.default.svc.cluster.local\n',
        hosts: `${head}${full?.podIp}\t${names}\n${aliases}`,
        resolver: host,
      });
      expect(overridden).toMatchObject({
        hostname: 'web.example.com\n',
        hosts: `${head}${overridden?.podIp}\tweb.example.com\n`,
        resolver: ['nameserver 192.0.2.53', 'options timeout:3 ndots:3', 'search corp.test lab.test'],
      });
      expect(hosted).toMatchObject({
        hostname: await lab.onNode(0, 'hostname'),
        hosts: `# Kubernetes-managed hosts file (host network).\n${await lab.onNode(0, 'cat', '/etc/hosts')}${aliases}`,
        resolver: host,
      });
      expect(hostedCluster?.resolver).toEqual(ofCluster);
      expect(long?.hostname).toBe(`${'a'.repeat(63)}\n`);
      const kept = more.searches.slice(0, 32).join(' ');
      expect(
        long?.resolver.map((line) => (line.startsWith('options ') ? line.split(' ').toSorted().join(' ') : line)),
      ).toEqual([
        'nameserver 192.0.2.1',
        'nameserver 192.0.2.2',
        'nameserver 192.0.2.3',
        'edns0 ndots:2 options',
        `search ${kept}`,
      ]);
      // containers of a pod share the file, and may write to it, but for one that mounts its own
      expect(
        await inPod(lab, 'named', 'stat -c %a /etc/hosts; echo "192.0.2.9 added" >> /etc/hosts; tail -1 /etc/hosts'),
      ).toBe('644\n192.0.2.9 added\n');
      expect(await inPod(lab, 'named', 'hostname; cat /etc/hosts', 'own')).toBe('front\n192.0.2.3\tmine\n');
      await awaitEvent(
        lab,
        'a'.repeat(70),
        'DNSConfigForming',
        'Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ' +
          '192.0.2.1 192.0.2.2 192.0.2.3',
      );
      await awaitEvent(
        lab,
        'a'.repeat(70),
        'DNSConfigForming',
        `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${kept}`,
      );
    });

    it('volumes and logs, of which the node tells how full they are', async () => {
      const MiB = 1024 ** 2;
      const directory = '/var/lib/stats-volume';
      await lab.onNode(0, 'sh', '-c', `mkdir -p ${directory} && mount -t tmpfs -o size=64m stats ${directory}`);
      const capacity = { storage: '64Mi' };
      const accessModes = ['ReadWriteOnce'];
      const pv = {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: 'measured' },
        spec: {
          capacity,
          accessModes,
          storageClassName: 'none',
          persistentVolumeReclaimPolicy: 'Retain',
          claimRef: { namespace: 'default', name: 'measured' },
          local: { path: directory },
          nodeAffinity: {
            required: {
              nodeSelectorTerms: [
                { matchExpressions: [{ key: 'kubernetes.io/os', operator: 'In', values: ['linux'] }] },
              ],
            },
          },
        },
      };
      const claim = {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'measured' },
        spec: { accessModes, storageClassName: 'none', volumeName: 'measured', resources: { requests: capacity } },
      };
      const script = `head -c ${3 * MiB} /dev/zero > /claim/big; head -c ${2 * MiB} /dev/zero > /work/big
ln /work/big /work/again; head -c ${MiB} /dev/zero | tr '\\0' x; echo; touch /tmp/done; ${untilAsked}`;
      const main = shell(script, {
        volumeMounts: [work, { name: 'claim', mountPath: '/claim' }, { name: 'settings', mountPath: '/settings' }],
        readinessProbe: { exec: { command: ['test', '-e', '/tmp/done'] }, periodSeconds: 1 },
      });
      await applyObjects(
        lab,
        pv,
        claim,
        podOf('measured', [main], {
          volumes: [
            ...volumes,
            { name: 'claim', persistentVolumeClaim: { claimName: 'measured' } },
            { name: 'settings', configMap: { name: 'settings' } },
          ],
        }),
      );
      await awaitReady(lab, 'measured');
      const raw = (path: string): Promise<string> =>
        lab.kubectl('get', '--raw', `/api/v1/nodes/${lab.nodeName(0)}/proxy${path}`);
      const { node, pods } = JSON.parse(await raw('/stats/summary')) as Summary;
      expect(node.nodeName).toBe(lab.nodeName(0));
      expect(node.fs.capacityBytes).toBeGreaterThan(node.fs.usedBytes);
      const found = pods.find(({ podRef }) => podRef.name === 'measured');
      const [ofWork, ofSettings, ofClaim] = ['work', 'settings', 'claim'].map((name) =>
        found?.volume?.find((volume) => volume.name === name),
      );
      // one file of two names counts once
      expect(ofWork).toMatchObject({ inodesUsed: 2 });
      expect(Math.floor((ofWork?.usedBytes ?? 0) / MiB)).toBe(2);
      expect(ofSettings?.usedBytes).toBeGreaterThan(0);
      expect(ofClaim).toMatchObject({
        capacityBytes: 64 * MiB,
        usedBytes: 3 * MiB,
        availableBytes: 61 * MiB,
        pvcRef: { name: 'measured', namespace: 'default' },
      });
      const [container] = found?.containers ?? [];
      expect(container?.cpu?.usageCoreNanoSeconds).toBeGreaterThan(0);
      expect(container?.memory?.workingSetBytes).toBeGreaterThan(0);
      expect(container?.logs?.usedBytes).toBeGreaterThan(MiB);
      // the emptyDir and the log, not the claim
      const used = found?.['ephemeral-storage']?.usedBytes ?? 0;
      expect(used).toBeGreaterThan(3 * MiB);
      expect(used).toBeLessThan(5 * MiB);
      const metrics = await raw('/metrics');
      const labels = '{namespace="default",persistentvolumeclaim="measured"}';
      expect(metrics).toContain(`kubelet_volume_stats_capacity_bytes${labels} ${64 * MiB}\n`);
      expect(metrics).toContain(`kubelet_volume_stats_used_bytes${labels} ${3 * MiB}\n`);
      expect(metrics).toContain(
        'volume_manager_total_volumes{plugin_name="kubernetes.io/local-volume",state="actual_state_of_world"} 1\n',
      );
    });

    it('a place for its last words, whoever it runs as', async () => {
      const fallback = { terminationMessagePolicy: 'FallbackToLogsOnError' };
      const user = { securityContext: { runAsUser: 1000, runAsGroup: 1000 } };
      const words: Record<string, { script: string; more?: Partial<Container>; want: string | undefined }> = {
        root: {
          script: 'echo by root > /own/last',
          more: { terminationMessagePath: '/own/last' },
          want: 'by root\n',
        },
        user: { script: 'id -u > /dev/termination-log', more: user, want: '1000\n' },
        log: {
          script: 'for i in $(seq 100); do echo "line $i"; done; exit 3',
          more: fallback,
          want: Array.from({ length: 80 }, (_, i) => `line ${i + 21}\n`).join(''),
        },
        'long-log': {
          script: 'head -c 3000 /dev/zero | tr "\\0" x; echo; exit 3',
          more: fallback,
          want: `${'x'.repeat(2047)}\n`,
        },
        succeeded: { script: 'echo in the log', more: fallback, want: undefined },
        both: { script: 'echo in the log; printf file > /dev/termination-log; exit 1', more: fallback, want: 'file' },
      };
      const containers = Object.entries(words).map(([name, { script, more }]) => shell(script, { name, ...more }));
      const long = shell(
        'head -c 5000 /dev/zero | tr "\\0" x > /dev/termination-log; printf end >> /dev/termination-log',
      );
      await applyObjects(
        lab,
        podOf('words', containers, { restartPolicy: 'Never' }),
        podOf('long', [long], { restartPolicy: 'Never' }),
      );
      const pod = await awaitPhase(lab, 'words', 'Failed');
      for (const [name, { want }] of Object.entries(words)) {
        expect([name, containerOf(pod, name)?.state?.terminated?.message]).toEqual([name, want]);
      }
      const longPod = await awaitPhase(lab, 'long', 'Succeeded');
      expect(containerOf(longPod)?.state?.terminated?.message).toBe(`${'x'.repeat(4093)}end`);
    });
  });
});
