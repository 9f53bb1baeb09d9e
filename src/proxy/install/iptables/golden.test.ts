/** Rules of the model cluster against files in the form in which upstream hands them to iptables-restore. */
import { describe, expect, it } from 'vitest';
import type { RestoreInput } from '../../../adapters/iptables/iptables.ts';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { objectKey } from '../../../objects/object-key.ts';
import { knownService, knownSlice } from '../../collect/known-objects.ts';
import { ServiceTracker } from '../../collect/service-tracker.ts';
import { localTraffic } from '../../compute/local-traffic.ts';
import { modelClusterCidrs, modelNode, modelServices, modelSlices } from '../../compute/model-cluster.ts';
import { nodePortAddresses } from '../../compute/node-port-addresses.ts';
import { masqueradeMark } from '../../compute/iptables/static-rules.ts';
import type { LocalDetection } from '../../proxy-config.ts';
import type { IpFamily } from '../../proxy-model.ts';
import { IptablesInstaller, type IptablesInstallerOptions } from './iptables-installer.ts';

const signal = new AbortController().signal;
const byClusterCidr: LocalDetection = { mode: 'ClusterCIDR', clusterCidrs: modelClusterCidrs };

interface Variant {
  name: string;
  family?: IpFamily;
  /** Only these Services; all of them when it is not said. */
  services?: string[];
  options?: Partial<IptablesInstallerOptions>;
  detection?: LocalDetection;
  addresses?: string[];
  counters?: boolean;
}

const few = ['node-port', 'here-only', 'balanced-local'];

const variants: Variant[] = [
  { name: 'model-ipv4' },
  { name: 'model-ipv6', family: 'IPv6', addresses: ['primary'] },
  { name: 'counters', services: ['node-port'], counters: true },
  {
    name: 'masquerade-all',
    services: few,
    options: { masqueradeAll: true, masqueradeMark: masqueradeMark(31), dropsInvalid: false },
  },
  { name: 'bridge-interface', services: few, detection: { mode: 'BridgeInterface', bridgeInterface: 'cbr0' } },
  {
    name: 'interface-prefix',
    services: few,
    detection: { mode: 'InterfaceNamePrefix', interfaceNamePrefix: 'veth' },
  },
  { name: 'no-detector', services: few, detection: { mode: 'ClusterCIDR', clusterCidrs: [] } },
  { name: 'primary-addresses', services: ['node-port'], addresses: ['primary'] },
  { name: 'chosen-addresses', services: ['node-port'], addresses: ['127.0.0.0/8', '192.168.0.0/24'] },
  {
    name: 'no-localhost-node-ports',
    services: ['node-port'],
    addresses: ['127.0.0.0/8', '192.168.0.0/24'],
    options: { localhostNodePorts: false },
  },
  { name: 'all-but-localhost', services: ['node-port'], options: { localhostNodePorts: false } },
];

async function restored(variant: Variant): Promise<string> {
  const { family = 'IPv4', services, options, detection = byClusterCidr, addresses = [], counters = false } = variant;
  const tracker = new ServiceTracker();
  const wanted = modelServices.filter(({ metadata }) => services?.includes(metadata.name) ?? true);
  for (const service of wanted) tracker.setService(objectKey(service), knownService(service).ports[family]);
  for (const slice of modelSlices) {
    const { serviceKey = '', family: ofSlice, endpoints } = knownSlice(slice, modelNode.name);
    tracker.setSlice(serviceKey, slice.metadata.name, ofSlice === family ? endpoints : undefined);
  }
  await tracker.take();
  let text = '';
  const iptables = {
    save: () => Promise.resolve(),
    ruleCount: () => Promise.resolve(undefined),
    restore: async (input: RestoreInput): Promise<void> => {
      for await (const piece of input()) text += piece;
    },
  };
  const installer = new IptablesInstaller(
    {
      family,
      masqueradeMark: masqueradeMark(14),
      masqueradeAll: false,
      localhostNodePorts: true,
      dropsInvalid: true,
      nodePortAddresses: () => nodePortAddresses(addresses, modelNode.ips, family),
      localTraffic: () => localTraffic(detection, [], family),
      syncPeriodMs: 30_000,
      ...options,
    },
    {
      iptables,
      ensureCounter: () => Promise.resolve(counters),
      interfaceIps: () => ['127.0.0.1', '::1', ...modelNode.ips],
      clock: new FakeClock(),
      log: silentLogger,
    },
  );
  const node = { ...modelNode, ip: modelNode.ips[family === 'IPv4' ? 0 : 1] };
  await installer.sync({ services: tracker.states, changed: 'all', node }, signal);
  return text;
}

describe('rules of the model cluster', () => {
  it.each(variants)('are those in golden/$name.txt', async (variant) => {
    await expect(await restored(variant)).toMatchFileSnapshot(`golden/${variant.name}.txt`);
  });
});
