/**
 * All pods of a Deployment are replaced, twice, under load: 200 connections a second through its cluster IP, none of which
 * may be lost. `GANTRY_LOAD_SECONDS` is how long it takes at least.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Pod, Service } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import { makePeerImage, peerImage } from './support/peer-image.ts';
import { type List, applyObjects, awaitReady, patienceMs } from './support/pods.ts';
import { type ServiceClient, ServiceClients } from './support/service-clients.ts';

const directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-rolling-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const perSecond = 200;
const loadSeconds = Number(process.env['GANTRY_LOAD_SECONDS'] ?? 20);
const replicas = 3;
const labels = { app: 'web' };
const peer = { name: 'main', image: peerImage, imagePullPolicy: 'IfNotPresent', args: ['8080'] };

const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    replicas,
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: {
        terminationGracePeriodSeconds: 20,
        containers: [
          {
            ...peer,
            readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
            lifecycle: { preStop: { exec: { command: ['sleep', '5'] } } },
          },
        ],
      },
    },
  },
};
const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web' },
  spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
};

for (const mode of ['iptables', 'nftables'] as const) {
  describeAsRoot(`a rolling update under load, in mode ${mode}`, () => {
    const config = join(directory, `${mode}.yaml`);
    const head = 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n';
    writeFileSync(config, `${head}networking: {kubeProxyMode: ${mode}}\n`);
    const lab = useLab({ nodes: 3, flags: ['--config', config] });
    const clients = new ServiceClients(lab);
    let client: ServiceClient;
    let clusterIp = '';

    const podNames = async (): Promise<string[]> => {
      const { items } = await lab.kubectlJson<List<Pod>>('get', 'pods', '--selector', 'app=web');
      return items.map(({ metadata }) => metadata.name);
    };
    const rollout = (...args: string[]): Promise<string> => lab.kubectl('rollout', ...args, 'deployment/web');

    beforeAll(async () => {
      const archive = makePeerImage(directory, process.arch === 'x64' ? 'amd64' : process.arch);
      expect((await lab.gantry('lab', 'load', archive, '--name', lab.name)).code).toBe(0);
      const spec = { nodeName: lab.nodeName(1), terminationGracePeriodSeconds: 1, containers: [peer] };
      await applyObjects(lab, service, deployment, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'client' },
        spec,
      });
      await rollout('status', '--timeout=90s');
      await awaitReady(lab, 'client');
      client = await clients.inPod('client', 1);
      clusterIp = (await lab.kubectlJson<Service>('get', 'service', 'web')).spec.clusterIP ?? '';
      await eventually('an answer', patienceMs, async () => {
        const [answer] = await client.ask([{ protocol: 'TCP', ip: clusterIp, port: 80 }]);
        return answer?.startsWith('web-') || undefined;
      });
    });
    afterAll(() => clients.close());

    it('loses no connection while all endpoints are replaced twice', async () => {
      const generations = [await podNames()];
      const load = client.load(clusterIp, 80, perSecond, perSecond * loadSeconds);
      for (const turn of [1, 2]) {
        await rollout('restart');
        await rollout('status', '--timeout=90s');
        const old = new Set(generations.flat());
        await eventually(`the end of the pods before turn ${turn}`, patienceMs, async () => {
          const now = await podNames();
          return (now.length === replicas && now.every((name) => !old.has(name))) || undefined;
        });
        generations.push(await podNames());
      }
      await client.endLoad();
      const told = await load;
      const opened = Number(told[0]?.replace('opened ', ''));
      expect(opened).toBeGreaterThanOrEqual(perSecond * loadSeconds);
      expect(told.filter((line) => line.startsWith('lost'))).toEqual([]);
      const answered = told.filter((line) => line.startsWith('answered')).map((line) => line.split(' '));
      expect(answered.map(([, name = '']) => name).toSorted()).toEqual(generations.flat().toSorted());
      expect(answered.reduce((sum, [, , times]) => sum + Number(times), 0)).toBe(opened);
    });
  });
}
