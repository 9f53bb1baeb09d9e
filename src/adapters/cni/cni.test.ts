import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { isDeadline, isNotFound } from '../../base/errors.ts';
import { Cni, conflistPaths, pluginNames } from './cni.ts';
import { type CniAttachment, CniError, type CniNetworkList } from './cni-types.ts';
import { parseConflist } from './parse-conflist.ts';

const signal = new AbortController().signal;
const attachment: CniAttachment = {
  containerId: 'box1',
  netns: '/run/netns/box1',
  ifName: 'eth0',
  args: [
    ['IgnoreUnknown', '1'],
    ['K8S_POD_NAME', 'web'],
  ],
  runtimeConfig: { portMappings: [{ hostPort: 80 }], bandwidth: { ingressRate: 1 } },
};
const listOf = (plugins: object[], more: object = {}): CniNetworkList =>
  parseConflist(JSON.stringify({ cniVersion: '1.0.0', name: 'pods', plugins, ...more }), '/etc/cni/net.d/10.conflist');

describe('parseConflist', () => {
  it.each([
    { name: 'no JSON', text: '{', want: 'it is no JSON' },
    { name: 'no object', text: '[]', want: 'it is not an object' },
    { name: 'no name', text: '{"cniVersion":"1.0.0","plugins":[{"type":"a"}]}', want: '"name" is missing' },
    {
      name: 'a name that is a path',
      text: '{"cniVersion":"1.0.0","name":"../x","plugins":[{"type":"a"}]}',
      want: '"name" must start with',
    },
    { name: 'no version', text: '{"name":"n","plugins":[{"type":"a"}]}', want: '"cniVersion" is missing' },
    {
      name: 'a version to come',
      text: '{"cniVersion":"2.0.0","name":"n","plugins":[{"type":"a"}]}',
      want: '"2.0.0" is not served',
    },
    { name: 'no plugins', text: '{"cniVersion":"1.0.0","name":"n","plugins":[]}', want: '"plugins" must be a list' },
    {
      name: 'a plugin without a type',
      text: '{"cniVersion":"1.0.0","name":"n","plugins":[{}]}',
      want: '"type" of plugins[0] is missing',
    },
    {
      name: 'a type that is a path',
      text: '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"/bin/sh"}]}',
      want: 'without a path: "/bin/sh"',
    },
    {
      name: 'an ipam without a type',
      text: '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a","ipam":{"x":1}}]}',
      want: '"ipam" of plugins[0]',
    },
    {
      name: 'capabilities that are no claims',
      text: '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a","capabilities":{"x":1}}]}',
      want: '"capabilities" of plugins[0]',
    },
  ])('refuses $name by name', ({ text, want }) => {
    expect(() => parseConflist(text, 'x.conflist')).toThrow(want);
  });

  it('takes the highest version that both know', () => {
    expect(listOf([{ type: 'a' }], { cniVersion: '0.4.0', cniVersions: ['0.4.0', '1.0.0', '9.0.0'] }).cniVersion).toBe(
      '1.0.0',
    );
  });

  it('takes a single plugin’s file as a list of one', () => {
    const list = parseConflist('{"cniVersion":"0.3.1","name":"n","type":"bridge"}', 'x.conf');
    expect(list.plugins.map(({ type }) => type)).toEqual(['bridge']);
  });

  it('knows the binaries behind a list', () => {
    expect(pluginNames(listOf([{ type: 'bridge', ipam: { type: 'host-local' } }, { type: 'portmap' }]))).toEqual([
      'bridge',
      'host-local',
      'portmap',
    ]);
  });
});

