/**
 * `npm run lab`: set-up, a cluster, a sample on it, and proof that it works: the ClusterIP, the NodePort and the pods'
 * logs answer. Run again, it uses the cluster that is there.
 */
import { join } from 'node:path';
import { capture, run } from './setup/run-command.mjs';
import { node, root, setup } from './setup.mjs';

const cluster = 'gantry';
const waitMs = 90_000;
const retryMs = 200;
const bundle = join(root, 'dist', 'gantry.js');
const sample = 'docs/samples/hello.yaml';
// before the rules are there a connection hangs: try again soon
const fetchInNode = ['busybox', 'timeout', '1', 'busybox', 'wget', '-q', '-O', '-'];

const lab = (...args) => capture(node, [bundle, 'lab', ...args]);

async function main() {
  if (process.geteuid?.() !== 0)
    throw new Error('it makes namespaces and networks, which needs root: run it as root, or with sudo');
  await setup({ packagesRequired: true });
  await ensureCluster();
  const kubeconfig = (await must(lab('kubeconfig', '--path', '--name', cluster))).trim();
  const kubectl = (...args) => capture('kubectl', ['--kubeconfig', kubeconfig, ...args]);

  console.log(`\nApplying ${sample} ...`);
  const startMs = performance.now();
  const answered = (what) => console.log(` done: ${what} (${((performance.now() - startMs) / 1000).toFixed(2)}s)`);
  process.stdout.write(await must(kubectl('apply', '-f', join(root, sample))));

  const { spec } = JSON.parse(await must(kubectl('get', 'service', 'hello', '-o', 'json')));
  const [{ port, nodePort }] = spec.ports;
  const first = JSON.parse(await must(kubectl('get', 'nodes', '-o', 'json'))).items[0];
  const nodeIp = first.status.addresses.find(({ type }) => type === 'InternalIP').address;

  const clusterUrl = `http://${spec.clusterIP}:${port}/`;
  const fromClusterIp = await retry(`the ClusterIP (${clusterUrl}, from the node)`, async () =>
    (await must(lab('exec', '--name', cluster, '--', ...fetchInNode, clusterUrl))).trim(),
  );
  answered(`ClusterIP ${clusterUrl} says "${fromClusterIp}"`);

  const nodeUrl = `http://${nodeIp}:${nodePort}/`;
  const fromNodePort = await retry(`the NodePort (${nodeUrl}, from this machine)`, async () => {
    const response = await fetch(nodeUrl, { signal: AbortSignal.timeout(2000) });
    return (await response.text()).trim();
  });
  answered(`NodePort  ${nodeUrl} says "${fromNodePort}"`);

  const logs = await retry('the logs of the pods', async () => {
    const text = await must(kubectl('logs', '--selector', 'app=hello', '--tail', '1'));
    if (text.trim() === '') throw new Error('they are empty');
    return text.trim().split('\n')[0];
  });
  answered(`logs      "${logs}"`);

  process.stdout.write(`\n${await must(kubectl('get', 'nodes,pods,services', '-o', 'wide'))}`);
  console.log(`
The lab works. Use it with:

  export KUBECONFIG=${kubeconfig}
  kubectl get pods -o wide
  kubectl logs -f deployment/hello
  curl ${nodeUrl}

Remove it with:

  node_modules/.bin/node dist/gantry.js lab delete --name ${cluster}`);
}

/** One that runs is used again; what is left of one that does not is removed first. */
async function ensureCluster() {
  const rows = (await must(lab('list'))).split('\n').map((line) => line.trim().split(/\s+/));
  const state = rows.find(([name]) => name === cluster)?.[1];
  if (state === 'running') {
    console.log(`Cluster "${cluster}" runs already`);
    return;
  }
  if (state !== undefined) {
    console.log(`Cluster "${cluster}" is ${state}: it is removed and made anew`);
    await run(node, [bundle, 'lab', 'delete', '--name', cluster]);
  }
  await run(node, [bundle, 'lab', 'create', '--name', cluster]);
}

/** The output of a command that has to succeed. */
async function must(running) {
  const { code, stdout, stderr } = await running;
  if (code !== 0) throw new Error(stderr.trim() || stdout.trim() || `it exited with code ${code}`);
  return stdout;
}

/** Tries until it works, and says at the end what was wrong the last time. */
async function retry(what, work) {
  const endMs = performance.now() + waitMs;
  for (;;) {
    try {
      return await work();
    } catch (err) {
      if (performance.now() > endMs) throw new Error(`Cannot reach ${what}: ${err.message}`, { cause: err });
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }
}

try {
  await main();
} catch (err) {
  console.error(`lab: ${err instanceof Error ? err.message : String(err)}`);
  console.error(`lab: for a closer look: ${node} ${bundle} lab export-logs --name ${cluster} ./lab-logs`);
  process.exitCode = 1;
}
