/** `gantry doctor`: proves that this node can run pods, one line per check, with the fix where one fails. */
import { Command, Option } from 'commander';
import { Cri } from '../adapters/cri/cri.ts';
import { DiskUsage } from '../adapters/disk-usage/disk-usage.ts';
import { Iptables } from '../adapters/iptables/iptables.ts';
import { Sysctl } from '../adapters/sysctl/sysctl.ts';
import { systemClock } from '../base/clock.ts';
import { stopSignal } from '../base/stop-signal.ts';
import { checkCniCache } from '../doctor/check-cni-cache.ts';
import { checkKernel } from '../doctor/check-kernel.ts';
import { checkNetwork } from '../doctor/check-network.ts';
import { checkPrograms } from '../doctor/check-programs.ts';
import { checkRuntime } from '../doctor/check-runtime.ts';
import { type Finding, formatFindings } from '../doctor/finding.ts';

/** The longest that one plugin may take, as runtimes allow at most. */
const pluginTimeoutMs = 30_000;
/** Where every runtime has it. */
const cniCacheDir = '/var/lib/cni';

interface Options {
  cniConfDir: string;
  cniBinDir: string;
  containerRuntimeEndpoint: string;
  output: 'text' | 'json';
}

export async function run(args: readonly string[]): Promise<void> {
  const program = new Command('gantry doctor')
    .description('Proves that this node can run pods: kernel, runtime, and the pod network by a trial.')
    .option('--cni-conf-dir <dir>', 'where network configurations are', '/etc/cni/net.d')
    .option('--cni-bin-dir <dirs>', 'where plugins are, separated by ":"', '/opt/cni/bin:/usr/lib/cni')
    .option(
      '--container-runtime-endpoint <endpoint>',
      'socket of the runtime; empty: leave it out',
      'unix:///run/containerd/containerd.sock',
    )
    .addOption(
      new Option('-o, --output <format>', 'how findings are printed').choices(['text', 'json']).default('text'),
    )
    .allowExcessArguments(false);
  program.parse([...args], { from: 'user' });
  const options = program.opts<Options>();
  const findings = await examine(options, stopSignal());
  const hasFailed = findings.some(({ status }) => status === 'fail');
  process.stdout.write(
    options.output === 'json'
      ? `${JSON.stringify({ ok: !hasFailed, findings }, undefined, 2)}\n`
      : formatFindings(findings),
  );
  if (hasFailed) process.exitCode = 1;
}

async function examine(options: Options, signal: AbortSignal): Promise<Finding[]> {
  const endpoint = options.containerRuntimeEndpoint;
  const cri = endpoint === '' ? undefined : new Cri({ endpoint, requestTimeoutMs: 10_000 });
  const iptables = new Iptables({ family: 'IPv4', timeoutMs: 30_000 });
  try {
    const runtime = await checkRuntime(cri, endpoint, signal);
    const network = await checkNetwork(
      {
        confDir: options.cniConfDir,
        binDirs: options.cniBinDir.split(':').filter((directory) => directory !== ''),
        trialName: `gantry-doctor-${process.pid}`,
        pluginTimeoutMs,
      },
      { rulesOf: (containerId, inner) => rulesOf(iptables, containerId, inner), clock: systemClock },
      signal,
    );
    // after the trial: the first pod's gateway may be what switches forwarding on
    const kernel = await checkKernel({ sysctl: new Sysctl(), iptables, root: '/' }, signal);
    const cache = await checkCniCache(cniCacheDir, systemClock.nowMs());
    const disk = new DiskUsage({ clock: systemClock });
    const programs = await checkPrograms({ measure: (path, s) => disk.measure([path], s) }, process.execPath, signal);
    return [...kernel, ...programs, ...runtime, ...network, cache];
  } finally {
    cri?.close();
  }
}

/** Rules that name a container, as the plugins' comments do. */
async function rulesOf(iptables: Iptables, containerId: string, signal: AbortSignal): Promise<string[]> {
  if (!(await iptables.isUsable(signal))) return [];
  const rules: string[] = [];
  for (const table of ['nat', 'filter'] as const) {
    await iptables.save(
      table,
      (line) => {
        if (line.startsWith('-A ') && line.includes(containerId)) rules.push(line);
      },
      signal,
    );
  }
  return rules;
}