describe('Cni, with plugins that write down their calls', () => {
  let directory: string;
  let cni: Cni;
  const plugin = (name: string, script: string): Promise<void> =>
    writeFile(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  /** Writes environment and input to a file, then goes on with `script`. */
  const recorder = (name: string, script: string): Promise<void> =>
    plugin(
      name,
      `{ echo "$CNI_COMMAND ${name} $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS $CNI_PATH"; cat; echo; } >> ${directory}/calls\n${script}`,
    );
  const calls = async (): Promise<string[]> => {
    return (await readFile(join(directory, 'calls'), 'utf8')).trim().split('\n');
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'gantry-cni-'));
    cni = new Cni({ binDirs: ['/nowhere', directory], timeoutMs: 5000, clock: systemClock });
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it('chains: each gets its own part, its capabilities and the result before', async () => {
    await recorder('first', 'echo \'{"cniVersion":"1.0.0","ips":[{"address":"10.1.0.2/24","gateway":"10.1.0.1"}]}\'');
    await recorder(
      'second',
      'echo \'{"interfaces":[{"name":"eth0","sandbox":"/run/netns/box1"}],"ips":[{"address":"10.1.0.2/24"}]}\'',
    );
    const list = listOf([
      { type: 'first', mtu: 1400 },
      { type: 'second', capabilities: { portMappings: true, bandwidth: false } },
    ]);
    const result = await cni.add(list, attachment, signal);
    expect(result).toMatchObject({
      cniVersion: '1.0.0',
      interfaces: [{ name: 'eth0' }],
      ips: [{ address: '10.1.0.2/24', gateway: undefined }],
    });
    const [line1, input1 = '', line2, input2 = ''] = await calls();
    expect(line1).toBe(`ADD first box1 /run/netns/box1 eth0 IgnoreUnknown=1;K8S_POD_NAME=web /nowhere:${directory}`);
    expect(JSON.parse(input1)).toEqual({ type: 'first', mtu: 1400, name: 'pods', cniVersion: '1.0.0' });
    expect(line2).toMatch(/^ADD second /);
    expect(JSON.parse(input2)).toEqual({
      type: 'second',
      name: 'pods',
      cniVersion: '1.0.0',
      runtimeConfig: { portMappings: [{ hostPort: 80 }] },
      prevResult: { cniVersion: '1.0.0', ips: [{ address: '10.1.0.2/24', gateway: '10.1.0.1' }] },
    });
  });

  it('detaches in reverse, every plugin with the final result', async () => {
    await recorder('first', 'echo {}');
    await recorder('second', 'echo \'{"ips":[]}\'');
    const list = listOf([{ type: 'first' }, { type: 'second' }]);
    const result = await cni.add(list, attachment, signal);
    await cni.check(list, attachment, result, signal);
    await cni.del(list, { ...attachment, netns: '' }, result, signal);
    const all = await calls();
    expect(all.filter((line) => /^[A-Z]+ /.test(line)).map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      'ADD first',
      'ADD second',
      'CHECK first',
      'CHECK second',
      'DEL second',
      'DEL first',
    ]);
    expect(JSON.parse(all.at(-1) ?? '')).toMatchObject({ prevResult: { ips: [] } });
  });

  it('has no CHECK where the list or the version has none', async () => {
    await recorder('first', 'echo {}');
    const off = listOf([{ type: 'first' }], { disableCheck: true });
    const result = await cni.add(off, attachment, signal);
    await cni.check(off, attachment, result, signal);
    await cni.check(listOf([{ type: 'first' }], { cniVersion: '0.3.1' }), attachment, result, signal);
    expect((await calls()).filter((line) => line.startsWith('CHECK'))).toEqual([]);
  });

  it.each([
    {
      name: 'the protocol’s error, with code and details',
      script: 'echo \'{"cniVersion":"1.0.0","code":11,"msg":"later","details":"pool is busy"}\'; exit 1',
      want: {
        plugin: 'sad',
        code: 11,
        details: 'pool is busy',
        message: 'plugin "sad" ADD: later: pool is busy (try again later)',
      },
    },
    {
      name: 'a code of the plugin’s own',
      script: 'echo \'{"code":100,"msg":"no IP addresses available"}\'; exit 1',
      want: { code: 100, message: 'plugin "sad" ADD: no IP addresses available' },
    },
    {
      name: 'words on the error stream only',
      script: 'echo "panic: oh" >&2; exit 2',
      want: { code: undefined, message: 'plugin "sad" ADD exited with code 2: panic: oh' },
    },
    {
      name: 'nothing at all',
      script: 'exit 3',
      want: { message: 'plugin "sad" ADD exited with code 3: it said nothing' },
    },
    {
      name: 'a result that is none',
      script: 'echo hello',
      want: { message: 'plugin "sad" answered no JSON result: hello' },
    },
  ])('tells a failure: $name', async ({ script, want }) => {
    await plugin('sad', script);
    const failure = await cni.add(listOf([{ type: 'sad' }]), attachment, signal).catch((err: unknown) => err);
    expect(failure).toBeInstanceOf(CniError);
    expect(failure).toMatchObject(want);
  });

  it('names a binary that is missing and where it was looked for', async () => {
    const failure = await cni.add(listOf([{ type: 'ghost' }]), attachment, signal).catch((err: unknown) => err);
    expect(isNotFound(failure)).toBe(true);
    expect(String(failure)).toContain(`"ghost" in /nowhere, ${directory}`);
  });

  it('kills a plugin that hangs, and what it started', async () => {
    await plugin('slow', `sleep 60 & echo $! > ${directory}/child; wait`);
    const quick = new Cni({ binDirs: [directory], timeoutMs: 300, clock: systemClock });
    const failure = await quick.add(listOf([{ type: 'slow' }]), attachment, signal).catch((err: unknown) => err);
    expect(isDeadline(failure)).toBe(true);
    const pid = Number(await readFile(join(directory, 'child'), 'utf8'));
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  it('ends at once when the caller stops waiting', async () => {
    await plugin('slow', 'sleep 60');
    const stop = new AbortController();
    const adding = cni.add(listOf([{ type: 'slow' }]), attachment, stop.signal);
    stop.abort(new Error('enough'));
    await expect(adding).rejects.toThrow('enough');
  });

  it('asks for versions', async () => {
    await plugin('old', 'echo \'{"cniVersion":"1.0.0","supportedVersions":["0.3.1","0.4.0"]}\'');
    expect(await cni.versions('old', signal)).toEqual(['0.3.1', '0.4.0']);
  });

  it('finds configuration files in the order of their names', async () => {
    for (const name of ['20-b.conf', '10-a.conflist', 'README', '05-c.json'])
      await writeFile(join(directory, name), '');
    expect(await conflistPaths(directory)).toEqual(
      ['05-c.json', '10-a.conflist', '20-b.conf'].map((name) => join(directory, name)),
    );
    expect(await conflistPaths(join(directory, 'none'))).toEqual([]);
  });
});

/** A process that has ended but that nobody has collected yet (state Z) is not alive. */
async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !/\) Z /.test(stat);
}
