/** Probes of every kind against real containers and a server beside them, as the API, its events and that server see it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Container, Event, Pod, PodCondition, Probe } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import { PodWatch } from './support/pod-watch.ts';
import {
  applyObjects,
  awaitEvent,
  awaitPod,
  awaitReady,
  conditionOf,
  containerOf,
  eventsOf,
  getPod,
  inPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';
import type { List } from './support/pods.ts';
import { type ProbedRequest, probePorts } from './support/probe-ports.ts';

const serverFile = fileURLToPath(new URL('support/probe-server-process.ts', import.meta.url));
/** Patient: a machine that does much else must not fail what is well. */
const every: Probe = { periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 10 };
const hasty: Probe = { timeoutSeconds: 1 };
const exec = (script: string, more: Probe = {}): Probe => ({
  ...every,
  exec: { command: ['sh', '-c', script] },
  ...more,
});
const http = (path: string, port: number | string = probePorts.http, scheme = 'HTTP'): Probe => ({
  ...every,
  httpGet: { path, port, scheme },
});
const tcp = (port: number): Probe => ({ ...every, tcpSocket: { port } });
const grpc = (service: string, port: number = probePorts.grpc): Probe => ({ ...every, grpc: { port, service } });
const conditionIn = (pod: Pod, wanted: string): PodCondition | undefined =>
  pod.status?.conditions?.find(({ type }) => type === wanted);

