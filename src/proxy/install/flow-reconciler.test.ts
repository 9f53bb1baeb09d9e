import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../base/logger.ts';
import { systemClock } from '../../base/clock.ts';
import type { Flow, FlowProtocol } from '../compute/stale-flows.ts';
import { testEndpoint, testPort, testState } from '../compute/test-objects.ts';
import type { ServiceState } from '../proxy-model.ts';
import { FlowReconciler, type FlowRequest } from './flow-reconciler.ts';

const never = new AbortController().signal;
const dns = testState(testPort({ name: 'dns', protocol: 'udp', clusterIp: '10.96.0.10', port: 53 }), [
  testEndpoint('10.1.0.2', { port: 53 }),
]);
const web = testState(testPort({ name: 'web' }), []);
const stale: Flow = { toIp: '10.96.0.10', toPort: 53, replyFromIp: '10.1.0.9', replyFromPort: 53 };
const good: Flow = { ...stale, replyFromIp: '10.1.0.2' };

class Table {
  readonly looks: string[] = [];
  readonly deleted: Flow[] = [];
  udp: Flow[] = [];
  failure: Error | undefined;

  flows(_: string, protocol: FlowProtocol, onFlow: (flow: Flow) => void): Promise<void> {
    this.looks.push(protocol);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    for (const flow of protocol === 'udp' ? this.udp : []) onFlow(flow);
    return Promise.resolve();
  }

  deleteFlows(_: string, __: FlowProtocol, flows: readonly Flow[]): Promise<number> {
    this.deleted.push(...flows);
    return Promise.resolve(flows.length * 2);
  }
}

const build = () => {
  const table = new Table();
  const reconciled: number[][] = [];
  const reconciler = new FlowReconciler({
    family: 'IPv4',
    table,
    nodePortIps: () => [],
    onReconciled: (_, ...counts) => reconciled.push(counts),
    clock: systemClock,
    log: silentLogger,
  });
  const reconcile = (
    states: readonly ServiceState[],
    changed: FlowRequest['changed'],
    serviceCidrs?: string[],
  ): ReturnType<FlowReconciler['reconcile']> => {
    const services = new Map(states.map((state) => [state.key, state]));
    return reconciler.reconcile({ services, changed, serviceCidrs, endpoints: () => [] }, never);
  };
  return { table, reconciled, reconcile };
};

describe('FlowReconciler', () => {
  it('looks at the start, and then only for what has changed', async () => {
    const { table, reconcile } = build();
    await reconcile([dns, web], 'all');
    expect(table.looks).toEqual(['udp', 'sctp']);
    await reconcile([dns, web], new Set([web.key]));
    expect(table.looks).toEqual(['udp', 'sctp']);
    await reconcile([dns, web], new Set([dns.key]));
    expect(table.looks).toEqual(['udp', 'sctp', 'udp']);
    await reconcile([web], new Set([dns.key]));
    await reconcile([web], new Set([dns.key]));
    expect(table.looks).toEqual(['udp', 'sctp', 'udp', 'udp']);
  });

  it('deletes stale flows with the same ends at once, and no others; counts both', async () => {
    const { table, reconcile, reconciled } = build();
    table.udp = [good, stale, { ...stale }];
    await reconcile([dns], 'all');
    expect(table.deleted).toEqual([stale]);
    expect(reconciled).toEqual([[2, 2]]);
  });

  it('takes Services that are missing from a whole picture for gone', async () => {
    const { table, reconcile } = build();
    await reconcile([dns], 'all');
    table.udp = [good];
    await reconcile([], 'all');
    expect(table.deleted).toEqual([good]);
  });

  it('looks again once it knows where cluster IPs come from', async () => {
    const { table, reconcile } = build();
    const forsaken = { ...stale, toIp: '10.96.9.9' };
    table.udp = [forsaken];
    await reconcile([dns], 'all');
    expect(table.deleted).toEqual([]);
    await reconcile([dns], new Set(), ['10.96.0.0/16']);
    expect(table.deleted).toEqual([forsaken]);
    const looks = table.looks.length;
    await reconcile([dns], new Set(), ['10.96.0.0/16']);
    expect(table.looks).toHaveLength(looks);
  });

  it('looks again with the next sync when it could not', async () => {
    const { table, reconcile } = build();
    await reconcile([dns], 'all');
    table.failure = new Error('interrupted');
    table.udp = [good];
    expect(await reconcile([], new Set([dns.key]))).toEqual({ mustRetry: true });
    expect(table.deleted).toEqual([]);
    table.failure = undefined;
    expect(await reconcile([web], new Set([web.key]))).toEqual({ mustRetry: false });
    expect(table.deleted).toEqual([good]);
  });

  it('does not hurry where there is no tool, and looks once it has been installed', async () => {
    const { table, reconcile } = build();
    table.udp = [stale];
    table.failure = Object.assign(new Error('not found'), { isMissing: true });
    expect(await reconcile([dns], 'all')).toEqual({ mustRetry: false });
    expect(await reconcile([dns], new Set())).toEqual({ mustRetry: false });
    table.failure = undefined;
    await reconcile([dns], new Set());
    expect(table.deleted).toEqual([stale]);
  });
});
