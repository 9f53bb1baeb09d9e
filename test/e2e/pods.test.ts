/** What a pod is promised, seen from inside its containers and in its status. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Container, PodSpec } from '../../src/objects/generated/core-v1.ts';
import type { EndpointSlice } from '../../src/objects/generated/discovery-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, runCommand, useLab } from './support/lab.ts';
import {
  applyObjects,
  awaitEvent,
  awaitGone,
  awaitPhase,
  awaitPod,
  awaitReady,
  conditionOf,
  containerOf,
  Follower,
  getPod,
  inPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';
import type { List } from './support/pods.ts';

/** A volume's update comes with the pod's next turn, which may be over a minute away. */
const volumeUpdateMs = 170_000;

const configMap = (name: string, data: Record<string, string>): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
});
const secret = (name: string, stringData: Record<string, string>): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name },
  stringData,
});
const mount = (name: string, path: string, more: object = {}): NonNullable<Container['volumeMounts']>[number] => ({
  name,
  mountPath: path,
  ...more,
});
const probe = (script: string): NonNullable<Container['readinessProbe']> => ({
  exec: { command: ['sh', '-c', script] },
  periodSeconds: 1,
  failureThreshold: 1,
});

describeAsRoot('a pod', () => {
  const lab = useLab();

  describe.concurrent('gives its containers', () => {
    it('environment from literals, fields, resources, config maps and secrets', async () => {
      await applyObjects(
        lab,
        configMap('settings', { color: 'blue', size: '7' }),
        secret('keys', { key: 's3cret' }),
        podOf('environment', [
          shell(untilAsked, {
            resources: { limits: { memory: '64Mi' } },
            envFrom: [{ prefix: 'CONF_', configMapRef: { name: 'settings' } }],
            env: [
              { name: 'LITERAL', value: 'plain' },
              { name: 'EXPANDED', value: '$(LITERAL) and $$(LITERAL)' },
              { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
              { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
              { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
              { name: 'MEMORY', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
              { name: 'COLOR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'color' } } },
              { name: 'KEY', valueFrom: { secretKeyRef: { name: 'keys', key: 'key' } } },
              { name: 'MAYBE', valueFrom: { secretKeyRef: { name: 'nobody', key: 'key', optional: true } } },
            ],
          }),
        ]),
      );
      const { status } = await awaitReady(lab, 'environment');
      const lines = (await inPod(lab, 'environment', 'env')).split('\n');
      expect(lines).toEqual(
        expect.arrayContaining([
          'LITERAL=plain',
          'EXPANDED=plain and $(LITERAL)',
          'POD=environment',
          `POD_IP=${status?.podIP}`,
          `NODE=${lab.nodeName(0)}`,
          'MEMORY=64',
          'COLOR=blue',
          'CONF_color=blue',
          'CONF_size=7',
          'KEY=s3cret',
          'KUBERNETES_SERVICE_PORT=443',
        ]),
      );
      expect(lines.filter((line) => line.startsWith('MAYBE'))).toEqual([]);
    });

    it('volumes of config maps, secrets, fields and tokens; an update of a config map reaches them', async () => {
      const volumes: NonNullable<PodSpec['volumes']> = [
        { name: 'config', configMap: { name: 'files', defaultMode: 0o640 } },
        { name: 'some', configMap: { name: 'files', items: [{ key: 'b', path: 'deep/er', mode: 0o600 }] } },
        { name: 'secret', secret: { secretName: 'hidden', defaultMode: 0o400 } },
        {
          name: 'fields',
          downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] },
        },
        {
          name: 'mixed',
          projected: {
            sources: [
              { configMap: { name: 'files', items: [{ key: 'a', path: 'from-config' }] } },
              { secret: { name: 'hidden' } },
              { serviceAccountToken: { path: 'token', audience: 'elsewhere', expirationSeconds: 600 } },
            ],
          },
        },
      ];
      const pod = podOf(
        'volumes',
        [shell(untilAsked, { volumeMounts: volumes.map(({ name }) => mount(name, `/v/${name}`)) })],
        { volumes },
      );
      pod.metadata.labels = { tier: 'front' };
      await applyObjects(lab, configMap('files', { a: 'one', b: 'two' }), secret('hidden', { password: 'pw' }), pod);
      await awaitReady(lab, 'volumes');
      const read = (script: string): Promise<string> => inPod(lab, 'volumes', script);
      expect(
        await read('cd /v; cat config/a config/b some/deep/er secret/password mixed/from-config mixed/password'),
      ).toBe('onetwotwopwonepw');
      expect(await read('cat /v/fields/labels')).toBe('tier="front"');
      expect(await read('cd /v; stat -L -c %a config/a some/deep/er secret/password fields/labels')).toBe(
        '640\n600\n400\n644\n',
      );
      expect(await read('cd /v/config; readlink a; readlink ..data; ls')).toMatch(
        /^\.\.data\/a\n\.\.20\d\d_.*\na\nb\n$/,
      );
      expect(await read('grep -c "/v/secret tmpfs" /proc/mounts')).toBe('1\n');
      const [, claims = ''] = (await read('cat /v/mixed/token')).split('.');
      expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({
        aud: ['elsewhere'],
        sub: 'system:serviceaccount:default:default',
        'kubernetes.io': { namespace: 'default', pod: { name: 'volumes' } },
      });
      expect((await lab.tryKubectl('exec', 'volumes', '--', 'touch', '/v/config/new')).stderr).toContain('Read-only');

      await applyObjects(lab, configMap('files', { a: 'three', c: 'new' }));
      await eventually(
        'the update inside',
        volumeUpdateMs,
        async () =>
          (await read('cd /v; cat config/a mixed/from-config; ls config')) === 'threethreea\nc\n' || undefined,
      );
      expect(await read('cat /v/config/c')).toBe('new');
      expect(containerOf(await getPod(lab, 'volumes'))?.restartCount).toBe(0);
    });

    it('an empty directory that they share, memory as one, and a directory of the node', async () => {
      const volumeMounts = [mount('shared', '/shared'), mount('memory', '/memory'), mount('node', '/node')];
      await applyObjects(
        lab,
        podOf(
          'directories',
          [
            shell(`echo from writer > /shared/file; ${untilAsked}`, { name: 'writer', volumeMounts }),
            shell(untilAsked, { name: 'reader', volumeMounts }),
          ],
          {
            volumes: [
              { name: 'shared', emptyDir: {} },
              { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
              { name: 'node', hostPath: { path: '/var/tmp/of-node', type: 'DirectoryOrCreate' } },
            ],
          },
        ),
      );
      await awaitReady(lab, 'directories');
      await eventually(
        'the file of the other container',
        patienceMs,
        async () => (await inPod(lab, 'directories', 'cat /shared/file', 'reader')) === 'from writer\n' || undefined,
      );
      expect(await inPod(lab, 'directories', 'stat -c %a /shared; grep " /memory " /proc/mounts', 'reader')).toMatch(
        /^777\n.*tmpfs.*size=1024k/,
      );
      await inPod(lab, 'directories', 'echo hello > /node/from-pod', 'reader');
      expect(await lab.onNode(0, 'cat', '/var/tmp/of-node/from-pod')).toBe('hello\n');
      await lab.kubectl('delete', 'pod', 'directories');
      expect(await lab.onNode(0, 'cat', '/var/tmp/of-node/from-pod')).toBe('hello\n'); // the node's, not the pod's
    });

    it('the user, capabilities and read-only root of its security context', async () => {
      await applyObjects(
        lab,
        podOf(
          'secured',
          [
            shell(untilAsked, {
              securityContext: {
                readOnlyRootFilesystem: true,
                allowPrivilegeEscalation: false,
                capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] },
              },
              volumeMounts: [mount('shared', '/shared')],
            }),
            shell(untilAsked, { name: 'root', securityContext: { runAsUser: 0 } }),
          ],
          {
            securityContext: { runAsUser: 1234, runAsGroup: 2345, fsGroup: 3456, supplementalGroups: [4567] },
            volumes: [{ name: 'shared', emptyDir: {} }],
          },
        ),
        podOf('refused', [shell(untilAsked, { securityContext: { runAsNonRoot: true } })]),
      );
      await awaitReady(lab, 'secured');
      const status = await inPod(lab, 'secured', 'cat /proc/1/status');
      expect(status).toMatch(/^Uid:\s+1234\s+1234/m);
      expect(status).toMatch(/^Gid:\s+2345\s+2345/m);
      expect(status.match(/^Groups:\s+(.*?)\s*$/m)?.[1]?.split(' ')).toEqual(expect.arrayContaining(['3456', '4567']));
      expect(status).toMatch(/^CapBnd:\s+0000000000000400$/m); // only NET_BIND_SERVICE
      expect(status).toMatch(/^CapEff:\s+0000000000000000$/m); // not for others than root
      expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
      expect(await inPod(lab, 'secured', 'touch /x 2>&1; touch /shared/x && stat -c %g /shared/x')).toMatch(
        /Read-only file system\n3456\n$/,
      );
      expect(await inPod(lab, 'secured', 'id -u; grep NoNewPrivs /proc/1/status', 'root')).toMatch(
        /^0\nNoNewPrivs:\s+0\n$/,
      );
      const refused = await awaitPod(
        lab,
        'refused',
        'refusal',
        (pod) => containerOf(pod)?.state?.waiting?.reason === 'CreateContainerConfigError',
      );
      expect(containerOf(refused)?.state?.waiting?.message).toContain(
        'container has runAsNonRoot and image will run as root',
      );
    });

    it('the resources that it asks for, as control groups', async () => {
      const resources = { requests: { cpu: '100m', memory: '32Mi' }, limits: { cpu: '250m', memory: '64Mi' } };
      await applyObjects(lab, podOf('limited', [shell(untilAsked, { resources })]));
      const { status, metadata } = await awaitReady(lab, 'limited');
      expect(status?.qosClass).toBe('Burstable');
      const memory = 64 * 1024 * 1024;
      const ofContainer = await inPod(
        lab,
        'limited',
        'cd /sys/fs/cgroup; if [ -e memory.max ]; then cat memory.max cpu.max; else cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us; fi',
      );
      expect(ofContainer.split(/\s+/).slice(0, 3)).toEqual([String(memory), '25000', '100000']);
      const found = await lab.onNode(0, 'find', '/sys/fs/cgroup', '-type', 'd', '-name', `pod${metadata.uid}`);
      const groups = found.split('\n').filter((path) => path !== '');
      expect(groups.filter((path) => path.includes('/kubepods/burstable/'))).toEqual(groups);
      const limits = await Promise.all(
        groups.map(async (path) =>
          lab.onNode(0, 'sh', '-c', `cat ${path}/memory.max ${path}/memory.limit_in_bytes 2>&-; true`),
        ),
      );
      expect(limits.filter((text) => text !== '')).toEqual([`${memory}\n`]);
      await lab.kubectl('delete', 'pod', 'limited');
      await eventually(
        'its control groups are removed',
        patienceMs,
        async () =>
          (await lab.onNode(0, 'find', '/sys/fs/cgroup', '-type', 'd', '-name', `pod${metadata.uid}`)) === '' ||
          undefined,
      );
    });

    it('a name, hosts, and name servers', async () => {
      await applyObjects(
        lab,
        podOf('named', untilAsked, {
          hostname: 'front',
          subdomain: 'team',
          hostAliases: [{ ip: '192.0.2.7', hostnames: ['other', 'other.example'] }],
        }),
        podOf('unnamed', untilAsked, {
          dnsPolicy: 'None',
          dnsConfig: { nameservers: ['192.0.2.1'], searches: ['lab.test'] },
        }),
      );
      const { status } = await awaitReady(lab, 'named');
      expect(await inPod(lab, 'named', 'hostname; cat /etc/hostname')).toBe('front\nfront\n');
      const hosts = await inPod(lab, 'named', 'cat /etc/hosts');
      expect(hosts).toContain(`${status?.podIP}\tfront.team.default.svc.cluster.local\tfront\n`);
      expect(hosts).toContain('192.0.2.7\tother\tother.example\n');
      const names = await inPod(lab, 'named', 'cat /etc/resolv.conf');
      expect(names).toContain('search default.svc.cluster.local svc.cluster.local cluster.local');
      expect(names).toMatch(/^nameserver 10\.96\.0\.10\n/m);
      expect(names).toContain('options ndots:5');
      await awaitReady(lab, 'unnamed');
      expect(await inPod(lab, 'unnamed', 'hostname; cat /etc/resolv.conf')).toBe(
        'unnamed\nsearch lab.test\nnameserver 192.0.2.1\n',
      );
    });

    it('a token that the API server takes for its service account, and the way to it', async () => {
      await applyObjects(lab, podOf('client', untilAsked));
      await awaitReady(lab, 'client');
      const account = '/var/run/secrets/kubernetes.io/serviceaccount';
      const [token, ca, namespace] = await Promise.all(
        ['token', 'ca.crt', 'namespace'].map((file) => inPod(lab, 'client', `cat ${account}/${file}`)),
      );
      expect(namespace).toBe('default');
      const directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-token-'));
      try {
        const caFile = join(directory, 'ca.crt');
        writeFileSync(caFile, ca ?? '');
        const config = parse(await lab.kubectl('config', 'view', '--minify')) as {
          clusters: { cluster: { server: string } }[];
        };
        const asPod = (bearer: string): ReturnType<typeof runCommand> =>
          runCommand('kubectl', [
            '--kubeconfig=/dev/null',
            `--server=${config.clusters[0]?.cluster.server}`,
            `--certificate-authority=${caFile}`,
            `--token=${bearer}`,
            'auth',
            'whoami',
            '--output=json',
          ]);
        const { stdout } = await asPod(token ?? '');
        expect(JSON.parse(stdout)).toMatchObject({
          status: {
            userInfo: {
              username: 'system:serviceaccount:default:default',
              extra: { 'authentication.kubernetes.io/pod-name': ['client'] },
            },
          },
        });
        const forged = await asPod(`${token?.slice(0, -6)}AAAAAA`);
        expect([forged.code, forged.stderr]).toEqual([1, expect.stringContaining('Unauthorized')]);
      } finally {
        rmSync(directory, { recursive: true });
      }
      // through the Service's address, which the proxy leads to the API server
      await inPod(lab, 'client', 'nc -w 10 "$KUBERNETES_SERVICE_HOST" "$KUBERNETES_SERVICE_PORT" < /dev/null');
    });
  });

  describe.concurrent('lives', () => {
    it('init containers run one after the other, before the rest; one that fails ends a pod that is not restarted', async () => {
      const order = (name: string): Partial<Container> => ({ name, volumeMounts: [mount('order', '/order')] });
      await applyObjects(
        lab,
        podOf('prepared', [shell(`cat /order/list; ${untilAsked}`, order('main'))], {
          initContainers: [
            shell('sleep 0.5; echo first >> /order/list', order('first')),
            shell('echo second >> /order/list', order('second')),
          ],
          volumes: [{ name: 'order', emptyDir: {} }],
        }),
        podOf('unprepared', 'echo never', {
          initContainers: [shell('exit 9', { name: 'bad' })],
          restartPolicy: 'Never',
        }),
      );
      const pod = await awaitReady(lab, 'prepared');
      expect(await lab.kubectl('logs', 'prepared')).toBe('first\nsecond\n');
      for (const name of ['first', 'second']) {
        expect(containerOf(pod, name)).toMatchObject({
          ready: true,
          restartCount: 0,
          state: { terminated: { exitCode: 0, reason: 'Completed' } },
        });
      }
      const failed = await awaitPhase(lab, 'unprepared', 'Failed');
      expect(containerOf(failed, 'bad')?.state?.terminated).toMatchObject({ exitCode: 9, reason: 'Error' });
      expect(containerOf(failed)?.state?.waiting?.reason).toBe('PodInitializing');
      expect(conditionOf(failed, 'Initialized')).toBe('False');
      expect(await lab.kubectl('get', 'pod', 'unprepared', '--no-headers')).toMatch(/0\/1 +Init:Error/);
    });

    it.each([
      { name: 'never-good', policy: 'Never', code: 0, phase: 'Succeeded', restarts: 0, reason: 'Completed' },
      { name: 'never-bad', policy: 'Never', code: 3, phase: 'Failed', restarts: 0, reason: 'Error' },
      { name: 'on-failure-good', policy: 'OnFailure', code: 0, phase: 'Succeeded', restarts: 0, reason: 'Completed' },
    ])('restart policy $policy, exit code $code: $phase', async ({ name, policy, code, phase, restarts, reason }) => {
      await applyObjects(lab, podOf(name, `exit ${code}`, { restartPolicy: policy }));
      const pod = await awaitPhase(lab, name, phase);
      expect(containerOf(pod)).toMatchObject({
        ready: false,
        started: false,
        restartCount: restarts,
        state: { terminated: { exitCode: code, reason } },
      });
      expect([conditionOf(pod, 'Ready'), pod.status?.conditions?.find(({ type }) => type === 'Ready')?.reason]).toEqual(
        ['False', phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed'],
      );
    });

    it('restart policy OnFailure tries until it succeeds, Always goes on after success', async () => {
      const run = 'echo run >> /runs/list; [ "$(wc -l < /runs/list)" -ge 2 ]';
      const main = (script: string): Container => shell(script, { volumeMounts: [mount('runs', '/runs')] });
      const volumes = [{ name: 'runs', emptyDir: {} }];
      await applyObjects(
        lab,
        podOf('on-failure', [main(run)], { restartPolicy: 'OnFailure', volumes }),
        podOf('always', [main(`${run} && { ${untilAsked}; }; exit 0`)], { volumes }),
      );
      const retried = await awaitPhase(lab, 'on-failure', 'Succeeded');
      expect(containerOf(retried)).toMatchObject({
        restartCount: 1,
        state: { terminated: { exitCode: 0 } },
        lastState: { terminated: { exitCode: 1, reason: 'Error' } },
      });
      const again = await awaitPod(
        lab,
        'always',
        'second run',
        (pod) => containerOf(pod)?.restartCount === 1 && containerOf(pod)?.ready === true,
      );
      expect(containerOf(again)?.lastState?.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
    });

    it('a crash loop backs off, and says so', async () => {
      await applyObjects(lab, podOf('crashing', 'echo oops; exit 42'));
      const pod = await awaitPod(
        lab,
        'crashing',
        'back-off',
        (one) =>
          containerOf(one)?.state?.waiting?.reason === 'CrashLoopBackOff' && (containerOf(one)?.restartCount ?? 0) >= 1,
      );
      const { uid } = pod.metadata;
      const status = containerOf(pod);
      expect(pod.status?.phase).toBe('Running');
      expect(status?.lastState?.terminated).toMatchObject({ exitCode: 42, reason: 'Error' });
      expect(status?.state?.waiting?.message).toMatch(
        new RegExp(`^back-off \\d+s restarting failed container=main pod=crashing_default\\(${uid}\\)$`),
      );
      await awaitEvent(
        lab,
        'crashing',
        'BackOff',
        `Back-off restarting failed container main in pod crashing_default(${uid})`,
      );
      expect(await lab.kubectl('get', 'pod', 'crashing', '--no-headers')).toMatch(/0\/1 +CrashLoopBackOff +[1-9]/);
    });

    it('a last message is kept, from the file or from the log', async () => {
      await applyObjects(
        lab,
        podOf('message', 'echo from the file > /dev/termination-log', { restartPolicy: 'Never' }),
        podOf('fallback', [shell('echo from the log; exit 1', { terminationMessagePolicy: 'FallbackToLogsOnError' })], {
          restartPolicy: 'Never',
        }),
      );
      const [fromFile, fromLog] = [
        await awaitPhase(lab, 'message', 'Succeeded'),
        await awaitPhase(lab, 'fallback', 'Failed'),
      ];
      expect(containerOf(fromFile)?.state?.terminated?.message).toBe('from the file\n');
      expect(containerOf(fromLog)?.state?.terminated?.message).toBe('from the log\n');
    });

    it('readiness decides about the endpoint of a Service', async () => {
      const pod = podOf('serving', [
        shell(untilAsked, { ports: [{ containerPort: 8080 }], readinessProbe: probe('test -e /tmp/ready') }),
      ]);
      pod.metadata.labels = { serve: 'yes' };
      await applyObjects(lab, pod, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'served' },
        spec: { selector: { serve: 'yes' }, ports: [{ port: 80, targetPort: 8080 }] },
      });
      const endpoint = async (isReady: boolean): Promise<void> => {
        const { status } = await awaitPod(
          lab,
          'serving',
          `Ready=${isReady}`,
          (one) => conditionOf(one, 'Ready') === (isReady ? 'True' : 'False') && containerOf(one)?.started === true,
        );
        await eventually(`an endpoint with ready=${isReady}`, patienceMs, async () => {
          const slices = await lab.kubectlJson<List<EndpointSlice>>(
            'get',
            'endpointslices',
            '-l',
            'kubernetes.io/service-name=served',
          );
          const found = slices.items.flatMap(({ endpoints }) => endpoints ?? []);
          return (
            found.some(
              ({ addresses, conditions }) => addresses[0] === status?.podIP && conditions?.ready === isReady,
            ) || undefined
          );
        });
      };
      await endpoint(false);
      await awaitEvent(lab, 'serving', 'Unhealthy', 'Readiness probe failed');
      await inPod(lab, 'serving', 'touch /tmp/ready');
      await endpoint(true);
      await inPod(lab, 'serving', 'rm /tmp/ready');
      await endpoint(false);
      expect(containerOf(await getPod(lab, 'serving'))?.restartCount).toBe(0);
    });

    it('liveness restarts a container, and only after its startup probe has passed', async () => {
      await applyObjects(
        lab,
        podOf('alive', [
          shell(untilAsked, {
            startupProbe: { ...probe('test -e /tmp/up'), failureThreshold: 300 },
            livenessProbe: probe('test ! -e /tmp/bad'),
          }),
        ]),
      );
      const starting = await awaitPod(lab, 'alive', 'run', (pod) => containerOf(pod)?.state?.running !== undefined);
      expect([containerOf(starting)?.started, containerOf(starting)?.ready]).toEqual([false, false]);
      await inPod(lab, 'alive', 'touch /tmp/bad');
      await awaitEvent(lab, 'alive', 'Unhealthy', 'Startup probe failed');
      expect(containerOf(await getPod(lab, 'alive'))?.restartCount).toBe(0);
      await inPod(lab, 'alive', 'rm /tmp/bad; touch /tmp/up');
      expect(containerOf(await awaitReady(lab, 'alive'))?.started).toBe(true);
      await inPod(lab, 'alive', 'touch /tmp/bad');
      const restarted = await awaitPod(lab, 'alive', 'restart', (pod) => containerOf(pod)?.restartCount === 1);
      expect(containerOf(restarted)?.lastState?.terminated?.exitCode).toBe(0); // asked, and it went
      await awaitEvent(lab, 'alive', 'Killing', 'Container main failed liveness probe, will be restarted');
    });

    it('hooks: one after the start, one before the end, and the grace period for the rest', async () => {
      const hook = (word: string): object => ({ exec: { command: ['sh', '-c', `echo ${word} > /proc/1/fd/1`] } });
      const script =
        "trap 'echo asked; sleep 2; echo finished; exit 0' TERM; echo started; while :; do sleep 0.1; done";
      await applyObjects(
        lab,
        podOf('polite', [shell(script, { lifecycle: { postStart: hook('greeted'), preStop: hook('warned') } })], {
          terminationGracePeriodSeconds: 60,
        }),
        podOf('deaf', "trap '' TERM; while :; do sleep 0.1; done"),
      );
      await Promise.all([awaitReady(lab, 'polite'), awaitReady(lab, 'deaf')]);
      const follower = Follower.kubectl(lab, 'logs', '-f', 'polite');
      try {
        await follower.until('greeted');
        await lab.kubectl('delete', 'pod', 'polite', 'deaf', '--wait=false');
        expect((await getPod(lab, 'polite')).metadata.deletionGracePeriodSeconds).toBe(60);
        expect(await follower.untilEnd()).toBe(0);
      } finally {
        await follower.close();
      }
      expect(follower.output).toMatch(/warned\nasked\nfinished\n$/);
      await Promise.all([awaitGone(lab, 'polite'), awaitGone(lab, 'deaf')]); // the second one was killed
    });

    it('a sidecar is there before and after the containers that it serves', async () => {
      const directory = '/var/tmp/sidecar-order';
      const part = (name: string): Container =>
        shell(
          `echo +${name} >> /order/list; trap 'echo -${name} >> /order/list; exit 0' TERM; while :; do sleep 0.1; done`,
          {
            name,
            volumeMounts: [mount('order', '/order')],
          },
        );
      await applyObjects(
        lab,
        podOf('helped', [part('main')], {
          terminationGracePeriodSeconds: 60,
          initContainers: [
            { ...part('outer'), restartPolicy: 'Always', startupProbe: probe('test -e /order/list') },
            { ...part('inner'), restartPolicy: 'Always', startupProbe: probe('grep inner /order/list') },
          ],
          volumes: [{ name: 'order', hostPath: { path: directory, type: 'DirectoryOrCreate' } }],
        }),
      );
      const pod = await awaitReady(lab, 'helped');
      expect(['outer', 'inner'].map((name) => containerOf(pod, name)?.started)).toEqual([true, true]);
      await lab.kubectl('delete', 'pod', 'helped');
      expect(await lab.onNode(0, 'cat', `${directory}/list`)).toBe('+outer\n+inner\n+main\n-main\n-inner\n-outer\n');
    });
  });
});
