/** Pods from manifests: they run without the API, follow their files, and show themselves as mirrors. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Container } from '../../src/objects/generated/core-v1.ts';
import { type KubeletFixture, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

beforeEach(async () => {
  t = await openFixture();
});
afterEach(async () => {
  await t.close();
});

const manifest = (name: string, container: Partial<Container> = {}): unknown => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { app: name } },
  spec: { containers: [webContainer(container)], terminationGracePeriodSeconds: 5 },
});
const running = (name: string) => t.cri.containersOfPod(name).filter(({ state }) => state === 'running');

describe('a static pod', () => {
  it('runs without any API', async () => {
    await t.writeManifest('web.json', manifest('web'));
    await t.start({ api: 'none' });
    await t.until('it to run', () => running(`web-${nodeName}`).length === 1);
    await rm(join(t.manifests, 'web.json'));
    await t.until('it to end', () => t.cri.sandboxesOfPod(`web-${nodeName}`).length === 0);
  });

  it('has a mirror that comes back when somebody deletes it, and the pod runs on', async () => {
    await t.writeManifest('web.json', manifest('web'));
    await t.start();
    const mirror = await t.untilReady(`web-${nodeName}`);
    const uid = mirror.metadata.annotations?.['kubernetes.io/config.hash'];
    expect(t.cri.sandboxesOfPod(`web-${nodeName}`)[0]?.config.metadata?.uid).toBe(uid);
    expect(mirror.metadata).toMatchObject({
      labels: { app: 'web' },
      annotations: { 'kubernetes.io/config.mirror': uid, 'kubernetes.io/config.source': 'file' },
    });
    t.cri.clearCalls();
    t.api.deletePod(`web-${nodeName}`, 0);
    await t.until('another mirror', () => {
      const other = t.api.pod(`web-${nodeName}`);
      return other !== undefined && other.metadata.uid !== mirror.metadata.uid && other.status?.phase === 'Running';
    });
    t.api.deletePod(`web-${nodeName}`, 30);
    await t.until('a mirror that nobody deletes', () => {
      const other = t.api.pod(`web-${nodeName}`);
      return other !== undefined && other.metadata.deletionTimestamp === undefined;
    });
    expect(t.cri.callsOf('StopContainer')).toEqual([]);
  });

  it('whose file is removed ends, and its mirror goes', async () => {
    await t.writeManifest('web.json', manifest('web'));
    await t.start();
    await t.untilReady(`web-${nodeName}`);
    await rm(join(t.manifests, 'web.json'));
    await t.untilGone(`web-${nodeName}`);
    await t.until('its sandbox to be collected', () => t.cri.sandboxesOfPod(`web-${nodeName}`).length === 0);
  });

  it('whose file is edited ends before the new one starts', async () => {
    await t.writeManifest('web.json', manifest('web'));
    await t.start();
    const before = await t.untilReady(`web-${nodeName}`);
    const hang = t.cri.hang('StopContainer');
    await t.writeManifest('web.json', manifest('web', { env: [{ name: 'A', value: '2' }] }));
    await hang.whenHung;
    await t.clock.pass(5000);
    expect(t.cri.callsOf('RunPodSandbox')).toHaveLength(1);
    hang.release();
    await t.until('the new one to run', () =>
      running(`web-${nodeName}`).some(({ config }) => config.envs.some(({ key }) => key === 'A')),
    );
    const sandboxes = t.cri.callsOf('RunPodSandbox').map(({ atMs }) => atMs);
    const stopped = t.cri.callsOf('StopPodSandbox').map(({ atMs }) => atMs);
    expect(sandboxes[1]).toBeGreaterThanOrEqual(stopped[0] ?? Infinity);
    await t.until('its mirror', () => {
      const hash = t.api.pod(`web-${nodeName}`)?.metadata.annotations?.['kubernetes.io/config.mirror'];
      return hash !== undefined && hash !== before.metadata.annotations?.['kubernetes.io/config.mirror'];
    });
  });

  it('that is over, and whose file is edited while the API is away, starts as a new one', async () => {
    t.cri.behave({ name: 'web' }, { exits: { afterMs: 50, code: 0 } });
    const once = (container: Partial<Container> = {}): object => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web' },
      spec: { containers: [webContainer(container)], restartPolicy: 'Never' },
    });
    await t.writeManifest('web.json', once());
    await t.start();
    const name = `web-${nodeName}`;
    await t.until('its end', () => t.api.pod(name)?.status?.phase === 'Succeeded');
    t.api.setAway(true);
    await t.writeManifest('web.json', once({ env: [{ name: 'A', value: '2' }] }));
    const started = await t.until('the new one', () => t.cri.callsOf('CreateContainer')[1]);
    expect(started.request).toMatchObject({ config: { metadata: { attempt: 0 } } });
    t.api.setAway(false);
    await t.until('its mirror', () => {
      const { metadata, status } = t.api.pod(name) ?? {};
      const uid = t.cri.sandboxesOfPod(name).at(-1)?.config.metadata?.uid;
      const isNew = uid !== undefined && metadata?.annotations?.['kubernetes.io/config.mirror'] === uid;
      return isNew && status?.phase === 'Succeeded' && status.containerStatuses?.[0]?.restartCount === 0;
    });
  });

  it('whose file is broken is named with its problem, and takes no other with it', async () => {
    const lines: Array<Record<string, unknown>> = [];
    const log = pino(
      new Writable({ write: (line: Buffer, _, done) => done(void lines.push(JSON.parse(line.toString()))) }),
    );
    await t.writeManifest(
      'bad.yaml',
      'apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [{name: A_, image: x}]}\n',
    );
    await t.writeManifest(
      'secret.yaml',
      'apiVersion: v1\nkind: Pod\nmetadata: {name: s}\nspec: {serviceAccountName: x, containers: [{name: a, image: x}]}\n',
    );
    await t.writeManifest('web.json', manifest('web'));
    await t.start({ log });
    await t.untilReady(`web-${nodeName}`);
    const said = lines.filter(({ msg }) => msg === 'cannot use a static pod manifest');
    expect(said.map(({ path, problems }) => [path, problems])).toEqual([
      [join(t.manifests, 'bad.yaml'), [expect.stringMatching(/^spec\.containers\[0\]\.name: Invalid value: "A_"/)]],
      [join(t.manifests, 'secret.yaml'), ['static pods may not reference serviceaccounts']],
    ]);
    // broken while it runs: what ran goes on
    await t.writeManifest('web.json', '{');
    await t.until('the broken file to be named', () =>
      lines.some(
        ({ path, msg }) => msg === 'cannot use a static pod manifest' && path === join(t.manifests, 'web.json'),
      ),
    );
    await t.clock.pass(3000);
    expect(running(`web-${nodeName}`)).toHaveLength(1);
  });
});
