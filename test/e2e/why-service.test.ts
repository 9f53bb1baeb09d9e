/** `gantry why service` on a real node, in each mode: what it says of Services that cannot be reached, and of one that can. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceFacts } from '../../src/explain/service-facts.ts';
import type { Explanation } from '../../src/explain/explain-service.ts';
import type { Pod, Service } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, mainFile, useLab } from './support/lab.ts';
import { applyObjects, awaitReady, patienceMs, podOf, shell, untilAsked } from './support/pods.ts';

type Answer = ServiceFacts & Explanation;

const files = mkdtempSync(join(tmpdir(), 'gantry-e2e-config-'));
afterAll(() => rmSync(files, { recursive: true, force: true }));

function configFile(mode: string): string {
  const path = join(files, `${mode}.yaml`);
  const networking = `networking: { kubeProxyMode: ${mode} }`;
  writeFileSync(path, `kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n${networking}\n`);
  return path;
}

const labelled = (pod: Pod, labels: Record<string, string>): Pod => ({
  ...pod,
  metadata: { ...pod.metadata, labels },
});
const serviceOf = (name: string, spec: NonNullable<Service['spec']>): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'default', name },
  spec,
});
const ports = [{ port: 80, targetPort: 8080 }];
const web = (more: object = {}) =>
  shell('mkdir /w; exec httpd -f -p 8080 -h /w', { ports: [{ name: 'web', containerPort: 8080 }], ...more });
const neverReady = { exec: { command: ['false'] }, periodSeconds: 1 };

describeAsRoot('gantry why service', () => {
  describe.each(['iptables', 'nftables'] as const)('in mode %s', (mode) => {
    const lab = useLab({ flags: ['--config', configFile(mode)] });
    const onNode = (...args: string[]): Promise<string> =>
      lab.onNode(0, process.execPath, mainFile, 'why', 'service', ...args);
    const untilSituation = (name: string, situation: string, ...flags: string[]): Promise<Answer> =>
      eventually(`Service ${name} is ${situation}`, patienceMs, async () => {
        const answer = JSON.parse(await onNode(name, '-o', 'json', ...flags)) as Answer;
        if (answer.situation !== situation) throw new Error(JSON.stringify(answer));
        return answer;
      });

    beforeAll(async () => {
      await applyObjects(
        lab,
        labelled(podOf('web', [web()]), { app: 'web' }),
        labelled(podOf('slow', [web({ readinessProbe: neverReady })]), { app: 'slow' }),
        podOf('client', untilAsked),
        serviceOf('web', { selector: { app: 'web' }, ports, type: 'NodePort' }),
        serviceOf('nobody', { selector: { app: 'none' }, ports }),
        serviceOf('misnamed', { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }] }),
        serviceOf('slow', { selector: { app: 'slow' }, ports }),
        serviceOf('deaf', { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8081 }] }),
      );
      await Promise.all(['web', 'client'].map((name) => awaitReady(lab, name)));
    });

    it('tries it from the node and from a pod, and says which endpoint answered', async () => {
      const answer = await untilSituation('default/web', 'Works');
      const [endpoint] = answer.endpoints;
      expect(answer.proxy).toMatchObject({ mode, isHealthy: true });
      expect(answer.tries).toMatchObject([
        { from: 'this node', isDirect: false, outcome: 'connected', reached: endpoint?.address },
        { isDirect: true, outcome: 'connected' },
      ]);
      expect(answer.frontends.map(({ kind, isAsWanted }) => [kind, isAsWanted])).toEqual([
        ['cluster IP', true],
        ['node port', true],
      ]);
      const fromPod = await untilSituation('web', 'Works', '--from', 'client');
      expect(fromPod.tries[0]).toMatchObject({ from: 'pod default/client', reached: endpoint?.address });
      expect(await onNode('web')).toMatch(/Cause: {3}A connection from this node to .* was made in .* and reached /);
    });

    it.each([
      { name: 'nobody', situation: 'SelectorMatchesNothing', cause: 'The selector app=none matches no pod' },
      { name: 'misnamed', situation: 'PortMismatch', cause: 'they have web 8080/TCP' },
      {
        name: 'slow',
        situation: 'NoReadyEndpoints',
        cause: 'slow is Running (containers with unready status: [main])',
      },
      { name: 'deaf', situation: 'EndpointRefuses', cause: 'Nothing listens at the endpoint' },
    ])('says why $name cannot be reached: $situation', async ({ name, situation, cause }) => {
      expect((await untilSituation(name, situation)).cause).toContain(cause);
    });

    it('names a Service that may have been meant', async () => {
      const script = '"$0" "$1" why service wed || echo "code $?"';
      const stdout = await lab.onNode(0, 'sh', '-c', script, process.execPath, mainFile);
      expect(stdout).toContain('code 1');
      expect(stdout).toMatch(/There is no Service "wed".*\n.*\nKnown: {3}default\/web/);
    });

    it('names the policy that denies', async () => {
      await applyObjects(lab, {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { namespace: 'default', name: 'closed' },
        spec: { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'] },
      });
      const { cause } = await untilSituation('web', 'PolicyDenies', '--from', 'client');
      expect(cause).toContain('default/closed');
      await lab.kubectl('delete', 'networkpolicy', 'closed');
      await untilSituation('web', 'Works', '--from', 'client');
    });

    it('says that rules are missing while no proxy puts them back', async () => {
      await lab.stop(0, 'agent', 'SIGKILL');
      expect((await untilSituation('web', 'Works')).proxy.mode).toBeUndefined();
      await (mode === 'iptables'
        ? lab.onNode(0, 'iptables', '-t', 'nat', '-F', 'KUBE-SERVICES')
        : lab.onNode(0, 'nft', 'delete', 'table', 'ip', 'kube-proxy'));
      const { cause } = await untilSituation('web', 'ProxyDown');
      expect(cause).toMatch(/^kube-proxy does not answer .* its rules are missing for /);
      await lab.start(0, 'agent');
      await untilSituation('web', 'Works');
    });
  });
});
