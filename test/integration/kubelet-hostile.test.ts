/**
 * Broken pods. Ten thousand are read and judged; a part of them is delivered over HTTP as an API server would: each is
 * run or refused with a reason, a good pod beside them never notices, and nothing of them is left when they are deleted.
 *
 * HOSTILE_SEED and HOSTILE_COUNT choose others and more; HOSTILE_ONLY=<number> delivers that one alone.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isJsonObject } from '../../src/apiserver/resources/api-object.ts';
import { HttpApiClient } from '../../src/client/http-api-client.ts';
import { PodDoor } from '../../src/kubelet/desired/pod-door.ts';
import { type Rejection, admitPod } from '../../src/kubelet/dispatch/admit-pod.ts';
import { refuseUnsupported } from '../../src/kubelet/dispatch/refuse-unsupported.ts';
import { refuseAppArmor, refuseSysctls } from '../../src/kubelet/support/security/admit-security.ts';
import type { Node, Pod, PodStatus } from '../../src/objects/generated/core-v1.ts';
import { type HostilePod, hostilePod } from '../fakes/hostile-pods.ts';
import { WireApi, type WirePod } from '../fakes/wire-api.ts';
import { type KubeletFixture, nodeName, openFixture } from './kubelet-fixture.ts';

const seed = Number(process.env['HOSTILE_SEED'] ?? Math.floor(Math.random() * 1_000_000));
const count = Number(process.env['HOSTILE_COUNT'] ?? 1000);
const only = process.env['HOSTILE_ONLY'];
const batchSize = 200;
const staticCount = 300;

let t: KubeletFixture;
let api: WireApi;
let client: HttpApiClient;
let log: LogLines;

/** What the kubelet says, as far as it names a pod that it cannot use. */
class LogLines {
  readonly unusable = new Set<string>();
  readonly manifests = new Set<string>();
  readonly failures: string[] = [];
  readonly logger = pino({ level: 'warn' }, { write: (line: string) => this.#take(line) });

  #take(line: string): void {
    const { msg, resourceVersion, path, ...rest }: Record<string, unknown> = JSON.parse(line);
    if (msg === 'the API brought a pod that cannot be used') this.unusable.add(String(resourceVersion));
    if (msg === 'cannot use a static pod manifest') this.manifests.add(String(path));
    if (process.env['HOSTILE_LOG'] !== undefined) this.failures.push(`${String(msg)} ${JSON.stringify(rest)}`);
  }
}

beforeEach(async () => {
  process.stdout.write(`hostile pods: HOSTILE_SEED=${seed}\n`);
  const ipPool = Array.from({ length: 1000 }, (_, i) => `10.88.${Math.floor(i / 250)}.${(i % 250) + 2}`);
  t = await openFixture({ config: { maxPods: 1000, eventRecordQPS: 100_000 }, cri: { ipPool } });
  t.cri.behave({ name: 'setup' }, { exits: { afterMs: 0, code: 0 } });
  api = new WireApi();
  const server = await api.start();
  const access = {
    server,
    ca: undefined,
    clientCertificate: undefined,
    token: undefined,
    tlsServerName: undefined,
    insecureSkipTlsVerify: false,
    namespace: 'default',
  };
  client = new HttpApiClient({ access, clock: t.clock, userAgentName: 'kubelet' });
  log = new LogLines();
});
afterEach(async () => {
  await t.close();
  client.close();
  await api.close();
});

interface Subject extends HostilePod {
  number: number;
  name: string;
  wire: WirePod;
  isDeletedFromStart: boolean;
}

const plainPod = (name: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', uid: `uid-${name}` },
    spec: { nodeName, containers: [{ name: 'web', image: 'web:1', imagePullPolicy: 'IfNotPresent' }] },
  });

const statusOf = ({ status }: WirePod): PodStatus => status ?? {};
const isReady = (pod: WirePod): boolean =>
  statusOf(pod).conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

function deliver(number: number): Subject {
  const name = `p${number}`;
  const hostile = hostilePod(seed, number, {
    name,
    uid: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
  });
  const wire = api.add(hostile.text);
  const { metadata } = wire.object;
  const isDeletedFromStart = isJsonObject(metadata) && metadata['deletionTimestamp'] !== undefined;
  return { ...hostile, number, name, wire, isDeletedFromStart };
}

