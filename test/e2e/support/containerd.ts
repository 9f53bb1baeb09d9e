/** A containerd of our own in a private node: own root, state, socket, CNI network and images. */
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findGroup, readCgroupMounts, removeGroup } from '../../../src/adapters/cgroup-trees/cgroup-trees.ts';
import { runCommand } from '../../../src/adapters/processes/processes.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { ensureImageArchive, labImages } from '../../../src/lab/images/lab-images.ts';
import { awaitUntil } from '../../await-until.ts';
import { type NodeProcess, PrivateNode } from './private-node.ts';

const never = new AbortController().signal;
const cniBinDir = '/usr/lib/cni';
const cgroupTimeoutMs = 10_000;
const podSubnet = '10.99.0.0/16';

export interface ContainerdOptions {
  /** Pods that are started at once need addresses and time; the subnet's mask. */
  subnet?: string;
  /** In a node with systemd as its init, which makes the control groups. */
  hasSystemd?: boolean;
}

/** What stands in the way of a private containerd here, in words; empty when nothing does. */
export async function missingForContainerd(): Promise<string[]> {
  const missing: string[] = [];
  if (process.getuid?.() !== 0) missing.push('root');
  const programs = {
    containerd: '/usr/bin/containerd',
    runc: '/usr/sbin/runc',
    catatonit: '/usr/bin/catatonit',
    'busybox-static': '/bin/busybox',
    'containernetworking-plugins': join(cniBinDir, 'bridge'),
  };
  for (const [name, path] of Object.entries(programs)) {
    try {
      await access(path);
    } catch {
      missing.push(`Debian package ${name === 'runc' ? 'runc' : name}`); // not there is the answer
    }
  }
  return missing;
}

export class PrivateContainerd {
  readonly node: PrivateNode;
  readonly socketPath: string;
  readonly images = labImages;
  /** Where the cgroups of this node's pods lie, below every hierarchy's root. */
  readonly cgroupParent: string;
  #process: NodeProcess | undefined;

  private constructor(node: PrivateNode) {
    this.node = node;
    this.socketPath = join(node.directory, 'containerd.sock');
    this.cgroupParent = `/gantry-t-${node.init.pid}`;
  }

  static async open({ subnet = podSubnet, hasSystemd = false }: ContainerdOptions = {}): Promise<PrivateContainerd> {
    const containerd = new PrivateContainerd(await PrivateNode.open({ hasSystemd }));
    try {
      await containerd.#writeConfig(subnet, hasSystemd);
      await containerd.start();
      await containerd.#importImages();
    } catch (err) {
      await containerd.close();
      throw err;
    }
    return containerd;
  }

  /** `unix:///…/containerd.sock` */
  get endpoint(): string {
    return `unix://${this.socketPath}`;
  }

  get process(): NodeProcess {
    if (this.#process === undefined) throw new Error('containerd does not run');
    return this.#process;
  }

  /** Starts the daemon and waits until it serves. */
  async start(): Promise<void> {
    const config = join(this.node.directory, 'containerd.toml');
    this.#process = await this.node.spawn('containerd', ['containerd', '--config', config]);
    const { logPath } = this.#process;
    await awaitUntil(`containerd (${logPath})`, async () => (await this.ctr(['version']), true), { timeoutMs: 20_000 });
  }

  /** Stops the daemon; shims and containers go on. */
  async stop(signalName: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#process !== undefined) await this.node.stop(this.#process, signalName);
    this.#process = undefined;
  }

  async restart(signalName: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.stop(signalName);
    await this.start();
  }

  /** Runs `ctr` on this containerd, in CRI's namespace. */
  async ctr(args: readonly string[]): Promise<string> {
    const { stdout } = await runCommand('ctr', ['--address', this.socketPath, '--namespace', 'k8s.io', ...args], {
      timeoutMs: 60_000,
      signal: never,
    });
    return stdout;
  }

  async close(): Promise<void> {
    await this.node.close();
    const left = await findGroup(await readCgroupMounts(), this.cgroupParent);
    await Promise.all(left.map((group) => removeGroup(group, cgroupTimeoutMs, systemClock, never)));
  }

  async #writeConfig(subnet: string, hasSystemd: boolean): Promise<void> {
    const { directory } = this.node;
    const cniDir = join(directory, 'cni');
    await mkdir(cniDir);
    await mkdir(join(directory, 'manifests'));
    const conflist = {
      cniVersion: '1.0.0',
      name: 'gantry-test',
      plugins: [
        {
          type: 'bridge',
          bridge: 'cni0',
          isGateway: true,
          ipam: {
            type: 'host-local',
            ranges: [[{ subnet }]],
            routes: [{ dst: '0.0.0.0/0' }],
            dataDir: join(directory, 'cni-addresses'),
          },
        },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    };
    await writeFile(join(cniDir, '10-gantry-test.conflist'), JSON.stringify(conflist));
    const cri = 'plugins."io.containerd.grpc.v1.cri"';
    const config = `version = 2
root = "${join(directory, 'var/lib/containerd')}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]

[grpc]
  address = "${this.socketPath}"

[${cri}]
  sandbox_image = "${labImages.pause}"
  restrict_oom_score_adj = ${!(await hasSysResource())}

[${cri}.cni]
  bin_dir = "${cniBinDir}"
  conf_dir = "${cniDir}"

[${cri}.containerd]
  snapshotter = "overlayfs"

[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[${cri}.containerd.runtimes.runc.options]
  SystemdCgroup = ${hasSystemd}
`;
    await writeFile(join(directory, 'containerd.toml'), config);
  }

  async #importImages(): Promise<void> {
    const need = {
      cacheDir: join(this.node.directory, 'images'),
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      listApplets: async (busybox: string) => (await runCommand(busybox, ['--list'], { signal: never })).stdout,
    };
    await this.ctr(['images', 'import', '--no-unpack', await ensureImageArchive(need, never)]);
    // CRI learns of an import by containerd's event
    await awaitUntil('the imported images', async () =>
      (await this.ctr(['images', 'ls', '-q'])).includes(labImages.web),
    );
  }
}

/** Whether oom_score_adj may be lowered here: CAP_SYS_RESOURCE is bit 24 of the effective set. */
async function hasSysResource(): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return (BigInt(`0x${effective}`) & (1n << 24n)) !== 0n;
}
