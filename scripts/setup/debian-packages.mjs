import { existsSync } from 'node:fs';
import { hasCommand, run, runCode } from './run-command.mjs';

/** What a lab and its tests need of the machine: a package is missing when what we use of it is. */
export const packages = [
  { name: 'bind9-dnsutils', isThere: () => hasCommand('dig') },
  { name: 'busybox-static', isThere: () => existsSync('/bin/busybox') },
  { name: 'catatonit', isThere: () => existsSync('/usr/bin/catatonit') },
  { name: 'conntrack', isThere: () => hasCommand('conntrack') },
  { name: 'containerd', isThere: () => hasCommand('containerd') && hasCommand('ctr') },
  {
    name: 'containernetworking-plugins',
    isThere: () => existsSync('/usr/lib/cni/bridge') || existsSync('/opt/cni/bin/bridge'),
  },
  { name: 'etcd-server', isThere: () => hasCommand('etcd') },
  // compiles a program against musl, whose resolver differs from glibc's; musl-tools does not bring it along
  { name: 'gcc', isThere: () => hasCommand('gcc') },
  { name: 'iproute2', isThere: () => hasCommand('ip') },
  { name: 'ipset', isThere: () => hasCommand('ipset') },
  { name: 'iptables', isThere: () => hasCommand('iptables-restore') },
  { name: 'nfacct', isThere: () => hasCommand('nfacct') },
  { name: 'musl-tools', isThere: () => hasCommand('musl-gcc') },
  { name: 'nftables', isThere: () => hasCommand('nft') },
  { name: 'openssl', isThere: () => hasCommand('openssl') },
  { name: 'procps', isThere: () => hasCommand('sysctl') },
  { name: 'runc', isThere: () => hasCommand('runc') },
  { name: 'systemd', isThere: () => existsSync('/lib/systemd/systemd') && hasCommand('systemctl') },
  // Debian's package does not install over a kubectl from elsewhere: any that is there will do.
  { name: 'kubernetes-client', isThere: () => hasCommand('kubectl') },
];

/** What tests need beside it that boot machines of their own. */
export const machinePackages = [
  { name: 'e2fsprogs', isThere: () => hasCommand('mke2fs') },
  { name: 'ipvsadm', isThere: () => hasCommand('ipvsadm') },
  { name: 'kmod', isThere: () => hasCommand('depmod') },
  { name: 'qemu-system-x86', isThere: () => hasCommand('qemu-system-x86_64') },
];

/** Installs what is missing of `wanted`. Without root it says what that is, and gives up only when it is `required`. */
export async function ensureDebianPackages({ required, wanted = packages }) {
  const missing = wanted.filter(({ isThere }) => !isThere()).map(({ name }) => name);
  if (missing.length === 0) return;
  const command = `apt-get install --no-install-recommends ${missing.join(' ')}`;
  if (process.geteuid?.() !== 0 || !hasCommand('apt-get')) {
    const reason = hasCommand('apt-get') ? 'as root' : 'on Debian, or install the same on your system';
    const message = `these packages are missing: ${missing.join(', ')}; run ${reason}: ${command}`;
    if (required) throw new Error(message);
    console.log(`setup: ${message}`);
    return;
  }
  console.log(`setup: installing Debian packages: ${missing.join(', ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const install = ['install', '--yes', '--no-install-recommends', ...missing];
  // The lists may be old or missing: they are fetched only when the first try fails.
  if ((await runCode('apt-get', install, { env })) === 0) return;
  await run('apt-get', ['update'], { env });
  await run('apt-get', install, { env });
}
