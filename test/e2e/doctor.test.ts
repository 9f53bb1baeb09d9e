import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestNode, missingForNamespaces } from './network-namespace.ts';

const binDirs = ['/opt/cni/bin', '/usr/lib/cni'];
const hasPlugins = ['ptp', 'host-local', 'portmap'].every((name) => binDirs.some((dir) => existsSync(join(dir, name))));
const missing = missingForNamespaces(['iptables', 'sysctl']) ?? (hasPlugins ? undefined : 'needs the CNI plugins');
if (missing !== undefined) console.warn(`skipped: gantry doctor in a network namespace ${missing}`);

const template = readFileSync(new URL('../../cni-config/10-gantry.conflist.json', import.meta.url), 'utf8');

describe.skipIf(missing !== undefined)('gantry doctor in a network namespace', () => {
  let node: TestNode;
  let directory: string;
  const conflist = (podCidr: string): object => {
    const list = JSON.parse(template.replace('{{podCidr}}', podCidr)) as {
      plugins: Array<{ ipam?: { dataDir?: string } }>;
    };
    for (const { ipam } of list.plugins) if (ipam !== undefined) ipam.dataDir = join(directory, 'leases');
    return list;
  };
  const write = (name: string, content: unknown): void => {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    writeFileSync(join(directory, 'net.d', name), text);
  };
  const doctor = (...flags: string[]): { code: number | null; text: string } => {
    const main = new URL('../../src/main.ts', import.meta.url).pathname;
    const command = ['netns', 'exec', node.name, process.execPath, main, 'doctor', '--container-runtime-endpoint', ''];
    const { status, stdout } = spawnSync('ip', [...command, '--cni-conf-dir', join(directory, 'net.d'), ...flags], {
      encoding: 'utf8',
    });
    return { code: status, text: stdout };
  };
  const line = (text: string, id: string): string => text.split('\n').find((l) => l.includes(` ${id} `)) ?? '';

  beforeEach(() => {
    node = new TestNode(`gantry-e2e-doctor-${process.pid}`);
    directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-doctor-'));
    mkdirSync(join(directory, 'net.d'));
  });

  afterEach(() => {
    node.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  it('proves a good network and leaves nothing behind', () => {
    write('10-gantry.conflist', conflist('10.99.0.0/24'));
    const { code, text } = doctor();
    expect(text).not.toContain('FAIL');
    expect(line(text, 'cni.add')).toMatch(/^ok .*10\.99\.0\.2\/24/);
    expect(line(text, 'cni.gateway')).toMatch(/^ok .*10\.99\.0\.1 answers/);
    expect(line(text, 'cni.leftovers')).toMatch(/^ok /);
    expect(code).toBe(0);
    expect(readdirSync(join(directory, 'leases', 'gantry')).filter((name) => /^\d/.test(name))).toEqual([]);
    expect(node.run('ip', '-br', 'link')).not.toMatch(/veth/);
    expect(node.run('ip', 'netns', 'list')).not.toContain('gantry-doctor');
    expect(node.run('iptables-save')).not.toContain('gantry-doctor');
  });

  it('names a plugin that is missing, and the package that has it', () => {
    write('10-gantry.conflist', conflist('10.99.0.0/24'));
    const { code, text } = doctor('--cni-bin-dir', join(directory, 'empty'));
    expect(line(text, 'cni.plugins')).toMatch(/^FAIL .*"ptp".*apt-get install containernetworking-plugins/);
    expect(code).toBe(1);
  });

  it('names every problem of a bad conflist, which hides those after it', () => {
    write('05-bad.conflist', { cniVersion: '9.9.9', plugins: [{ ipam: {} }] });
    write('10-gantry.conflist', conflist('10.99.0.0/24'));
    const { code, text } = doctor();
    const found = line(text, 'cni.config');
    expect(found).toMatch(/^FAIL .*05-bad\.conflist/);
    for (const problem of ['"name" is missing', '"9.9.9" is not served', '"type" of plugins[0] is missing']) {
      expect(found).toContain(problem);
    }
    expect(code).toBe(1);
  });

  it('names an exhausted pool with the leases, and still takes its own attempt back', () => {
    write('10-gantry.conflist', conflist('10.99.0.0/30'));
    mkdirSync(join(directory, 'leases', 'gantry'), { recursive: true });
    writeFileSync(join(directory, 'leases', 'gantry', '10.99.0.2'), 'somebody\r\neth0');
    const { code, text } = doctor();
    expect(line(text, 'cni.add')).toMatch(/^FAIL .*pool of network "gantry" is exhausted: 1 addresses are leased in/);
    expect(line(text, 'cni.leftovers')).toMatch(/^ok /);
    expect(code).toBe(1);
  });

  it('says so when there is no configuration, also as JSON', () => {
    const { code, text } = doctor('-o', 'json');
    const report = JSON.parse(text) as { ok: boolean; findings: Array<{ id: string; status: string; fix?: string }> };
    expect(report.ok).toBe(false);
    expect(report.findings.find(({ id }) => id === 'cni.config')).toMatchObject({
      status: 'fail',
      fix: expect.stringContaining('net.d'),
    });
    expect(code).toBe(1);
  });

  it('finds what a plugin leaves behind', () => {
    const plugin = join(directory, 'leaky');
    const script = [
      '#!/bin/sh',
      'case "$CNI_COMMAND" in',
      'VERSION) echo \'{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}\';;',
      'ADD) ip link add leaky0 type veth peer name leaky1; echo \'{"cniVersion":"1.0.0","interfaces":[],"ips":[]}\';;',
      'esac',
    ];
    writeFileSync(plugin, `${script.join('\n')}\n`, { mode: 0o755 });
    write('10-leaky.conflist', { cniVersion: '1.0.0', name: 'leaky', plugins: [{ type: 'leaky' }] });
    const { code, text } = doctor('--cni-bin-dir', directory);
    expect(line(text, 'cni.leftovers')).toMatch(/^FAIL .*interface leaky0/);
    expect(code).toBe(1);
  });
});
