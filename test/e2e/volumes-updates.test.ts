/**
 * What changes while a pod runs: ConfigMaps, Secrets, the pod's own labels. A change is in the pod soon, and a reader
 * never sees a part of one set beside a part of another.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { HttpApiClient } from '../../src/client/http-api-client.ts';
import { loadKubeconfig } from '../../src/client/kubeconfig.ts';
import { configMaps, secrets } from '../../src/client/resource-types.ts';
import type { Pod, PodSpec, VolumeMount } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import {
  Follower,
  applyObjects,
  awaitPod,
  awaitReady,
  containerOf,
  inPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

const updates = 1000;
const samples = 15;
const keys = ['a', 'b', 'c'];
const signal = new AbortController().signal;

const mount = (name: string, more: Partial<VolumeMount> = {}): VolumeMount => ({
  name,
  mountPath: `/v/${name}`,
  ...more,
});

/** Every key of the object has the same value: a set with two values was never written. */
const setOf = (value: string): Record<string, string> => Object.fromEntries(keys.map((key) => [key, value]));
const encodedSetOf = (value: string): Record<string, string> => setOf(Buffer.from(value).toString('base64'));

/**
 * Reads both volumes again and again, each time through the directory that `..data` led to at the beginning. What was
 * replaced is deleted at once, so a file may be gone; one that is there has the value of its set, and sets never go back.
 */
const reader = `
rounds=0 sets=0 gone=0 bad=0 seenmap=-1 seensecret=-1
while :; do
  for v in map secret; do
    set=$(readlink /v/$v/..data)
    vals=$(cat /v/$v/$set/a /v/$v/$set/b /v/$v/$set/c 2>/dev/null) || { gone=$((gone+1)); continue; }
    rounds=$((rounds+1))
    one=\${vals%%;*}
    [ "$vals" = "$one;$one;$one;" ] || { bad=$((bad+1)); echo "MIXED $v: $vals"; }
    eval seen=\\$seen$v
    [ "$one" = "$seen" ] && continue
    [ "$one" -gt "$seen" ] || { bad=$((bad+1)); echo "BACK $v: $seen then $one"; }
    eval seen$v=$one
    sets=$((sets+1))
  done
  [ "$seenmap $seensecret" = "${updates} ${updates}" ] && break
done
echo "rounds=$rounds sets=$sets gone=$gone bad=$bad"
${untilAsked}`;

/** Says when it sees a new value, by the machine's own clock. */
const watcher = `
while :; do
  for v in map secret; do
    one=$(cat /v/$v/a) || continue
    eval "[ \\"$one\\" = \\"\\$seen$v\\" ]" && continue
    eval "seen$v='$one'"
    echo "$v $one $(cut -d' ' -f1 /proc/uptime)"
  done
  sleep 0.02
done`;

const uptimeMs = async (): Promise<number> => Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]) * 1000;

