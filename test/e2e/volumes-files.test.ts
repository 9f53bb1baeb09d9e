/**
 * What containers find in volumes made from API objects, in memory, on disk and of the host: content, modes, owners,
 * links and mount options, read from inside, for every combination of user and group that changes them.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseMountinfo } from '../../src/adapters/mounts/mountinfo.ts';
import { kernelHasNoSwap } from '../../src/adapters/mounts/mounts.ts';
import type { Pod, PodSpec, VolumeMount } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { useLab } from './support/lab.ts';
import { applyObjects, awaitPod, awaitReady, containerOf, inPod, podOf, shell, untilAsked } from './support/pods.ts';

const group = 10_000;
const user = 1000;
const combinations = [
  { name: 'plain', security: {}, user: 0, group: 0 },
  { name: 'user', security: { runAsUser: user }, user, group: 0 },
  { name: 'group', security: { fsGroup: group }, user: 0, group },
  { name: 'both', security: { runAsUser: user, fsGroup: group }, user, group },
] as const;

/** Of everything but tokens and the host's: mode without and with a group; root owns it, and the group, if there is one. */
const modes: Record<string, readonly [without: string, withGroup: string]> = {
  '/v/disk': ['777', '2777'],
  '/v/disk-part': ['777', '2777'], // a sub path is made with the mode of its volume
  '/v/mem': ['1777', '3777'],
  '/v/mem-part': ['1777', '3777'],
  '/v/config': ['777', '2777'],
  '/v/config/..data/': ['755', '2755'],
  '/v/config/a': ['644', '644'],
  '/v/config/bytes': ['644', '644'],
  '/v/items/deep': ['755', '2755'],
  '/v/items/deep/er': ['600', '640'],
  '/v/items/open': ['666', '666'],
  '/v/secret': ['1777', '3777'],
  '/v/secret/..data/': ['755', '2755'],
  '/v/secret/password': ['400', '440'],
  '/v/again/password': ['644', '644'],
  '/v/fields': ['1777', '3777'],
  '/v/fields/labels': ['644', '644'],
  '/v/all': ['1777', '3777'],
  '/v/all/from-config': ['644', '644'],
  '/v/all/password': ['644', '644'],
  '/v/all/me': ['440', '440'],
  '/v/file': ['644', '644'],
  '/v/nest': ['777', '2777'],
};

/** By the container's user and the pod's group: whose a token is, and who may read it. */
const tokens: Record<(typeof combinations)[number]['name'], string> = {
  plain: '644 0:0',
  user: `600 ${user}:0`,
  group: `640 0:${group}`,
  both: `640 ${user}:${group}`,
};

const hostModes = { '/v/host': '755 0:0', '/v/host/kept': '600 0:0' };

const limit = ['10Mi', 'size=10240k'] as const;
const noSwap =
  kernelHasNoSwap(release()) && /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));

/** How each is mounted: for writing or not, in memory or not, and whether later mounts of the host come through. */
const mounted: Record<string, { access: 'rw' | 'ro'; memory?: true; follows?: true; options?: readonly string[] }> = {
  '/v/disk': { access: 'rw' },
  '/v/disk-part': { access: 'rw' },
  '/v/read': { access: 'ro' },
  '/v/follow': { access: 'rw', follows: true },
  '/v/mem': { access: 'rw', memory: true, options: [limit[1]] },
  '/v/mem-part': { access: 'rw', memory: true, options: [limit[1]] },
  '/v/config': { access: 'ro' },
  '/v/secret': { access: 'ro', memory: true },
  '/v/fields': { access: 'ro', memory: true },
  '/v/all': { access: 'ro', memory: true },
  '/v/file': { access: 'ro' },
  '/v/nest': { access: 'ro' },
  '/v/nest/inner': { access: 'rw' },
  '/v/host': { access: 'rw' },
  '/etc/hosts': { access: 'rw' },
  '/dev/termination-log': { access: 'rw' },
};

const bytes = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7) % 256));
const at = (name: string, path = name, more: Partial<VolumeMount> = {}): VolumeMount => ({
  name,
  mountPath: `/v/${path}`,
  ...more,
});

const volumeMounts = [
  at('disk'),
  at('disk', 'disk-part', { subPath: 'made/here' }),
  at('disk', 'read', { readOnly: true }),
  at('disk', 'follow', { mountPropagation: 'HostToContainer' }),
  at('mem'),
  at('mem', 'mem-part', { subPath: 'part' }),
  at('config'),
  at('items'),
  at('secret'),
  at('again'),
  at('fields'),
  at('all'),
  at('config', 'file', { subPath: 'a' }),
  at('nest'),
  at('disk', 'nest/inner'),
  at('host'),
];