/** Why the pod may be taken for answered; undefined while nobody has said anything of use. */
function answerOf({ wire, isDeletedFromStart }: Subject, versions: ReadonlySet<string>): string | undefined {
  if (!api.pods.has(wire)) return isDeletedFromStart ? 'deleted' : 'gone';
  const { phase, reason, initContainerStatuses = [], containerStatuses = [] } = statusOf(wire);
  if (phase === 'Failed' && reason !== undefined) return `Failed: ${reason}`;
  if (phase === 'Running' || phase === 'Succeeded' || phase === 'Failed') return phase;
  for (const { state } of [...initContainerStatuses, ...containerStatuses]) {
    const why = state?.waiting?.reason;
    if (state?.running !== undefined) return 'Running before its time'; // an init container that goes on
    if (why !== undefined && why !== 'ContainerCreating' && why !== 'PodInitializing') return `Waiting: ${why}`;
  }
  const { metadata } = wire.object;
  const name = isJsonObject(metadata) ? metadata['name'] : undefined;
  const event = api.events.find(
    (text) => text.startsWith(`${String(name)}: `) && /: (Failed|Error|Started)/.test(text),
  );
  if (event !== undefined) return `event ${event.split(': ')[1]}`;
  return versions.has(versionOf(wire)) ? 'logged' : undefined;
}

/** Without metadata there is none to know it by. */
const versionOf = ({ object, version }: WirePod): string =>
  isJsonObject(object['metadata']) ? String(version) : 'undefined';

const namesIn = (...path: string[]): Promise<string[]> => readdir(join(t.directory, ...path)).catch(() => []);

