/** Logs of containers: read while they are rotated, held within bounds, linked for collectors, and gone with their pods. */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { inNode } from '../../src/lab/node-files.ts';
import type { Pod } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import {
  Follower,
  applyObjects,
  awaitPhase,
  awaitPod,
  awaitReady,
  containerOf,
  inPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

const maxFiles = 3;
const settings = ['containerLogMaxSize: 200Ki', `containerLogMaxFiles: ${maxFiles}`, 'containerLogMonitorInterval: 3s'];
/** The last of them come in one breath: no rotation falls behind them. */
const lines = 24_100;
/** Enough for several looks at it. */
const floodBytes = 400 * 1024 * 1024;
/** With the container's id, its link's name would be longer than a file name may be. */
const longName = 'l'.repeat(200);

describeAsRoot('logs of containers', () => {
  const lab = useLab();
  const following: Follower[] = [];
  afterAll(() => Promise.all(following.map((one) => one.close())));

  const logs = (pod: string, ...flags: string[]): Promise<string> => lab.kubectl('logs', pod, ...flags);
  const refusal = async (...args: string[]): Promise<string> => (await lab.tryKubectl('logs', ...args)).stderr.trim();
  const nodeVar = (): string => join(lab.directory, 'nodes', lab.nodeName(0), 'var');
  const links = (): string => join(nodeVar(), 'log/containers');
  /** Undefined when the pod has none. */
  function logFolder(pod: string): string | undefined {
    const root = join(nodeVar(), 'log/pods');
    const name = readdirSync(root).find((one) => one.startsWith(`default_${pod}_`));
    return name === undefined ? undefined : join(root, name, 'main');
  }
  function sizes(pod: string): Map<string, number> {
    const folder = logFolder(pod);
    const found = new Map<string, number>();
    if (folder === undefined || !existsSync(folder)) return found;
    for (const name of readdirSync(folder)) {
      const size = statSync(join(folder, name), { throwIfNoEntry: false })?.size; // rotated away in this moment
      if (size !== undefined) found.set(name, size);
    }
    return found;
  }

  beforeAll(async () => {
    await lab.stop(0, 'agent');
    await lab.onNode(0, 'sh', '-c', 'printf "%b" "$2" >> "$1"', 'sh', inNode.kubeletConfig, `${settings.join('\n')}\n`);
    await lab.start(0, 'agent');
    const pad = '.'.repeat(80);
    await applyObjects(
      lab,
      podOf(
        'counter',
        `echo "0 ${pad}"; until [ -e /tmp/go ]; do sleep 0.1; done; i=1; while [ $i -lt ${lines} ]; do echo "$i ${pad}"; i=$((i+1)); [ $((i%200)) = 0 ] && sleep 0.1; done`,
        { restartPolicy: 'Never' },
      ),
      podOf(
        'streams',
        `echo one; sleep 0.3; echo two >&2; sleep 1.1; echo three; sleep 0.3; echo four >&2; ${untilAsked}`,
      ),
      podOf('long', 'head -c 50000 /dev/zero | tr "\\0" x; echo; printf end', { restartPolicy: 'Never' }),
      podOf('crash', 'echo run $(cat /proc/sys/kernel/random/uuid); exit 1'),
      podOf('nopull', [shell('true', { image: 'localhost:1/none:1' })]),
      podOf(longName, `echo here; ${untilAsked}`),
      podOf('thief', `echo mine; ${untilAsked}`),
    );
    await awaitReady(lab, 'counter');
  });

  it('follow: every line once and in order, over several rotations', async () => {
    const reader = Follower.kubectl(lab, 'logs', '--follow', 'counter');
    following.push(reader);
    await reader.until('0 .');
    await inPod(lab, 'counter', 'touch /tmp/go');
    expect(await reader.untilEnd()).toBe(0);
    const numbers = reader.output
      .trimEnd()
      .split('\n')
      .map((line) => Number(line.split(' ')[0]));
    expect(numbers).toEqual(Array.from({ length: lines }, (_, i) => i));
    // the end may come in the middle of a rotation, which is then taken back
    const [name, ...rotated] = [...sizes('counter').keys()].toSorted();
    expect(name).toBe('0.log');
    const shapes = [/^0\.log\.\d{8}-\d{6}\.gz$/, /^0\.log\.\d{8}-\d{6}$/].slice(0, Math.max(1, rotated.length));
    expect(rotated).toEqual(shapes.map((shape) => expect.stringMatching(shape)));
    const folder = logFolder('counter') ?? '';
    const first = (text: string): number => Number(text.split(' ')[3]);
    const read = (file: string): string => {
      const bytes = readFileSync(join(folder, file));
      return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
    };
    const parts = [...rotated, '0.log'].map(read);
    expect(first(parts[0] ?? '')).toBeGreaterThan(0); // older ones are gone
    for (const [i, part] of parts.slice(1).entries()) {
      const before = parts[i] ?? '';
      expect(first(part)).toBe(first(before) + before.trimEnd().split('\n').length);
    }
    const current = parts.at(-1) ?? '';
    const texts = current.split('\n').map((line) => line.split(' ').slice(3).join(' '));
    expect(await logs('counter')).toBe(texts.join('\n')); // the current file alone
  });

  it('reads as much as it is asked for, both streams as they came', async () => {
    const all = 'one\ntwo\nthree\nfour\n';
    await eventually('all four', patienceMs, async () => (await logs('streams')) === all || undefined);
    const [, , third = ''] = (await logs('streams', '--timestamps')).split('\n');
    expect(third).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z three$/);
    const since = third.split(' ')[0] ?? '';
    const answers = await Promise.all([
      logs('streams', '--tail=2'),
      logs('streams', '--since=1h'),
      logs('streams', `--since-time=${since}`),
      logs('streams', '--limit-bytes=6'),
      logs('streams', '--tail=3', '--limit-bytes=5'),
    ]);
    // kubectl asks for whole seconds
    expect(answers).toEqual(['three\nfour\n', all, 'three\nfour\n', 'one\ntw', 'two\nt']);
    expect(await logs('long')).toMatch(/^x{50000}\nend\n?$/);
  });

  it('says why there is nothing to read', async () => {
    const isWaiting = (pod: Pod): boolean => /Pull/.test(containerOf(pod)?.state?.waiting?.reason ?? '');
    await awaitPod(lab, 'nopull', 'failed pull', isWaiting);
    expect(await refusal('nopull')).toMatch(
      /^Error from server \(BadRequest\): container "main" in pod "nopull" is waiting to start: (image can't be pulled|trying and failing to pull image)$/,
    );
    expect(await refusal('nobody')).toContain('pods "nobody" not found');
    expect(await refusal('streams', '--previous')).toBe(
      'Error from server (BadRequest): previous terminated container "main" in pod "streams" not found',
    );
    const raw = await lab.tryKubectl('get', '--raw', '/api/v1/namespaces/default/pods/streams/log?container=other');
    expect(raw.stderr).toContain('container other is not valid for pod streams');
  });

  it('keeps the newest dead instance of a container and its log', async () => {
    await awaitPod(lab, 'crash', 'second end', (pod) => {
      const { restartCount = 0, state } = containerOf(pod) ?? {};
      return restartCount >= 1 && state?.waiting?.reason === 'CrashLoopBackOff';
    });
    // while it waits, the dead one is both
    const text = await eventually('one text for both', patienceMs, async () => {
      const [now, previous] = [await logs('crash'), await logs('crash', '--previous')];
      return now === previous ? now : undefined;
    });
    expect(text).toMatch(/^run \S+\n$/);
    await eventually('the end of the older one', patienceMs, () => {
      const names = [...sizes('crash').keys()];
      return Promise.resolve((names.length === 1 && names[0] !== '0.log') || undefined);
    });
  });

  it('links to logs are cut to what a name may hold', async () => {
    const pod = await awaitReady(lab, longName);
    const id = containerOf(pod)?.containerID?.split('//')[1] ?? '';
    const name = `${`${longName}_default_main-${id}`.slice(0, 251)}.log`;
    expect(readdirSync(links())).toContain(name);
    expect(join(nodeVar(), readlinkSync(join(links(), name)).replace('/var/', ''))).toBe(
      join(logFolder(longName) ?? '', '0.log'),
    );
  });

  it('follows no link out of the logs', async () => {
    await awaitReady(lab, 'thief');
    const secret = join(nodeVar(), 'tmp/secret');
    const log = join(logFolder('thief') ?? '', '0.log');
    mkdirSync(join(nodeVar(), 'tmp'), { recursive: true });
    writeFileSync(secret, '2026-01-01T00:00:00.000000000Z stdout F secret\n');
    rmSync(log);
    symlinkSync('/var/tmp/secret', log);
    const { code, stdout, stderr } = await lab.tryKubectl('logs', 'thief');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('it leads out of "/var/log/pods"');
  });

  it('a flood is held to what two looks at it let through, and what is compressed', async () => {
    const line = 'y'.repeat(1000);
    await applyObjects(lab, podOf('flood', `yes ${line} | head -c ${floodBytes}`, { restartPolicy: 'Never' }));
    let isOver = false;
    const over = awaitPhase(lab, 'flood', 'Succeeded').finally(() => (isOver = true));
    let [mostFiles, mostBytes, largest] = [0, 0, 0];
    while (!isOver) {
      const found = [...sizes('flood')];
      mostFiles = Math.max(mostFiles, found.filter(([name]) => !name.endsWith('.tmp')).length);
      mostBytes = Math.max(
        mostBytes,
        found.reduce((sum, [, size]) => sum + size, 0),
      );
      largest = Math.max(largest, ...found.map(([, size]) => size));
      await systemClock.sleep(50, new AbortController().signal);
    }
    await over;
    expect(mostFiles).toBe(maxFiles); // so that it was rotated more than once
    expect(mostBytes).toBeLessThan(2 * largest + floodBytes / 50);
    expect(largest).toBeLessThan(floodBytes / 2);
  });

  it('logs, links and sandboxes of deleted pods go', async () => {
    const gone = ['counter', 'long', 'crash', 'thief', longName];
    await lab.kubectl('delete', 'pod', ...gone, '--grace-period=1');
    await eventually('the end of their logs', patienceMs, () => {
      const isLinked = readdirSync(links()).some((name) => gone.some((pod) => name.startsWith(`${pod}_`)));
      return Promise.resolve((!isLinked && gone.every((pod) => logFolder(pod) === undefined)) || undefined);
    });
    await eventually('the end of their sandboxes', patienceMs, async () => {
      const left = await lab.onNode(
        0,
        'ctr',
        '--namespace',
        'k8s.io',
        'containers',
        'ls',
        'labels."io.kubernetes.pod.name"==crash',
        '-q',
      );
      return left.trim() === '' || undefined;
    });
  });
});
