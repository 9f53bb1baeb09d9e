import { enter } from '../../adapters/namespaces/namespaces.ts';
import { runIp } from '../../adapters/host-network/host-network.ts';
import { LabNode } from '../lab-node.ts';
import type { Action } from './create-context.ts';

export const bridgeHolder = 'network';
export const bridgeName = 'br0';
/** Of nodes' interfaces: the kernel's choice for a pair of them. */
export const nodeMtu = 1500;

/**
 * The cluster's bridge lives in namespaces of its own and the host plugs in like a node. So neither the host's firewall
 * nor its bridge settings come between nodes, and when the holder dies nothing of the network is left.
 */
export const createNetwork: Action = {
  name: 'network',
  title: 'network',
  needs: [],
  run: async (context, signal) => {
    const { plan, paths, clock } = context;
    const bridge = await LabNode.start(bridgeHolder, paths, clock, signal);
    context.made.bridge = bridge;
    const { pid } = bridge.init;
    await runIp(
      [`link add ${bridgeName} type bridge`, `link set ${bridgeName} up`, 'link set lo up'],
      enter(pid),
      signal,
    );
    const prefixLength = plan.subnet.split('/')[1] ?? '24';
    await runIp(
      [
        `link add ${plan.hostInterface} type veth peer name host netns ${pid}`,
        `address add ${plan.hostIp}/${prefixLength} dev ${plan.hostInterface}`,
        ...(plan.ipv6 === undefined ? [] : [`address add ${plan.ipv6.hostIp}/64 dev ${plan.hostInterface} nodad`]),
        `link set ${plan.hostInterface} up`,
      ],
      [],
      signal,
    );
    await runIp([`link set host master ${bridgeName} up`], enter(pid), signal);
  },
};
