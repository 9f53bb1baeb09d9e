/** The CNI configuration that gives pods of a node an address of its pod networks and a link: our own, as text. Pure. */

export const podConflistName = '10-gantry.conflist';
/** In our file, so that we know it again: whatever lacks it is not ours to change. Runtimes take no notice of it. */
const writerKey = 'gantryWriter';
const writer = 'network-agent';

export interface PodConflist {
  podCidrs: readonly string[];
  /** Of the interface that leads to the other nodes. */
  mtu: number;
}

/**
 * `ptp`: each pod has a link of its own to the node, so whatever a pod sends is routed and passes the node's rules, also
 * to its neighbour. Pods' addresses are remembered under `/run`: after a restart of the machine all are free.
 */
export function podConflistText({ podCidrs, mtu }: PodConflist): string {
  const defaultRoutes = [...new Set(podCidrs.map((cidr) => (cidr.includes(':') ? '::/0' : '0.0.0.0/0')))];
  const conflist = {
    cniVersion: '1.0.0',
    name: 'gantry',
    [writerKey]: writer,
    plugins: [
      {
        type: 'ptp',
        ipMasq: false,
        mtu,
        ipam: {
          type: 'host-local',
          dataDir: '/run/cni-ipam-state',
          ranges: podCidrs.map((subnet) => [{ subnet }]), // a set each: one address from every one
          routes: defaultRoutes.map((dst) => ({ dst })),
        },
      },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ],
  };
  return `${JSON.stringify(conflist, undefined, 2)}\n`;
}

/** Whether a configuration says that we wrote it, in whichever version. */
export function isOwnConflist(parsed: unknown): boolean {
  return typeof parsed === 'object' && parsed !== null && writerKey in parsed && parsed[writerKey] === writer;
}
