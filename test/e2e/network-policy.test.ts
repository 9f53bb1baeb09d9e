/** Network policies in a lab of two nodes: real pods, kubectl, the agent of each node, and its end. */
import { beforeAll, expect, it } from 'vitest';
import type { Pod } from '../../src/objects/generated/core-v1.ts';
import type { NetworkPolicy } from '../../src/objects/generated/networking-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, mainFile, useLab } from './support/lab.ts';
import { applyObjects, awaitReady, getPod, patienceMs, podOf, shell, untilAsked } from './support/pods.ts';

const listTable = ['nft', 'list', 'table', 'inet', 'gantry-network-policy'];

const policy = (name: string, spec: NonNullable<NetworkPolicy['spec']>): NetworkPolicy => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { namespace: 'default', name },
  spec,
});

describeAsRoot('network policies', () => {
  const lab = useLab({ nodes: 2 });
  let ips: Record<string, string> = {};

  const serve = (name: string, node: number): Pod => {
    const web = shell('mkdir /w; echo yes > /w/index.html; exec httpd -f -p 8080 -h /w', {
      ports: [{ name: 'web', containerPort: 8080 }],
      readinessProbe: { httpGet: { path: '/', port: 'web' }, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 1 },
    });
    const pod = podOf(name, [web], { nodeName: lab.nodeName(node) });
    return { ...pod, metadata: { ...pod.metadata, labels: { app: name } } };
  };
  const client = (name: string, node: number): Pod => {
    const pod = podOf(name, untilAsked, { nodeName: lab.nodeName(node) });
    return { ...pod, metadata: { ...pod.metadata, labels: { app: name } } };
  };
  /** Whether a pod's web server answers another one; a client waits a second for what is dropped. */
  async function answers(from: string, to: string): Promise<boolean> {
    const script = `timeout 1 wget -q -O - http://${ips[to] ?? ''}:8080/`;
    return (await lab.tryKubectl('exec', from, '--', 'sh', '-c', script)).stdout.trim() === 'yes';
  }
  const until = (what: string, fits: () => Promise<boolean>): Promise<true> =>
    eventually(what, patienceMs, async () => ((await fits()) ? true : undefined));
  const dropped = async (node: number): Promise<number> =>
    Number(/in\/default\/deny\/dropped \{\s+packets (\d+)/.exec(await lab.onNode(node, ...listTable))?.[1] ?? 0);

  beforeAll(async () => {
    await applyObjects(lab, serve('web', 1), client('near', 1), client('far', 0));
    await Promise.all(['web', 'near', 'far'].map((name) => awaitReady(lab, name)));
    const pods = await Promise.all(['web', 'near', 'far'].map((name) => getPod(lab, name)));
    ips = Object.fromEntries(pods.map(({ metadata, status }) => [metadata.name, status?.podIP ?? '']));
  });

  it('keep everybody out by default, but the kubelet, and count it', async () => {
    await until('an answer across nodes', () => answers('far', 'web'));
    await applyObjects(lab, policy('deny', { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'] }));
    await until('no answer', async () => !(await answers('far', 'web')));
    expect(await answers('near', 'web')).toBe(false);
    expect(await dropped(1)).toBeGreaterThan(0);
    const ready = (await getPod(lab, 'web')).status?.conditions?.find(({ type }) => type === 'Ready');
    expect(ready?.status).toBe('True');
    expect(await lab.kubectl('get', 'networkpolicies')).toMatch(/NAME +POD-SELECTOR +AGE\s+deny +app=web/);
  });

  it('let in by label and by a port’s name, as soon as the label is there', async () => {
    await applyObjects(
      lab,
      policy('allow', {
        podSelector: {},
        policyTypes: ['Ingress'],
        ingress: [{ from: [{ podSelector: { matchLabels: { may: 'enter' } } }], ports: [{ port: 'web' }] }],
      }),
    );
    await lab.kubectl('label', 'pod', 'far', 'may=enter');
    await until('an answer', () => answers('far', 'web'));
    expect(await answers('near', 'web')).toBe(false);
    await lab.kubectl('label', 'pod', 'far', 'may-');
    await until('no answer', async () => !(await answers('far', 'web')));
  });

  it('cover a pod from its first packet on', async () => {
    await applyObjects(lab, policy('quiet', { podSelector: { matchLabels: { app: 'new' } }, policyTypes: ['Egress'] }));
    const script = `timeout 2 wget -q -O - http://${ips['far'] ?? ''}:1/ ; nc -w 2 ${ips['far'] ?? ''} 9 </dev/null && echo out; ${untilAsked}`;
    const pod = podOf('new', [shell(script)], { nodeName: lab.nodeName(1) });
    await applyObjects(lab, { ...pod, metadata: { ...pod.metadata, labels: { app: 'new' } } });
    await awaitReady(lab, 'new');
    // a port where nobody listens would refuse at once: silence is the policy's
    await until('packets kept back', async () =>
      /eg\/default\/quiet\/dropped \{\s+packets [1-9]/.test(await lab.onNode(1, ...listTable)),
    );
    expect(await lab.kubectl('logs', 'new')).not.toMatch(/refused|out/);
  });

  it('are in force while no agent runs, and stay as they are when one comes', async () => {
    const table = async (): Promise<string> =>
      (await lab.onNode(1, ...listTable)).replaceAll(/packets \d+ bytes \d+/g, '');
    const before = await table();
    await lab.stop(1, 'network-agent', 'SIGKILL');
    expect(await answers('near', 'web')).toBe(false);
    expect(await table()).toBe(before);
    await lab.start(1, 'network-agent');
    await until('the agent to be well', async () => (await healthz()) === 'ok');
    expect(await table()).toBe(before);
    expect(await answers('near', 'web')).toBe(false);
  });

  it('come back after somebody has deleted their table', async () => {
    await lab.onNode(1, 'nft', 'delete', 'table', 'inet', 'gantry-network-policy');
    await until('the table', async () => (await tables()).includes('gantry-network-policy'));
    expect(await answers('near', 'web')).toBe(false);
  });

  it('leave nothing on a node that is cleaned up', async () => {
    await lab.stop(0, 'network-agent');
    expect(await lab.onNode(0, 'nft', 'list', 'tables')).toContain('gantry-network-policy');
    await lab.onNode(0, process.execPath, mainFile, 'network-agent', '--cleanup');
    expect(await lab.onNode(0, 'nft', 'list', 'tables')).not.toContain('gantry-network-policy');
    await lab.start(0, 'network-agent');
  });

  it('are gone with the last of them', async () => {
    await lab.kubectl('delete', 'networkpolicies', '--all');
    await until('no table', async () => !(await tables()).includes('gantry-network-policy'));
    expect(await answers('near', 'web')).toBe(true);
  });

  const tables = (): Promise<string> => lab.onNode(1, 'nft', 'list', 'tables');
  const healthz = async (): Promise<string> =>
    (await lab.onNode(1, 'sh', '-c', 'busybox wget -q -O - http://127.0.0.1:10262/healthz || true')).trim();
});