describeAsRoot('volumes of a running pod', () => {
  const lab = useLab();
  let api: HttpApiClient;

  beforeAll(async () => {
    api = new HttpApiClient({
      access: await loadKubeconfig(lab.kubeconfig),
      clock: systemClock,
      userAgentName: 'gantry-test',
    });
  });
  afterAll(() => api.close());

  const ref = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });
  const setMap = (name: string, value: string): Promise<unknown> =>
    api.patch(configMaps, ref(name), 'merge', { data: setOf(value) }, signal);
  const setSecret = (name: string, value: string): Promise<unknown> =>
    api.patch(secrets, ref(name), 'merge', { data: encodedSetOf(value) }, signal);

  /** A ConfigMap and a Secret of one name, and a pod of one script that mounts both. */
  async function makePod(name: string, script: string, value: string): Promise<void> {
    const volumes: PodSpec['volumes'] = [
      { name: 'map', configMap: { name } },
      { name: 'secret', secret: { secretName: name } },
    ];
    const volumeMounts = [mount('map'), mount('secret')];
    await applyObjects(
      lab,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: setOf(value) },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: encodedSetOf(value) },
      podOf(name, [shell(script, { volumeMounts })], { volumes }),
    );
    await awaitReady(lab, name);
  }

  it('show every change, in order, soon after it was made', async () => {
    await makePod('watcher', watcher, 'at-first');
    const log = Follower.kubectl(lab, 'logs', '-f', 'watcher');
    const took: number[] = [];
    try {
      await log.until('secret at-first');
      for (let n = 1; n <= samples; n++) {
        const beforeMs = await uptimeMs();
        await Promise.all([setMap('watcher', `value-${n}`), setSecret('watcher', `value-${n}`)]);
        for (const volume of ['map', 'secret']) {
          const [, seconds] = await log.until(new RegExp(`^${volume} value-${n} ([\\d.]+)$`, 'm'));
          took.push(Number(seconds) * 1000 - beforeMs);
        }
      }
    } finally {
      await log.close();
    }
    for (const volume of ['map', 'secret']) {
      const seen = [...log.output.matchAll(new RegExp(`^${volume} (\\S+)`, 'gm'))].map(([, value]) => value);
      expect(seen).toEqual(['at-first', ...Array.from({ length: samples }, (_, i) => `value-${i + 1}`)]);
    }
    took.sort((a, b) => a - b);
    const [median, worst] = [took[Math.floor(took.length / 2)], took.at(-1)].map((ms) => Math.round(ms ?? 0));
    console.info(`a change was in the pod after ${median} ms (median of ${took.length}), ${worst} ms at the most`);
  });

  it(`never show a mixture of two sets, over ${updates} updates of each`, async () => {
    await makePod('reader', reader, '0;');
    await Promise.all(
      [setMap, setSecret].map(async (set) => {
        for (let n = 1; n <= updates; n++) await set('reader', `${n};`);
      }),
    );
    const verdict = await eventually('the verdict of the reader', patienceMs, async () => {
      const text = await lab.kubectl('logs', 'reader');
      return /^rounds=(\d+) sets=(\d+) gone=(\d+) bad=(\d+)$/m.exec(text) ?? undefined;
    });
    const [rounds, sets, , bad] = verdict.slice(1).map(Number);
    expect(await lab.kubectl('logs', 'reader')).not.toMatch(/MIXED|BACK/);
    expect(bad).toBe(0);
    expect(sets).toBeGreaterThan(20); // it did see them change
    expect(rounds).toBeGreaterThan(sets ?? 0);
    console.info(`${updates} updates of each volume: ${verdict[0]}`);
  });

  it('follow what comes, goes and is edited, and leave alone what never changes', async () => {
    const fixed = (value: string): object => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'fixed' },
      immutable: true,
      data: setOf(value),
    });
    const volumes: PodSpec['volumes'] = [
      { name: 'later', configMap: { name: 'later', optional: true } },
      { name: 'fixed', configMap: { name: 'fixed' } },
      { name: 'edited', configMap: { name: 'edited', items: [{ key: 'a', path: 'x/y' }] } },
      {
        name: 'labels',
        downwardAPI: { items: [{ path: 'tier', fieldRef: { fieldPath: "metadata.labels['tier']" } }] },
      },
    ];
    const volumeMounts = volumes.map(({ name }) => mount(name));
    const part = { name: 'part', mountPath: '/part', subPath: 'x/y' };
    const script = `cat /part; echo; ${untilAsked}`;
    const pod: Pod = podOf(
      'follower',
      [shell(script, { volumeMounts: [...volumeMounts, { ...part, name: 'edited' }] })],
      { volumes },
    );
    pod.metadata.labels = { tier: 'front' };
    const edited = (value: string): object => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'edited' },
      data: setOf(value),
    });
    await applyObjects(lab, fixed('old'), edited('one'), pod);
    await awaitReady(lab, 'follower');
    const shows = (path: string, want: string): Promise<true> =>
      eventually(`"${want}" in ${path}`, patienceMs, async () =>
        (await inPod(lab, 'follower', `cat ${path} 2>&1 || true`)) === want ? true : undefined,
      );
    const list = (): Promise<string> => inPod(lab, 'follower', 'ls /v/later');
    expect(await list()).toBe('');

    await lab.kubectl('delete', 'configmap', 'fixed');
    await applyObjects(lab, fixed('new'));
    await applyObjects(lab, edited('two'), { ...edited('here'), metadata: { name: 'later' } });
    await shows('/v/later/a', 'here');
    await shows('/v/edited/x/y', 'two');
    await lab.kubectl('label', 'pod', 'follower', 'tier=back', '--overwrite');
    await shows('/v/labels/tier', 'back');
    await lab.kubectl('delete', 'configmap', 'later');
    await eventually('the files of the object that went to go', patienceMs, async () =>
      (await list()) === '' ? true : undefined,
    );
    // all of which was later than the end of the immutable one, and than the edit of which a file was mounted
    expect(await inPod(lab, 'follower', 'cat /v/fixed/a /part')).toBe('oldone');

    await inPod(lab, 'follower', 'kill -TERM 1');
    await awaitPod(lab, 'follower', 'restart', (now) => containerOf(now)?.restartCount === 1);
    await awaitReady(lab, 'follower');
    await eventually('the edited file in the next instance', patienceMs, async () =>
      (await lab.kubectl('logs', 'follower')) === 'two\n' ? true : undefined,
    );
  });
});