async function leftovers(): Promise<Record<string, number>> {
  const cgroups = await readdir(join(t.directory, 'cgroup'), { recursive: true });
  return {
    sandboxes: t.cri.runtime.sandboxes.size,
    containers: t.cri.runtime.containers.size,
    podDirectories: (await namesIn('root', 'pods')).length,
    logDirectories: (await namesIn('pod-logs')).length,
    logLinks: (await namesIn('container-logs')).length,
    cgroups: cgroups.filter((name) => /\/pod[^/]*$/.test(name)).length,
  };
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void; // the flag has made it

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

it(
  `runs or refuses ${count} hostile pods, and keeps nothing of them`,
  async () => {
    const witness = api.add(plainPod('witness'));
    await t.start({ api: client, log: log.logger });
    await t.until('the witness', () => isReady(witness));
    const before = await leftovers();
    const answers = new Map<string, number>();
    let heapAtFirst = 0;
    const numbers = only === undefined ? Array.from({ length: count }, (_, i) => i) : [Number(only)];
    for (let at = 0; at < numbers.length; at += batchSize) {
      const subjects = numbers.slice(at, at + batchSize).map(deliver);
      const canary = api.add(plainPod(`canary-${at}`));
      await t
        .until('the canary among them', () => isReady(canary), 300_000)
        .catch((err: unknown) => {
          throw new Error(`pods ${at}… block others (HOSTILE_SEED=${seed})`, { cause: err });
        });
      const open = new Set(subjects);
      const answered = await t
        .until(
          'answers',
          () => {
            for (const subject of open) {
              const answer = answerOf(subject, log.unusable);
              if (answer === undefined) continue;
              open.delete(subject);
              answers.set(answer, (answers.get(answer) ?? 0) + 1);
            }
            return open.size === 0;
          },
          300_000,
        )
        .catch(() => false);
      expect(answered ? [] : describe(open), `without an answer, HOSTILE_SEED=${seed}`).toEqual([]);
      expect(isReady(witness)).toBe(true);

      for (const { wire, number } of subjects) {
        // some end gracefully, some are simply gone
        if (number % 3 === 0 || log.unusable.has(versionOf(wire))) api.remove(wire);
        else
          api.setMetadata(wire, { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: number % 2 });
      }
      api.remove(canary);
      const gone = await t
        .until('their end', () => subjects.every(({ wire }) => !api.pods.has(wire)), 120_000)
        .catch(() => false);
      const stuck = new Set(subjects.filter(({ wire }) => api.pods.has(wire)));
      expect(gone ? [] : describe(stuck), `not let go, HOSTILE_SEED=${seed}`).toEqual([]);
      api.events.length = 0;
      log.unusable.clear();
      t.cri.clearCalls();
      if (at === batchSize * 4) heapAtFirst = heapBytes();
    }
    let after: Record<string, number> = {};
    for (let i = 0; i < 100 && JSON.stringify(after) !== JSON.stringify(before); i++) {
      await t.clock.pass(5000);
      after = await leftovers();
    }
    expect(after, `left behind, HOSTILE_SEED=${seed}`).toEqual(before);
    expect(isReady(witness)).toBe(true);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    process.stdout.write(`hostile pods: ${JSON.stringify(Object.fromEntries(answers))}\n`);
    if (heapAtFirst > 0 && count > 5 * batchSize) {
      const perPod = (heapBytes() - heapAtFirst) / (count - 5 * batchSize);
      process.stdout.write(`hostile pods: ${perPod.toFixed(0)} bytes of heap stay per pod\n`);
      expect(perPod).toBeLessThan(400); // a forgotten pod has thousands
    }
  },
  600_000 + count * 300,
);

const describe = (subjects: ReadonlySet<Subject>): string[] =>
  [...subjects].slice(0, 10).map(({ number, changes, wire }) => {
    const events = api.events.filter((text) => text.startsWith(`p${number}:`));
    return `HOSTILE_ONLY=${number}: ${changes.join('; ')}; status ${JSON.stringify(wire.status)?.slice(0, 600)}; ${events.join(' | ').slice(0, 400)}; ${log.failures.slice(-3).join(' | ')}`;
  });

it(`reads ${staticCount} hostile manifests from files, and goes on with the good one`, async () => {
  await t.writeManifest('witness.json', plainPod('witness'));
  for (let i = 0; i < staticCount; i++) {
    const { text } = hostilePod(seed, i, { name: `p${i}`, uid: `static-${i}` });
    await t.writeManifest(`p${i}.json`, text);
  }
  await t.start({ api: client, log: log.logger });
  const isUp = (name: string): boolean => t.cri.containersOfPod(`default/${name}-${nodeName}`).length > 0;
  await t.until('the witness', () => isUp('witness'));
  await t.clock.pass(20_000);
  const refused = log.manifests.size;
  process.stdout.write(`hostile pods: ${refused} of ${staticCount} manifests refused\n`);
  expect(refused).toBeGreaterThan(staticCount / 10);
  for (let i = 0; i < staticCount; i++) await rm(join(t.manifests, `p${i}.json`));
  await t.until('the others to end', () => t.cri.runtime.sandboxes.size === 1, 300_000);
  expect(isUp('witness')).toBe(true);
  for (let i = 0; i < 40 && (await namesIn('root', 'pods')).length > 1; i++) await t.clock.pass(5000);
  expect(await namesIn('root', 'pods')).toHaveLength(1);
});

it('reads and judges ten thousand without a failure of its own', () => {
  const door = new PodDoor();
  const allocatable = { cpu: '4', memory: '8Gi', pods: '110' };
  const node: Node = { metadata: { name: nodeName }, spec: {}, status: { allocatable } };
  const forbidden = (pod: Pod): Rejection | undefined =>
    refuseSysctls(pod, { allowedUnsafe: ['net.*'], kernelRelease: '6.1.0' });
  const unsupported = (pod: Pod): Rejection | undefined =>
    refuseAppArmor(pod, { isAppArmorEnabled: false }) ?? refuseUnsupported(pod, { ContainerStopSignals: false });
  const failures: string[] = [];
  let runnable = 0;
  let neighbour: Pod[] = [];
  for (let i = 0; i < 10_000; i++) {
    const { text, changes } = hostilePod(seed, i, { name: `p${i}`, uid: `u${i}` });
    try {
      const pod = door.read(JSON.parse(text));
      if (door.problemsOf(pod).length > 0) continue;
      if (admitPod({ pod, others: neighbour, node, forbidden, unsupported }) === undefined) runnable++;
      neighbour = [pod]; // what is odd about one must not be the fault of the next
    } catch (err) {
      failures.push(`HOSTILE_SEED=${seed} ${i}: ${String(err)} (${changes.join('; ')})`);
    }
  }
  expect(failures.slice(0, 10)).toEqual([]);
  expect(runnable).toBeGreaterThan(500);
});