const volumesOf = (hostPath: string): PodSpec['volumes'] => [
  { name: 'disk', emptyDir: {} },
  { name: 'mem', emptyDir: { medium: 'Memory', sizeLimit: limit[0] } },
  { name: 'config', configMap: { name: 'files' } },
  {
    name: 'items',
    configMap: {
      name: 'files',
      items: [
        { key: 'b', path: 'deep/er', mode: 0o600 },
        { key: 'a', path: 'open', mode: 0o666 },
      ],
    },
  },
  { name: 'secret', secret: { secretName: 'hidden', defaultMode: 0o400 } },
  { name: 'again', secret: { secretName: 'hidden' } },
  { name: 'fields', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
  {
    name: 'all',
    projected: {
      sources: [
        { configMap: { name: 'files', items: [{ key: 'a', path: 'from-config' }] } },
        { secret: { name: 'hidden' } },
        { downwardAPI: { items: [{ path: 'me', fieldRef: { fieldPath: 'metadata.name' }, mode: 0o440 }] } },
        { serviceAccountToken: { path: 'token', expirationSeconds: 600 } },
      ],
    },
  },
  { name: 'nest', configMap: { name: 'files' } },
  { name: 'nobodys', configMap: { name: 'not-there' } }, // nobody mounts it, so nobody misses it
  { name: 'host', hostPath: { path: hostPath, type: 'Directory' } },
];

describeAsRoot('the volumes of a pod', () => {
  const lab = useLab();
  const hostPath = (): string => join(lab.directory, 'on-the-host');

  beforeAll(async () => {
    mkdirSync(hostPath(), { mode: 0o755 });
    writeFileSync(join(hostPath(), 'kept'), 'of the host', { mode: 0o600 });
    const files = { a: 'one', b: 'two' };
    const configMap = { metadata: { name: 'files' }, data: files, binaryData: { bytes: bytes.toString('base64') } };
    const pods = combinations.map(({ name, security }): Pod => {
      const pod = podOf(name, [shell(untilAsked, { volumeMounts })], {
        securityContext: security,
        volumes: volumesOf(hostPath()),
      });
      pod.metadata.labels = { tier: 'front', quoted: 'x' };
      return pod;
    });
    await applyObjects(
      lab,
      { apiVersion: 'v1', kind: 'ConfigMap', ...configMap },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'hidden' }, stringData: { password: 'pw' } },
      ...pods,
    );
    await Promise.all(combinations.map(({ name }) => awaitReady(lab, name)));
  }, 120_000);

  /** What a command says of each path: `path answer`. */
  const answers = async (pod: string, paths: readonly string[], command: string): Promise<Record<string, string>> => {
    const text = await inPod(lab, pod, `for path in ${paths.join(' ')}; do echo "$path $(${command})"; done`);
    return Object.fromEntries(
      text
        .trimEnd()
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]),
    );
  };

  describe.each(combinations)('of the pod "$name"', ({ name, group: gid, user: uid }) => {
    it('have the modes and owners of the table', async () => {
      const paths = [...Object.keys(modes), '/v/all/token', ...Object.keys(hostModes)];
      const want = {
        ...Object.fromEntries(
          Object.entries(modes).map(([path, [without, withGroup]]) => [
            path,
            `${gid === 0 ? without : withGroup} 0:${gid}`,
          ]),
        ),
        '/v/all/token': tokens[name],
        ...hostModes,
      };
      expect(await answers(name, paths, 'stat -L -c "%a %u:%g" $path')).toEqual(want);
    });

    it('show what the objects say to those who may read it', async () => {
      // with neither, what root alone may read is not read: an item of mode 0600, and the secret
      const mayReadAll = uid === 0 || gid !== 0;
      const cat = 'cat config/a config/b items/deep/er items/open again/password all/from-config all/me file';
      const rest =
        'cat fields/labels; echo; sha256sum < config/bytes; cat secret/password 2>&1; echo; ls nest; ls -d nest/inner';
      const read = await inPod(lab, name, `cd /v; ${cat}; echo; ${rest}; wc -c < all/token`);
      const lines = read.split('\n').filter((line) => line !== '');
      expect(lines[0]).toBe(`onetwo${mayReadAll ? 'two' : ''}onepwone${name}one`);
      expect(lines.slice(1, 3)).toEqual(['quoted="x"', 'tier="front"']);
      expect(lines[3]).toBe(`${createHash('sha256').update(bytes).digest('hex')}  -`);
      expect(lines[4]).toBe(mayReadAll ? 'pw' : "cat: can't open 'secret/password': Permission denied");
      expect(lines.slice(5, 10)).toEqual(['a', 'b', 'bytes', 'inner', 'nest/inner']);
      expect(Number(lines[10])).toBeGreaterThan(100);
    });
  });

  it('are written through links, one for each name', async () => {
    const links = await inPod(
      lab,
      'plain',
      'cd /v; for f in config/* items/* all/*; do echo "$f $(readlink $f)"; done',
    );
    expect(links.trimEnd().split('\n')).toEqual([
      'config/a ..data/a',
      'config/b ..data/b',
      'config/bytes ..data/bytes',
      'items/deep ..data/deep',
      'items/open ..data/open',
      'all/from-config ..data/from-config',
      'all/me ..data/me',
      'all/password ..data/password',
      'all/token ..data/token',
    ]);
    const data = await inPod(lab, 'plain', 'cd /v/config; ls -A | grep "^[.][.]"; readlink ..data; ls ..data');
    expect(data).toMatch(/^(\.\.\d{4}(?:_\d\d){5}\.\d+)\n\.\.data\n\1\na\nb\nbytes\n$/);
    expect(await inPod(lab, 'both', 'stat -c "%u:%g" /v/all/token')).toBe(`${user}:${group}\n`); // the link itself
  });

  it('are mounted as the table says', async () => {
    const entries = parseMountinfo(await inPod(lab, 'plain', 'cat /proc/self/mountinfo'));
    for (const [target, want] of Object.entries(mounted)) {
      const entry = entries.find((one) => one.target === target);
      const is = {
        access: entry?.options.find((option) => option === 'rw' || option === 'ro'),
        memory: entry?.fsType === 'tmpfs',
        follows: entry?.propagation.some((tag) => tag.startsWith('master:')),
        shares: entry?.propagation.some((tag) => tag.startsWith('shared:')),
      };
      const { access, memory = false, follows = false } = want;
      expect({ target, ...is }).toEqual({ target, access, memory, follows, shares: false });
      expect(entry?.superOptions).toEqual(expect.arrayContaining([...(want.options ?? [])]));
      if (memory) {
        // also without a limit of its own: what the node has
        expect(entry?.superOptions.some((option) => option.startsWith('size='))).toBe(true);
        expect(entry?.superOptions.includes('noswap')).toBe(noSwap);
      }
    }
    expect(await inPod(lab, 'plain', 'df -k /v/mem | tail -1')).toMatch(/^tmpfs\s+10240\s+/);
  });

  it('keep what containers write: modes as asked, the group of the volume, nothing in what is read-only', async () => {
    const write =
      'for v in disk mem; do for m in 644 666 777; do echo x > /v/$v/$m; chmod $m /v/$v/$m; done; (umask 007; echo y > /v/$v/new); done';
    const list = 'cd /v; stat -c "%n %a %u:%g" disk/??? mem/??? | sort';
    for (const { name, user: uid, group: gid } of combinations) {
      const written = await inPod(lab, name, `${write}; ${list}`);
      const want = ['disk', 'mem'].flatMap((volume) => [
        `${volume}/644 644 ${uid}:${gid}`,
        `${volume}/666 666 ${uid}:${gid}`,
        `${volume}/777 777 ${uid}:${gid}`,
        `${volume}/new 660 ${uid}:${gid}`,
      ]);
      expect(written.trimEnd().split('\n')).toEqual(want);
      const refused = await inPod(
        lab,
        name,
        'for d in config secret fields all read nest; do touch /v/$d/x 2>&1; done; cat /v/read/644 /v/follow/644',
      );
      expect(refused.match(/Read-only file system/g)).toHaveLength(6);
      expect(refused.endsWith('x\nx\n')).toBe(true); // the same volume, mounted twice more
    }
    expect(statSync(join(hostPath(), 'kept')).mode & 0o7777).toBe(0o600);
  });

  it('say what this runtime cannot mount: an image', async () => {
    const volumes = [{ name: 'pic', image: { reference: shell(untilAsked).image, pullPolicy: 'Never' } }];
    const pod = podOf('pictured', [shell(untilAsked, { volumeMounts: [at('pic')] })], { volumes });
    await applyObjects(lab, pod);
    const fits = (now: Pod): boolean => containerOf(now)?.state?.waiting?.reason === 'CreateContainerError';
    const waiting = containerOf(await awaitPod(lab, 'pictured', 'refusal', fits))?.state?.waiting;
    expect(waiting?.message).toMatch(
      /failed to mkdir "": .* \(the runtime, containerd \S+, cannot mount images: it would have to for volume "pic"\)$/,
    );
  });
});
