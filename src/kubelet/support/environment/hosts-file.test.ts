import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { hostsContent, podHosts, writeHostsFile } from './hosts-file.ts';

const managed = `# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
`;
const aliases = [{ ip: '1.2.3.4', hostnames: ['a', 'b.c'] }, { ip: '::5', hostnames: ['d'] }, { ip: '::6' }];
const aliasText = '\n# Entries added by HostAliases.\n1.2.3.4\ta\tb.c\n::5\td\n::6\t\n';

it.each([
  { name: 'a pod IP', podIps: ['10.0.0.1'], domain: '', hostAliases: undefined, want: `${managed}10.0.0.1\tweb\n` },
  {
    name: 'two IPs, a domain and aliases',
    podIps: ['10.0.0.1', 'fd00::1'],
    domain: 'sub.ns.svc.x',
    hostAliases: aliases,
    want: `${managed}10.0.0.1\tweb.sub.ns.svc.x\tweb\nfd00::1\tweb.sub.ns.svc.x\tweb\n${aliasText}`,
  },
])('podHosts: $name', ({ podIps, domain, hostAliases, want }) => {
  expect(podHosts({ podIps, hostname: 'web', domain, hostAliases })).toBe(want);
});

it('hostsContent: the node its own file, none before the pod has an IP', () => {
  const pod = (hostNetwork: boolean): Parameters<typeof hostsContent>[0] => ({
    metadata: { name: 'p' },
    spec: { containers: [], hostNetwork, hostAliases: aliases },
  });
  const names = { hostname: 'web', domain: '' };
  expect(hostsContent(pod(true), { podIps: [], ...names }, '127.0.0.1 node\n')).toBe(
    `# Kubernetes-managed hosts file (host network).\n127.0.0.1 node\n${aliasText}`,
  );
  expect(hostsContent(pod(false), { podIps: [], ...names }, 'x')).toBeUndefined();
  expect(hostsContent(pod(false), { podIps: ['10.0.0.1'], ...names }, 'x')).toBe(
    `${managed}10.0.0.1\tweb\n${aliasText}`,
  );
});

it('writeHostsFile writes in place, 0644', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-hosts-'));
  await writeFile(join(dir, 'etc-hosts'), 'a longer text than the new one', { mode: 0o600 });
  const before = await stat(join(dir, 'etc-hosts'));
  const path = await writeHostsFile(dir, 'new\n');
  const after = await stat(path);
  expect(after.ino).toBe(before.ino);
  expect(after.mode & 0o777).toBe(0o644);
  expect(await readFile(path, 'utf8')).toBe('new\n');
  await rm(dir, { recursive: true });
});
