/**
 * Pods that try to reach files of the node through their volumes, and volumes that cannot be had: each is refused in
 * upstream's words, and nothing outside the volume is read, made or changed, which a tree beside them is witness to.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { lstat, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Container, Pod, PodSpec } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import {
  applyObjects,
  awaitEvent,
  awaitGone,
  awaitPod,
  awaitReady,
  containerOf,
  getPod,
  inPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

const victims = 16;
const configError = 'CreateContainerConfigError';

/** Everything about a tree that somebody could have changed. */
async function pictureOf(directory: string): Promise<string[]> {
  const names = await readdir(directory, { recursive: true });
  return await Promise.all(
    ['.', ...names].toSorted().map(async (name) => {
      const path = join(directory, name);
      const { mode, uid, gid, size, mtimeMs, ctimeMs, nlink } = await lstat(path);
      const content = name.endsWith('.txt') ? await readFile(path) : '';
      const sum = createHash('sha256').update(content).digest('hex');
      return [name, mode.toString(8), uid, gid, size, mtimeMs, ctimeMs, nlink, sum].join(' ');
    }),
  );
}

describeAsRoot('pods that reach for more than their volumes', () => {
  const lab = useLab();
  let witness = '';
  let before: string[] = [];
  const noChange = async (): Promise<void> => expect(await pictureOf(witness)).toEqual(before);

  beforeAll(async () => {
    witness = join(lab.directory, 'witness');
    mkdirSync(join(witness, 'sub'), { recursive: true });
    writeFileSync(join(witness, 'secret.txt'), 'of the node');
    writeFileSync(join(witness, 'sub', 'deep.txt'), 'of the node, too');
    before = await pictureOf(witness);
  });
  afterAll(noChange);

  it('sub paths that lead out, through links or variables, are refused; one inside is not', async () => {
    const outer = (what: string, name: string): string =>
      `failed to ${what} for volumeMount "data" of container "${name}"`;
    const [prepare, create] = ['prepare subPath', 'create subPath directory'];
    const attempts: Record<string, { mount: { subPath?: string; subPathExpr?: string }; want: string }> = {
      out: { mount: { subPath: 'out' }, want: outer(prepare, 'out') },
      file: { mount: { subPath: 'out/secret.txt' }, want: outer(prepare, 'file') },
      made: { mount: { subPath: 'out/new' }, want: outer(create, 'made') },
      dangling: { mount: { subPath: 'dangling' }, want: outer(create, 'dangling') },
      beyond: { mount: { subPath: 'dangling/x' }, want: outer(create, 'beyond') },
      up: { mount: { subPath: 'up' }, want: outer(prepare, 'up') },
      'up-etc': { mount: { subPath: 'up/etc' }, want: outer(prepare, 'up-etc') },
      climb: {
        mount: { subPathExpr: '$(UP)/x' },
        want: "unable to provision SubPath `../x`: must not contain '..'",
      },
      absolute: {
        mount: { subPathExpr: '$(ETC)' },
        want: 'error SubPath `/etc` must not be an absolute path',
      },
      missing: { mount: { subPathExpr: '$(NONE)/$(EMPTY)' }, want: 'missing value for EMPTY, NONE' },
    };
    const env = [
      { name: 'UP', value: '..' },
      { name: 'ETC', value: '/etc' },
      { name: 'EMPTY', value: '' },
    ];
    const container = (name: string, mount: object): Container =>
      shell(`ls /m; ${untilAsked}`, { name, env, volumeMounts: [{ name: 'data', mountPath: '/m', ...mount }] });
    const plant = [
      `ln -s ${witness} /data/out`,
      `ln -s ${witness}/new /data/dangling`,
      `ln -s ${'../'.repeat(40)} /data/up`,
      'mkdir -p /data/ok/here',
      'ln -s ok/here /data/in',
    ];
    const pod = podOf(
      'escaping',
      [
        ...Object.entries(attempts).map(([name, { mount }]) => container(name, mount)),
        container('inside', { subPath: 'in' }),
      ],
      {
        volumes: [{ name: 'data', emptyDir: {} }],
        initContainers: [
          shell(plant.join('; '), { name: 'plant', volumeMounts: [{ name: 'data', mountPath: '/data' }] }),
        ],
      },
    );
    await applyObjects(lab, pod);
    const now = await awaitPod(lab, 'escaping', 'end of all tries', (one) =>
      [...Object.keys(attempts), 'inside'].every((name) => {
        const { waiting, running } = containerOf(one, name)?.state ?? {};
        return waiting?.reason === configError || running !== undefined;
      }),
    );
    const states = Object.keys(attempts).map((name) => [name, containerOf(now, name)?.state?.waiting]);
    expect(Object.fromEntries(states)).toEqual(
      Object.fromEntries(
        Object.entries(attempts).map(([name, { want }]) => [name, { reason: configError, message: want }]),
      ),
    );
    expect(containerOf(now, 'inside')?.state?.running).toBeDefined();
    for (const { want } of Object.values(attempts)) await awaitEvent(lab, 'escaping', 'Failed', `Error: ${want}`);
    await noChange();
    await lab.kubectl('delete', 'pod', 'escaping', '--wait=false');
    await awaitGone(lab, 'escaping');
  });

  it('a link that another container swaps in a loop leads nobody out', async () => {
    const swap = `cd /data; mkdir dir; ln -s ${witness} link; touch ready
      while :; do mv dir target; mv target dir; mv link target; mv target link; done`;
    // one that is bound says so inside its volume, and its end asks for the next try
    const mark = (name: string): string => `echo mine > /m/marked-by-${name}; ls /m; sleep 1`;
    const attacker = shell(swap, {
      name: 'attacker',
      volumeMounts: [{ name: 'data', mountPath: '/data' }],
      readinessProbe: { exec: { command: ['test', '-e', '/data/ready'] }, periodSeconds: 1 },
    });
    const names = Array.from({ length: victims }, (_, i) => `victim-${i}`);
    const pod = podOf(
      'racing',
      [
        attacker,
        ...names.map((name, i) =>
          shell(mark(name), {
            name,
            volumeMounts: [{ name: 'data', mountPath: '/m', subPath: i % 2 === 0 ? 'target' : 'target/made' }],
          }),
        ),
      ],
      { volumes: [{ name: 'data', emptyDir: {} }] },
    );
    await applyObjects(lab, pod);
    /** What became of a victim's tries so far. */
    const outcome = (one: Pod, name: string): string | undefined => {
      const status = containerOf(one, name);
      const { waiting, running } = status?.state ?? {};
      if (running !== undefined || (status?.restartCount ?? 0) > 0 || status?.lastState?.terminated) return 'bound';
      return waiting?.reason === configError ? waiting.message : undefined;
    };
    const all = await awaitPod(lab, 'racing', 'try of every victim', (one) =>
      names.every((name) => outcome(one, name) !== undefined),
    );
    for (const name of names) {
      expect(outcome(all, name)).toMatch(
        new RegExp(
          `^(bound|failed to (create subPath directory|prepare subPath) for volumeMount "data" of container "${name}")$`,
        ),
      );
    }
    await noChange();
    // the loop is still at it while all of it is taken down
    await lab.kubectl('delete', 'pod', 'racing', '--wait=false');
    await awaitGone(lab, 'racing');
    const { uid = '' } = all.metadata;
    await eventually('an end without remains', patienceMs, async () => {
      const mounts = await lab.onNode(0, 'sh', '-c', `grep ${uid} /proc/self/mountinfo || true`);
      const left = await lab.onNode(0, 'sh', '-c', `ls /var/lib/kubelet/pods | grep ${uid} || true`);
      return mounts === '' && left === '' ? true : undefined;
    });
    await noChange();
  });

  it('a volume that cannot be had names why, and its pod starts when it can', async () => {
    mkdirSync(join(lab.directory, 'host', 'dir'), { recursive: true });
    writeFileSync(join(lab.directory, 'host', 'file'), '');
    const at = (name: string): string => join(lab.directory, 'host', name);
    const host = (type: string, path: string): NonNullable<PodSpec['volumes']>[number] => ({
      name: 'v',
      hostPath: { type, path },
    });
    const config = (more: object): NonNullable<PodSpec['volumes']>[number] => ({
      name: 'v',
      configMap: { name: 'present', ...more },
    });
    const item = (path: string): object => ({ items: [{ key: 'a', path }] });
    const check = 'hostPath type check failed: ';
    const refusals: Record<string, { volume: NonNullable<PodSpec['volumes']>[number]; want: string }> = {
      directory: { volume: host('Directory', at('file')), want: `${check}${at('file')} is not a directory` },
      file: { volume: host('File', at('dir')), want: `${check}${at('dir')} is not a file` },
      socket: { volume: host('Socket', at('late')), want: `${check}${at('late')} is not a socket file` },
      character: { volume: host('CharDevice', at('file')), want: `${check}${at('file')} is not a character device` },
      block: { volume: host('BlockDevice', '/dev/null'), want: `${check}/dev/null is not a block device` },
      late: { volume: host('Directory', at('late')), want: `${check}${at('late')} is not a directory` },
      key: {
        volume: config({ items: [{ key: 'none', path: 'x' }] }),
        want: 'configmap references non-existent config key: none',
      },
      'secret-key': {
        volume: { name: 'v', secret: { secretName: 'present', items: [{ key: 'none', path: 'x' }] } },
        want: 'references non-existent secret key: none',
      },
      map: { volume: config({ name: 'absent' }), want: 'configmap "absent" not found' },
      secret: { volume: { name: 'v', secret: { secretName: 'absent' } }, want: 'secret "absent" not found' },
      long: {
        volume: config(item('x'.repeat(256))),
        want: 'invalid path: filenames must be less than or equal to 255 characters',
      },
    };
    await applyObjects(
      lab,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'present' }, data: { a: 'one' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'present' }, stringData: { a: 'one' } },
      ...Object.entries(refusals).map(([name, { volume }]) =>
        podOf(name, [shell(untilAsked, { volumeMounts: [{ name: 'v', mountPath: '/m' }] })], { volumes: [volume] }),
      ),
    );
    await Promise.all(
      Object.entries(refusals).map(async ([name, { want }]) => {
        const { message } = await awaitEvent(lab, name, 'FailedMount', want);
        expect(message).toBe(`MountVolume.SetUp failed for volume "v" : ${want}`);
        const pod = await getPod(lab, name);
        expect([pod.status?.phase, containerOf(pod)?.state?.waiting?.reason]).toEqual(['Pending', 'ContainerCreating']);
      }),
    );
    mkdirSync(at('late'));
    await applyObjects(
      lab,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'absent' }, data: { a: 'one' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'absent' }, stringData: { a: 'one' } },
    );
    for (const name of ['late', 'map', 'secret']) await awaitReady(lab, name);
  });

  it('names at their longest are served, longer ones and climbing paths are not', async () => {
    const [volume, key, file] = ['v'.repeat(63), 'k'.repeat(253), 'f'.repeat(255)];
    const deep = Array.from({ length: 30 }, () => 'd'.repeat(100)).join('/');
    const map = (name: string, oneKey: string): object => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name },
      data: { [oneKey]: 'one' },
    });
    const items = [
      { key, path: file },
      { key, path: `${deep}/x` },
    ];
    const longest = (name: string, itemsOf: object[] = items): Pod =>
      podOf(
        'longest',
        [
          shell(untilAsked, {
            volumeMounts: [
              { name, mountPath: '/m' },
              { name: 'all', mountPath: '/all' },
            ],
          }),
        ],
        {
          volumes: [
            { name, configMap: { name: 'longest', items: itemsOf } },
            { name: 'all', configMap: { name: 'longest' } },
          ],
        } as Partial<PodSpec>,
      );
    const refused = async (...objects: object[]): Promise<string> =>
      await applyObjects(lab, ...objects).then(
        () => 'taken',
        (err: unknown) => String(err),
      );
    expect(await refused(map('longer', `${key}k`))).toContain('must be no more than 253 characters');
    expect(await refused(map('climbing', '..'))).toContain('Invalid value: ".."');
    expect(await refused(longest(`${volume}v`))).toContain('must be no more than 63 characters');
    await applyObjects(lab, map('longest', key), longest(volume));
    await awaitReady(lab, 'longest');
    expect(await inPod(lab, 'longest', `cat /all/${key} /m/${file} /m/${deep}/x`)).toBe('oneoneone');
  });
});
