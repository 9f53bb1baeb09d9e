/** Mode ipvs on a kernel without virtual servers: refused at start, before anything is changed. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { afterAll, describe, expect, it } from 'vitest';
import { TestNode, missingForNamespaces } from './network-namespace.ts';

const missing = missingForNamespaces(['iptables', 'sysctl']) ?? hasIpvs();
if (missing !== undefined) console.warn(`skipped: the refusal of mode ipvs ${missing}`);

const main = new URL('../../src/main.ts', import.meta.url).pathname;
const kubeconfig = `
apiVersion: v1
kind: Config
clusters: [{name: nobody, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: proxy, user: {}}]
contexts: [{name: nobody, context: {cluster: nobody, user: proxy}}]
current-context: nobody
`;

function hasIpvs(): string | undefined {
  try {
    if (!existsSync('/proc/net/ip_vs')) execFileSync('modprobe', ['--dry-run', 'ip_vs'], { stdio: 'ignore' });
    return 'needs a kernel without ip_vs';
  } catch {
    return undefined;
  }
}

describe.skipIf(missing !== undefined)('mode ipvs without its kernel module', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-ipvs-refusal-'));
  const node = new TestNode(`gantry-e2e-no-ipvs-${process.pid}`);
  afterAll(() => {
    node.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  it('is refused with the name of the module, and changes nothing', () => {
    const path = join(directory, 'kubeconfig.conf');
    writeFileSync(path, kubeconfig);
    const start = (): string =>
      node.run(process.execPath, main, 'kube-proxy', '--proxy-mode=ipvs', `--kubeconfig=${path}`, '--init-only');
    expect(start).toThrow(/kube-proxy in mode "ipvs": Cannot use the kernel module "ip_vs": run `modprobe ip_vs`/);
    expect(node.run('ip', 'link')).not.toContain('kube-ipvs0');
    expect(node.run('iptables-save')).not.toContain('KUBE-');
    // where it can never have run, there is nothing to clean up
    node.run(process.execPath, main, 'kube-proxy', '--cleanup');
  });
});
