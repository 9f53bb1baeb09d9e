/**
 * What a virtual machine boots from: Debian's cloud kernel, a small initramfs that finds the disk, and a disk with a
 * selection of this machine's own packages, the bundle of this repository and Node. Nothing of this machine changes.
 */
import { cp, link, mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { quoteForShell, runCommand } from '../../../src/adapters/processes/processes.ts';
import { ensureImageArchive } from '../../../src/lab/images/lab-images.ts';
import { machineFiles, startedUnits } from './machine-files.ts';

export interface MachineImage {
  kernel: string;
  initramfs: string;
  disk: string;
}

/** With everything that they depend on. */
const packages = [
  'base-files base-passwd bash busybox-static coreutils dash findutils grep hostname iproute2 kmod',
  'libc-bin libstdc++6 login mount procps sed util-linux dbus systemd systemd-sysv conntrack',
  'containerd containernetworking-plugins ipset iptables ipvsadm nftables runc',
].join(' ');
/** Not read by anybody in there. */
const leftOut =
  /^\/(usr\/share\/(doc|info|locale|man|bash-completion|i18n|zoneinfo)|usr\/lib\/modules|boot|run|tmp|proc|sys|dev)\//;
/** What the kernel needs to find its disk, in the order of their needs. */
const diskModules = [
  'virtio/virtio_ring',
  'virtio/virtio',
  'virtio/virtio_pci_legacy_dev',
  'virtio/virtio_pci_modern_dev',
  'virtio/virtio_pci',
  'block/virtio_blk',
];
const diskMiB = 3072;
const never = new AbortController().signal;
const root = join(import.meta.dirname, '..', '..', '..');

const sh = async (script: string): Promise<string> =>
  (await runCommand('sh', ['-ec', script], { timeoutMs: 300_000, signal: never })).stdout;
const q = quoteForShell;

/** Makes everything in `directory`, which must be there. */
export async function buildMachineImage(directory: string): Promise<MachineImage> {
  const tree = join(directory, 'tree');
  const kernelTree = join(directory, 'kernel');
  for (const path of ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/lib64', 'dev', 'proc', 'sys', 'run', 'tmp', 'root'])
    await mkdir(join(tree, path), { recursive: true });
  await Promise.all([fetchKernel(directory, kernelTree), copyPackages(directory, tree)]);
  const release = (await readdir(join(kernelTree, 'lib', 'modules')))[0] ?? '';
  const initramfs = await makeInitramfs(directory, kernelTree, release);
  await addModules(tree, kernelTree, release);
  await addProgram(directory, tree);
  for (const { path, content, mode } of machineFiles) {
    await mkdir(join(tree, path, '..'), { recursive: true });
    await rm(join(tree, path), { force: true }); // it may be a link to somewhere outside
    await writeFile(join(tree, path), content, { mode: mode ?? 0o644 });
  }
  const wants = join(tree, 'etc/systemd/system/multi-user.target.wants');
  await mkdir(wants, { recursive: true });
  for (const [name, from] of Object.entries(startedUnits)) await symlink(`${from}/${name}`, join(wants, name));
  const disk = join(directory, 'disk.img');
  await sh(`mke2fs -q -t ext4 -L root -d ${q(tree)} -E lazy_itable_init=1 ${q(disk)} ${diskMiB}M`);
  const kernel = join(directory, 'vmlinuz');
  await cp(join(kernelTree, 'boot', `vmlinuz-${release}`), kernel);
  await Promise.all([tree, kernelTree].map((path) => rm(path, { recursive: true, force: true })));
  return { kernel, initramfs, disk };
}

/** Only unpacked: a package that is installed would want to be booted. */
async function fetchKernel(directory: string, to: string): Promise<void> {
  await sh(`
    cd ${q(directory)}
    name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p' | head -n 1)
    apt-get download -qq "$name"
    dpkg -x "$name"_*.deb ${q(to)}
    rm "$name"_*.deb`);
}

async function copyPackages(directory: string, tree: string): Promise<void> {
  const list = join(directory, 'files');
  const names = await sh(`apt-cache depends --recurse --installed --important ${packages} | grep '^[a-z]' | sort -u`);
  const installed = await sh(`dpkg-query -W -f '\${db:Status-Abbrev} \${Package}\\n' | sed -n 's/^ii *//p'`);
  const known = new Set(installed.split('\n'));
  const wanted = names.split('\n').filter((name) => known.has(name));
  const files = new Set((await sh(`dpkg -L ${wanted.join(' ')}`)).split('\n').filter((path) => path.startsWith('/')));
  const more = (
    await sh(
      'find /etc/alternatives /etc/ld.so.cache /usr/sbin /usr/bin -lname "/etc/alternatives/*" -o -path "/etc/*"',
    )
  ).split('\n');
  for (const path of [...more, '/bin', '/sbin', '/lib', '/lib64', '/etc/ld.so.cache']) files.add(path);
  const chosen = [...files].filter((path) => path.length > 1 && !leftOut.test(`${path}/`)).toSorted();
  await writeFile(list, `${chosen.join('\n')}\n`);
  await sh(
    `tar --create --directory=/ --no-recursion --ignore-failed-read --files-from=${q(list)} 2>${q(`${list}.log`)} | tar --extract --directory=${q(tree)} --keep-directory-symlink`,
  );
}

async function makeInitramfs(directory: string, kernelTree: string, release: string): Promise<string> {
  const tree = join(directory, 'initramfs');
  await mkdir(join(tree, 'bin'), { recursive: true });
  for (const name of ['dev', 'proc', 'sys', 'root']) await mkdir(join(tree, name));
  await cp('/bin/busybox', join(tree, 'bin', 'busybox'), { dereference: true });
  const files = diskModules.map((path) => `${path}.ko`);
  for (const file of files)
    await cp(join(kernelTree, 'lib/modules', release, 'kernel/drivers', file), join(tree, file.replaceAll('/', '-')));
  const init = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
${files.map((file) => `/bin/busybox insmod /${file.replaceAll('/', '-')}`).join('\n')}
while [ ! -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /root
exec /bin/busybox switch_root /root /lib/systemd/systemd
`;
  await writeFile(join(tree, 'init'), init, { mode: 0o755 });
  const path = join(directory, 'initramfs.img');
  await sh(`cd ${q(tree)}; find . | busybox cpio -o -H newc 2>/dev/null > ${q(path)}`);
  await rm(tree, { recursive: true });
  return path;
}

async function addModules(tree: string, kernelTree: string, release: string): Promise<void> {
  await cp(join(kernelTree, 'lib/modules', release), join(tree, 'usr/lib/modules', release), { recursive: true });
  await sh(`depmod --basedir=${q(tree)} ${q(release)}`);
}

/** As a package would install it. */
async function addProgram(directory: string, tree: string): Promise<void> {
  const home = join(tree, 'usr', 'lib', 'gantry');
  await cp(join(root, 'dist'), join(home, 'dist'), { recursive: true });
  await cp(join(root, 'proto'), join(home, 'proto'), { recursive: true });
  await symlink('/usr/lib/gantry/dist/gantry.js', join(tree, 'usr/bin/gantry'));
  await link(process.execPath, join(tree, 'usr/bin/node')).catch(() =>
    cp(process.execPath, join(tree, 'usr/bin/node')),
  );
  for (const name of ['kubelet.service', 'kube-proxy.service'])
    await cp(join(root, 'systemd', name), join(tree, 'usr/lib/systemd/system', name));
  const archive = await ensureImageArchive(
    {
      cacheDir: join(directory, 'images'),
      architecture: 'amd64',
      listApplets: async (busybox) => (await runCommand(busybox, ['--list'], { signal: never })).stdout,
    },
    never,
  );
  await cp(archive, join(tree, 'usr/lib/gantry/images.tar'));
  const conflist = await readFile(join(root, 'cni-config', '10-gantry.conflist.json'), 'utf8');
  await mkdir(join(tree, 'etc/cni/net.d'), { recursive: true });
  await writeFile(join(tree, 'etc/cni/net.d/10-gantry.conflist'), conflist.replace('{{podCidr}}', '10.244.0.0/24'));
}
