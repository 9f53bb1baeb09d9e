import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Host } from './host.ts';
import {
  defaultInterfaces,
  goArchitecture,
  parseCpuList,
  parseHugepageSize,
  parseMeminfo,
  parseOsRelease,
} from './parse-host.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'host-'));
});
afterEach(() => rm(root, { recursive: true }));

async function put(path: string, text: string): Promise<void> {
  await mkdir(join(root, path, '..'), { recursive: true });
  await writeFile(join(root, path), text);
}
const host = (): Host =>
  new Host({
    proc: join(root, 'proc'),
    sys: join(root, 'sys'),
    etc: join(root, 'etc'),
    usrLib: join(root, 'usr/lib'),
    varLib: join(root, 'var/lib'),
  });

describe('Host.facts', () => {
  it('reads a machine', async () => {
    await put('etc/machine-id', 'abc\n');
    await put('sys/class/dmi/id/product_uuid', 'UUID\n');
    await put('proc/sys/kernel/random/boot_id', 'boot\n');
    await put('proc/sys/kernel/osrelease', '6.1.0-9-amd64\n');
    await put('proc/sys/kernel/pid_max', '32768\n');
    await put('proc/sys/kernel/threads-max', '200000\n');
    await put('usr/lib/os-release', 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n');
    await put('proc/meminfo', 'MemTotal:       16384256 kB\nMemFree: 1 kB\nSwapTotal:      1024 kB\n');
    await put('sys/devices/system/cpu/online', '0-2,4\n');
    await put('sys/devices/system/cpu/cpu1/thermal_throttle/count', '0');
    await put('sys/devices/system/cpu/cpu0/topology/x', '0');
    await put('sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages', '0\n');
    await put('sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages', '3\n');
    await put('sys/module/apparmor/parameters/enabled', 'Y\n');
    await put('sys/fs/selinux/enforce', '0');
    expect(await host().facts()).toEqual({
      machineId: 'abc',
      bootId: 'boot',
      systemUuid: 'UUID',
      kernelVersion: '6.1.0-9-amd64',
      osImage: 'Debian GNU/Linux 12 (bookworm)',
      architecture: goArchitecture(process.arch),
      cpuCount: 4,
      memoryBytes: 16_384_256 * 1024,
      swapBytes: 1024 * 1024,
      hugepages: [
        { sizeBytes: 2 ** 21, pages: 3 },
        { sizeBytes: 2 ** 30, pages: 0 },
      ],
      pidMax: 32_768,
      isAppArmorEnabled: true,
      isSeLinuxEnabled: true,
      thermalThrottlePaths: ['/sys/devices/system/cpu/cpu1/thermal_throttle'],
    });
  });

  it('when it started, and how many processes it has', async () => {
    expect([await host().bootedMs(), await host().taskCount()]).toEqual([undefined, undefined]);
    await put('proc/stat', 'cpu 1 2\nbtime 1700000000\nprocesses 9\n');
    await put('proc/loadavg', '0.10 0.20 0.30 2/345 6789\n');
    expect([await host().bootedMs(), await host().taskCount()]).toEqual([1_700_000_000_000, 345]);
  });

  it('says which file lacks the memory', async () => {
    await expect(host().facts()).rejects.toThrow(/Cannot tell the memory of this machine/);
  });

  it('counts processors where the kernel lists no CPUs', async () => {
    await put('proc/meminfo', 'MemTotal: 1 kB\n');
    await put('proc/cpuinfo', 'processor : 0\nmodel: x\n\nprocessor : 1\n');
    expect((await host().facts()).cpuCount).toBe(2);
  });
});

describe('Host on this machine', () => {
  it('knows the space of a file system, and says which it does not', async () => {
    const { capacityBytes, availableBytes, inodes } = await host().filesystem(root);
    expect(capacityBytes).toBeGreaterThan(0);
    expect(availableBytes).toBeLessThanOrEqual(capacityBytes);
    expect(inodes).toBeGreaterThanOrEqual(0);
    await expect(host().filesystem(join(root, 'none'))).rejects.toThrow(/Cannot tell the space/);
  });

  it('takes loopback for no address to be reached by', () => {
    const loopback = new Host().addresses().filter(({ address }) => address === '127.0.0.1');
    expect(loopback.every(({ isLocal }) => isLocal)).toBe(true);
  });

  it('writes the score of its own process', async () => {
    await put('proc/self/oom_score_adj', '0');
    await expect(host().setOwnOomScoreAdj(-999)).resolves.toBeUndefined();
    await rm(join(root, 'proc/self'), { recursive: true });
    await expect(host().setOwnOomScoreAdj(-999)).rejects.toThrow(/CAP_SYS_RESOURCE/);
  });

  it.each([
    { name: 'with CAP_SYS_RESOURCE there is none', capabilities: '000001ffffffffff', want: undefined },
    { name: 'without, what the process has itself', capabilities: '00000000feffffff', want: 100 },
  ])('tells the lowest score that others can get: $name', async ({ capabilities, want }) => {
    await put('proc/self/status', `Name:\tnode\nCapEff:\t${capabilities}\n`);
    await put('proc/self/oom_score_adj', '100\n');
    expect(await host().oomScoreFloor()).toBe(want);
  });

  it('answers a name that is an address without asking', async () => {
    expect(await host().lookup('10.0.0.1')).toEqual(['10.0.0.1']);
  });
});

describe('parsing', () => {
  it.each([
    ['0', [0]],
    ['0-2', [0, 1, 2]],
    ['0-1,7\n', [0, 1, 7]],
    ['', []],
  ])('CPU list %j', (text, want) => expect(parseCpuList(text)).toEqual(want));

  it('reads meminfo, os-release, page sizes and architectures', () => {
    expect(parseMeminfo('MemTotal:  10 kB\nHugePages_Total:  5\n')).toEqual({ MemTotal: 10_240 });
    expect(parseOsRelease(`A=b\nC='d e'\n# no\n`)).toEqual({ A: 'b', C: 'd e' });
    expect(parseHugepageSize('hugepages-2048kB')).toBe(2 ** 21);
    expect(parseHugepageSize('other')).toBeUndefined();
    expect([goArchitecture('x64'), goArchitecture('arm64')]).toEqual(['amd64', 'arm64']);
  });

  const v4 = [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0',
    'eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0',
    'eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    'down0\t00000000\t00000000\t0000\t0\t0\t0\t00000000\t0\t0\t0',
  ].join('\n');
  const zeros = '0'.repeat(32);
  const v6 = [
    `${zeros} 00 ${zeros} 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth0`,
    `${zeros} 00 ${zeros} 00 ${zeros} ffffffff 00000001 00000000 00200200       lo`,
    `fd000000000000000000000000000000 40 ${zeros} 00 ${zeros} 00000100 00000001 00000000 00000001     eth1`,
  ].join('\n');
  it('finds the interfaces with a default route, best first', () => {
    expect(defaultInterfaces(v4, 4)).toEqual(['eth0', 'wlan0']);
    expect(defaultInterfaces(v6, 6)).toEqual(['eth0']);
    expect(defaultInterfaces('', 4)).toEqual([]);
  });
});
