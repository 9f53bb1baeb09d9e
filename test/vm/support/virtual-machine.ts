/** A machine in QEMU, without hardware help: it boots, runs scripts, loses power. Ends with the process that made it. */
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ProcessId,
  findByEnvironment,
  identifyProcess,
  isRunning,
  signalProcess,
  waitUntilGone,
} from '../../../src/adapters/process-table/process-table.ts';
import { spawnDetached } from '../../../src/adapters/processes/processes.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { HopelessError, awaitUntil } from '../../await-until.ts';
import { doorPort } from './machine-files.ts';
import { type MachineImage, buildMachineImage } from './machine-image.ts';

/** Its value is the pid of the process that made the machine: machines of processes that are gone are ended. */
const ownerVariable = 'GANTRY_TEST_MACHINE_OWNER';
const folderPrefix = 'gantry-vm-';
const never = new AbortController().signal;
const bootTimeoutMs = 180_000;

/** Why no machine can be made here; undefined when it can. */
export function missingForMachines(): string | undefined {
  const programs = ['/usr/bin/qemu-system-x86_64', '/usr/sbin/mke2fs', '/sbin/depmod', '/usr/bin/containerd'];
  const absent = programs.filter((path) => !existsSync(path));
  if (process.geteuid?.() !== 0) return 'need root';
  return absent.length === 0 ? undefined : `need ${absent.join(', ')}: npm run test:vm installs them`;
}

export interface ScriptResult {
  code: number;
  stdout: string;
  stderr: string;
}

export class VirtualMachine {
  /** Of the host: the disk, and what the console said. */
  readonly directory: string;
  readonly #image: MachineImage;
  #qemu: ProcessId | undefined;
  /** A port of the host's loopback, behind which scripts are run. */
  door = 0;
  readonly #onExit = (): void => {
    if (this.#qemu !== undefined) process.kill(this.#qemu.pid, 'SIGKILL');
  };

  private constructor(directory: string, image: MachineImage) {
    this.directory = directory;
    this.#image = image;
    process.on('exit', this.#onExit);
  }

  /** Makes a machine that is switched off. */
  static async make(): Promise<VirtualMachine> {
    await endForsaken();
    const directory = await mkdtemp(join(tmpdir(), `${folderPrefix}${process.pid}-`));
    try {
      return new VirtualMachine(directory, await buildMachineImage(directory));
    } catch (err) {
      await rm(directory, { recursive: true, force: true });
      throw err;
    }
  }

  /** Waits until scripts can be run. */
  async boot(): Promise<void> {
    this.door = await freePort();
    const { kernel, initramfs, disk } = this.#image;
    const options = [
      '-accel tcg,thread=multi -cpu max -smp 2 -m 2560',
      '-nodefaults -no-user-config -display none -no-reboot -serial chardev:console',
      '-device virtio-net-pci,netdev=net -device virtio-rng-pci',
    ];
    const args = [
      ...options.join(' ').split(' '),
      '-kernel',
      kernel,
      '-initrd',
      initramfs,
      '-append',
      'console=ttyS0 quiet mitigations=off systemd.unit=multi-user.target systemd.show_status=no',
      '-chardev',
      `file,id=console,path=${this.#at('console.log')},append=on`,
      '-drive',
      `file=${disk},if=virtio,format=raw,cache=unsafe`,
      '-netdev',
      `user,id=net,hostfwd=tcp:127.0.0.1:${this.door}-:${doorPort}`,
    ];
    const outFd = openSync(this.#at('qemu.log'), 'a');
    const pid = spawnDetached('qemu-system-x86_64', args, {
      env: { [ownerVariable]: String(process.pid) },
      outFd,
    });
    closeSync(outFd);
    this.#qemu = await identifyProcess(pid);
    await awaitUntil('the machine to boot', async () => (await this.try('true', 5000)).code === 0, {
      timeoutMs: bootTimeoutMs,
      periodMs: 250,
    });
  }

  /** Runs a script of bash as root; `fetch` itself gives up after five minutes. */
  async try(script: string, timeoutMs = 250_000): Promise<ScriptResult> {
    if (this.#qemu === undefined || !(await isRunning(this.#qemu)))
      throw new HopelessError(`the machine does not run: ${await readFile(this.#at('qemu.log'), 'utf8')}`);
    const url = `http://127.0.0.1:${this.door}/cgi-bin/run`;
    const response = await fetch(url, { method: 'POST', body: script, signal: AbortSignal.timeout(timeoutMs) });
    const bytes = Buffer.from(await response.arrayBuffer());
    const end = Number(response.headers.get('x-out'));
    const code = response.headers.get('x-code');
    if (code === null) throw new Error(`nobody runs scripts there: ${response.status}`);
    return { code: Number(code), stdout: bytes.toString('utf8', 0, end), stderr: bytes.toString('utf8', end) };
  }

  /** @throws {Error} when the script fails */
  async run(script: string, timeoutMs?: number): Promise<string> {
    const { code, stdout, stderr } = await this.try(`set -e\n${script}`, timeoutMs);
    if (code !== 0) throw new Error(`\`${script}\` ended with ${code}: ${stderr}${stdout.slice(-2000)}`);
    return stdout;
  }

  async write(path: string, text: string): Promise<void> {
    const content = Buffer.from(text).toString('base64');
    await this.run(`mkdir -p $(dirname ${path}); base64 -d > ${path} <<'END'\n${content}\nEND`);
  }

  /** Without a word to anybody inside. */
  async cutPower(): Promise<void> {
    if (this.#qemu === undefined) return;
    await signalProcess(this.#qemu, 'SIGKILL');
    await waitUntilGone(this.#qemu, 10_000, systemClock, never);
    this.#qemu = undefined;
  }

  async close(): Promise<void> {
    await this.cutPower();
    process.off('exit', this.#onExit);
    await rm(this.directory, { recursive: true, force: true });
  }

  #at(name: string): string {
    return join(this.directory, name);
  }
}

/** Ends machines whose maker was killed before it could, and removes their folders. */
async function endForsaken(): Promise<void> {
  for (const { pid, startTicks, value } of await findByEnvironment(ownerVariable)) {
    if ((await identifyProcess(Number(value))) === undefined) await signalProcess({ pid, startTicks }, 'SIGKILL');
  }
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(folderPrefix)) continue;
    const owner = Number(name.slice(folderPrefix.length).split('-')[0]);
    if ((await identifyProcess(owner)) !== undefined) continue;
    await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

/** Free a moment ago: QEMU says so when it is not any more. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