describeAsRoot('probes', () => {
  const lab = useLab();
  let directory: string;

  beforeAll(async () => {
    directory = join(lab.directory, 'probed');
    mkdirSync(directory);
    const script = 'log="$1"; shift; setsid "$@" >>"$log" 2>&1 </dev/null &';
    const program = [process.execPath, serverFile, directory];
    await lab.onNode(0, 'sh', '-c', script, 'sh', join(directory, 'server.log'), ...program);
    await eventually('the server', patienceMs, () =>
      Promise.resolve(existsSync(join(directory, 'ready')) || undefined),
    );
  });

  const requests = (path: string): ProbedRequest[] =>
    readFileSync(join(directory, 'requests.log'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as ProbedRequest) // the server's own lines
      .filter((request) => request.path === path);
  const idle = (name: string, readinessProbe: Probe, more: Partial<Container> = {}): Container =>
    shell(untilAsked, { name, readinessProbe, ...more });
  /** On the node's network, where the server listens. */
  const onNode = (name: string, ...containers: Container[]): Pod => podOf(name, containers, { hostNetwork: true });
  const unhealthy = async (name: string): Promise<Event[]> =>
    (await eventsOf(lab, name)).filter(({ reason }) => reason === 'Unhealthy');

  describe.concurrent('of each kind', () => {
    it('make ready what answers well', async () => {
      const asking: Probe = {
        ...every,
        httpGet: {
          path: '/ok?from=headers',
          port: probePorts.http,
          httpHeaders: [
            { name: 'X-Asked', value: 'one' },
            { name: 'X-Asked', value: 'two' },
            { name: 'Host', value: 'virtual.test' },
          ],
        },
      };
      await applyObjects(
        lab,
        onNode(
          'well',
          idle('headers', asking),
          idle('named', http('/ok?from=named', 'web'), { ports: [{ name: 'web', containerPort: probePorts.http }] }),
          idle('same', http('/same')),
          idle('away', http('/away')),
          idle('secure', http('/ok?from=secure', probePorts.https, 'HTTPS')),
          idle('socket', tcp(probePorts.http)),
          idle('remote', grpc('')),
          idle('remote-one', grpc('well')),
          idle('command', exec('test "$(WORD)" = yes'), { env: [{ name: 'WORD', value: 'yes' }] }),
        ),
      );
      const pod = await awaitReady(lab, 'well');
      const ip = pod.status?.podIP ?? '';
      expect(ip).toBe(pod.status?.hostIP);
      const agent = 'kube-probe/1.36';
      expect(requests('/ok?from=headers')[0]).toEqual({
        path: '/ok?from=headers',
        version: '1.1',
        host: 'virtual.test',
        agent,
        accept: '*/*',
        asked: 'one|two',
      });
      expect(requests('/ok?from=named')[0]).toMatchObject({ host: `${ip}:${probePorts.http}`, agent });
      expect(requests('/ok?from=same')[0]).toMatchObject({ host: `${ip}:${probePorts.http}`, agent });
      expect(requests('/ok?from=secure')[0]).toMatchObject({
        host: `${ip}:${probePorts.https}`,
        agent,
        version: '2.0',
      });
      expect(requests('grpc:well')[0]?.agent).toMatch(/^kube-probe\/1\.36 /);
      expect(requests('/ok?from=away')).toEqual([]);
      const warning = await awaitEvent(lab, 'well', 'ProbeWarning');
      expect(warning).toMatchObject({
        type: 'Warning',
        message: 'Readiness probe warning: Probe terminated redirects, Response body: gone elsewhere',
        source: { component: 'kubelet', host: lab.nodeName(0) },
        involvedObject: { kind: 'Pod', uid: pod.metadata.uid, fieldPath: 'spec.containers{away}' },
      });
    });

    const at = (port: number): string => `IP:${port}`;
    const failures: ReadonlyArray<{ name: string; probe: Probe; says: string }> = [
      { name: 'command', probe: exec('echo out; echo err >&2; exit 3'), says: 'failed: out\nerr\n' },
      {
        name: 'command-slow',
        probe: exec('sleep 30', hasty),
        says: 'failed: command timed out: "sh -c sleep 30" timed out after 1s',
      },
      { name: 'status', probe: http('/503'), says: 'failed: HTTP probe failed with statuscode: 503' },
      {
        name: 'http-slow',
        probe: { ...http('/never'), ...hasty },
        says: `failed: Get "http://${at(probePorts.http)}/never": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
      },
      {
        name: 'http-nobody',
        probe: http('/', probePorts.nobody),
        says: `failed: Get "http://${at(probePorts.nobody)}/": dial tcp ${at(probePorts.nobody)}: connect: connection refused`,
      },
      {
        name: 'https-plain',
        probe: http('/ok', probePorts.http, 'HTTPS'),
        says: `failed: Get "https://${at(probePorts.http)}/ok": http: server gave HTTP response to HTTPS client`,
      },
      {
        name: 'port-name',
        probe: http('/', 'nope'),
        says: 'errored and resulted in unknown state: strconv.Atoi: parsing "nope": invalid syntax',
      },
      {
        name: 'socket-nobody',
        probe: tcp(probePorts.nobody),
        says: `failed: dial tcp ${at(probePorts.nobody)}: connect: connection refused`,
      },
      {
        name: 'grpc-ill',
        probe: grpc('ill'),
        says: 'failed: service unhealthy (responded with "NOT_SERVING")',
      },
      {
        name: 'grpc-unknown',
        probe: grpc('unknown'),
        says: 'failed: error: health rpc probe failed: rpc error: code = NotFound desc = unknown service',
      },
      {
        name: 'grpc-bare',
        probe: grpc('', probePorts.bareGrpc),
        says: 'failed: error: this server does not implement the grpc health protocol (grpc.health.v1.Health): The server does not implement the method /grpc.health.v1.Health/Check',
      },
      {
        name: 'grpc-nobody',
        probe: { ...grpc('', probePorts.nobody), ...hasty },
        says: `failed: timeout: failed to connect service "${at(probePorts.nobody)}" within 1s: context deadline exceeded`,
      },
    ];
    it('say what is wrong, in the words that people look for', async () => {
      await applyObjects(lab, ...failures.map(({ name, probe }) => onNode(`ill-${name}`, idle('main', probe))));
      const said = await eventually('the event of each', patienceMs, async () => {
        const { items } = await lab.kubectlJson<List<Event>>('get', 'events', '--field-selector', 'reason=Unhealthy');
        const first = failures.map(({ name }) => items.find((event) => event.involvedObject.name === `ill-${name}`));
        return first.includes(undefined) ? undefined : first;
      });
      const pods = await Promise.all(failures.map(({ name }) => getPod(lab, `ill-${name}`)));
      failures.forEach(({ name, says }, place) => {
        const words = `Readiness probe ${says.replaceAll('IP', pods[place]?.status?.podIP ?? '')}`;
        expect(`${name}: ${said[place]?.message}`).toBe(`${name}: ${words}`);
        expect(said[place]?.involvedObject.fieldPath).toBe('spec.containers{main}');
      });
      for (const pod of pods) expect(containerOf(pod)).toMatchObject({ ready: false, started: true, restartCount: 0 });
      await lab.kubectl('delete', 'pod', ...failures.map(({ name }) => `ill-${name}`), '--wait=false');
    });
  });

  describe.concurrent('decide', () => {
    it('nothing but startup is asked until it has succeeded; each failed attempt counts', async () => {
      await applyObjects(
        lab,
        podOf('held', [
          shell(untilAsked, {
            startupProbe: exec('echo >> /tmp/asked; test -e /tmp/up', { failureThreshold: 300 }),
            livenessProbe: exec('touch /tmp/liveness'),
            readinessProbe: exec('touch /tmp/readiness'),
          }),
        ]),
      );
      const counted = await eventually('three failed attempts', patienceMs, async () =>
        (await unhealthy('held')).find(({ count = 0 }) => count >= 3),
      );
      expect(counted.message).toBe('Startup probe failed: ');
      const asked = Number(await inPod(lab, 'held', 'wc -l < /tmp/asked'));
      expect(asked).toBeGreaterThanOrEqual(counted.count ?? 0);
      expect(await unhealthy('held')).toHaveLength(1);
      expect(await inPod(lab, 'held', 'cd /tmp; echo *')).toBe('asked\n');
      const before = await getPod(lab, 'held');
      expect(containerOf(before)).toMatchObject({ started: false, ready: false, restartCount: 0 });
      await inPod(lab, 'held', 'touch /tmp/up');
      expect(containerOf(await awaitReady(lab, 'held'))).toMatchObject({ started: true, restartCount: 0 });
      await eventually('liveness is asked', patienceMs, async () =>
        (await inPod(lab, 'held', 'cd /tmp; echo *')) === 'asked liveness readiness up\n' ? true : undefined,
      );
      const once = await inPod(lab, 'held', 'rm /tmp/readiness; wc -l < /tmp/asked');
      await eventually('readiness is asked again', patienceMs, () => inPod(lab, 'held', 'ls /tmp/readiness'));
      expect(await inPod(lab, 'held', 'wc -l < /tmp/asked')).toBe(once); // startup is not
    });

    it('liveness and startup end a container, which starts again where it may', async () => {
      const broken = (name: string): Container =>
        shell(untilAsked, { name, livenessProbe: exec('echo broken; exit 1') });
      await applyObjects(
        lab,
        podOf('dead', [shell(untilAsked, { livenessProbe: exec('cat /tmp/healthy', { failureThreshold: 3 }) })]),
        podOf('unborn', [shell(untilAsked, { startupProbe: exec('echo not up; exit 1') })]),
        podOf('final', [broken('main'), shell(untilAsked, { name: 'other' })], { restartPolicy: 'Never' }),
        podOf('aside', untilAsked, { initContainers: [{ ...broken('side'), restartPolicy: 'Always' }] }),
      );
      const dead = await awaitPod(lab, 'dead', 'restart', (pod) => (containerOf(pod)?.restartCount ?? 0) > 0);
      expect(containerOf(dead)?.lastState?.terminated?.exitCode).toBe(0);
      const failed = await awaitEvent(lab, 'dead', 'Unhealthy');
      expect(failed.message).toBe("Liveness probe failed: cat: can't open '/tmp/healthy': No such file or directory\n");
      await eventually('the event to be counted', patienceMs, async () => {
        const { count = 1 } = await awaitEvent(lab, 'dead', 'Unhealthy');
        return count >= 3 || undefined;
      });
      const killing = 'failed liveness probe, will be restarted';
      expect((await awaitEvent(lab, 'dead', 'Killing')).message).toBe(`Container main ${killing}`);
      expect((await awaitEvent(lab, 'unborn', 'Unhealthy')).message).toBe('Startup probe failed: not up\n');
      expect((await awaitEvent(lab, 'unborn', 'Killing')).message).toBe(
        'Container main failed startup probe, will be restarted',
      );
      const isOver = (pod: Pod): boolean => containerOf(pod)?.state?.terminated !== undefined;
      const final = await awaitPod(lab, 'final', 'the end of one', isOver);
      expect(final.status?.phase).toBe('Running');
      expect(containerOf(final)).toMatchObject({ restartCount: 0, state: { terminated: { exitCode: 0 } } });
      expect(await awaitEvent(lab, 'final', 'Killing')).toMatchObject({
        type: 'Normal',
        message: 'Container main failed liveness probe',
        involvedObject: { fieldPath: 'spec.containers{main}' },
      });
      const aside = await awaitPod(
        lab,
        'aside',
        'back-off',
        (pod) => containerOf(pod, 'side')?.state?.waiting?.reason === 'CrashLoopBackOff',
      );
      expect(containerOf(aside, 'side')?.restartCount).toBe(2); // at once, and once before there is an end to wait from
      expect(containerOf(aside, 'side')?.lastState?.terminated?.exitCode).toBe(0);
      expect(await awaitEvent(lab, 'aside', 'Killing')).toMatchObject({
        message: 'Init container side failed liveness probe',
        involvedObject: { fieldPath: 'spec.initContainers{side}' },
      });
      await lab.kubectl('delete', 'pod', 'dead', 'unborn', 'final', 'aside', '--wait=false');
    });

    it('readiness turns with the server, and a gate holds it', async () => {
      const type = 'example.test/open';
      await applyObjects(
        lab,
        podOf('gated', [idle('main', http('/flip'))], { hostNetwork: true, readinessGates: [{ conditionType: type }] }),
      );
      await awaitEvent(lab, 'gated', 'Unhealthy', 'Readiness probe failed: HTTP probe failed with statuscode: 500');
      expect(conditionIn(await getPod(lab, 'gated'), 'Ready')).toMatchObject({ reason: 'ContainersNotReady' });
      writeFileSync(join(directory, 'flipped'), '');
      const gated = await awaitPod(lab, 'gated', 'ready', (pod) => conditionOf(pod, 'ContainersReady') === 'True');
      expect(conditionIn(gated, 'Ready')).toMatchObject({
        status: 'False',
        reason: 'ReadinessGatesNotReady',
        message: `corresponding condition of pod readiness gate "${type}" does not exist.`,
      });
      const open = async (status: string): Promise<string> =>
        lab.kubectl(
          'patch',
          'pod',
          'gated',
          '--subresource=status',
          '-p',
          JSON.stringify({ status: { conditions: [{ type, status }] } }),
        );
      await open('True');
      await awaitReady(lab, 'gated');
      await open('False');
      const closed = await awaitPod(lab, 'gated', 'closed gate', (pod) => conditionOf(pod, 'Ready') === 'False');
      expect(conditionIn(closed, 'Ready')?.message).toBe(
        `the status of pod readiness gate "${type}" is not "True", but False`,
      );
      expect(conditionOf(closed, type)).toBe('False');
    });
  });

  it('go on after the agent was killed, and nobody is unready meanwhile', async () => {
    const asking = (kind: string): Probe => exec(`echo >> /tmp/${kind}`);
    await applyObjects(
      lab,
      podOf('steady', [
        shell(untilAsked, {
          startupProbe: asking('startup'),
          livenessProbe: asking('liveness'),
          readinessProbe: asking('readiness'),
        }),
      ]),
    );
    const pods = [await awaitReady(lab, 'steady'), await getPod(lab, 'well')];
    const watch = new PodWatch(lab, pods);
    onTestFinished(() => watch.close());
    watch.start();
    await eventually('the watch has begun', patienceMs, () =>
      Promise.resolve(watch.eventCount >= pods.length || undefined),
    );
    const counts = async (): Promise<number[]> =>
      (await inPod(lab, 'steady', 'cd /tmp; wc -l < startup; wc -l < liveness; wc -l < readiness'))
        .trim()
        .split('\n')
        .map(Number);
    await lab.stop(0, 'agent', 'SIGKILL');
    await lab.start(0, 'agent');
    const [startup = 0, liveness = 0, readiness = 0] = await eventually('the agent answers', patienceMs, counts);
    await eventually('the probes go on', patienceMs, async () => {
      const [, alive = 0, ready = 0] = await counts();
      return alive >= liveness + 2 && ready >= readiness + 2 ? true : undefined;
    });
    expect((await counts())[0]).toBe(startup);
    expect(watch.changes).toEqual([]);
    expect(await unhealthy('steady')).toEqual([]);
  });
});
