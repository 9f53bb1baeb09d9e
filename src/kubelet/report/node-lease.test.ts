import { describe, expect, it } from 'vitest';
import type { ApiClient, KubeObject, ResourceType } from '../../client/api-client.ts';
import { FakeClock } from '../../base/clock.ts';
import { ConflictError, NotFoundError, UnavailableError } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Lease } from '../../objects/generated/coordination-v1.ts';
import { NodeLease } from './node-lease.ts';

function start(existing?: Lease) {
  const clock = new FakeClock(0);
  const stop = new AbortController();
  const calls: string[] = [];
  const failures: Array<Error | undefined> = [];
  const stored: { lease: Lease | undefined; hasNode: boolean } = { lease: existing, hasNode: true };
  const enter = (call: string): void => {
    calls.push(call);
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
  };
  // the objects are what the lease asks for: its Node, or the Lease itself
  const answer = <T extends KubeObject>(object: unknown): T => object as T;
  const api: Pick<ApiClient, 'get' | 'create' | 'update'> = {
    get: async <T extends KubeObject>(type: ResourceType<T>) => {
      enter(`get ${type.plural}`);
      if (type.plural === 'nodes') {
        if (!stored.hasNode) throw new NotFoundError('no node');
        return answer<T>({ metadata: { name: 'n1', uid: 'node-uid' } });
      }
      if (stored.lease === undefined) throw new NotFoundError('no lease');
      return answer<T>(stored.lease);
    },
    create: async <T extends KubeObject>(_type: ResourceType<T>, object: T) => {
      enter('create');
      stored.lease = answer<Lease>(object);
      return object;
    },
    update: async <T extends KubeObject>(_type: ResourceType<T>, object: T) => {
      enter('update');
      stored.lease = answer<Lease>(object);
      return object;
    },
  };
  const lease = new NodeLease({ api, nodeName: 'n1', durationSeconds: 40, clock, log: silentLogger, random: () => 0 });
  const running = lease.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await clock.advance(0);
    await running;
  };
  return { clock, calls, failures, stored, end };
}

describe('NodeLease', () => {
  it('makes the Lease, owned by the Node', async () => {
    const { clock, stored, calls, end } = start();
    await clock.advance(0);
    expect(calls).toEqual(['get leases', 'get nodes', 'create']);
    expect(stored.lease).toEqual({
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        name: 'n1',
        namespace: 'kube-node-lease',
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'node-uid' }],
      },
      spec: { holderIdentity: 'n1', leaseDurationSeconds: 40, renewTime: '1970-01-01T00:00:00.000000Z' },
    });
    await end();
  });

  it('renews every ten seconds without reading', async () => {
    const { clock, stored, calls, end } = start();
    await clock.advance(0);
    calls.length = 0;
    await clock.advance(30_000);
    expect(calls).toEqual(['update', 'update', 'update']);
    expect(stored.lease?.spec.renewTime).toBe('1970-01-01T00:00:30.000000Z');
    await end();
  });

  it('renews at once what a restarted kubelet finds', async () => {
    const { clock, stored, calls, end } = start({
      metadata: {
        name: 'n1',
        namespace: 'kube-node-lease',
        resourceVersion: '5',
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'node-uid' }],
      },
      spec: { holderIdentity: 'n1', renewTime: 'old' },
    });
    await clock.advance(0);
    expect(calls).toEqual(['get leases', 'update']);
    expect(stored.lease?.metadata.resourceVersion).toBe('5');
    expect(stored.lease?.spec.renewTime).toBe('1970-01-01T00:00:00.000000Z');
    await end();
  });

  it('waits for the Node with longer pauses', async () => {
    const { clock, stored, calls, end } = start();
    stored.hasNode = false;
    await clock.advance(500);
    expect(calls.filter((call) => call === 'create')).toEqual([]);
    stored.hasNode = true;
    await clock.advance(200);
    expect(stored.lease).toBeDefined();
    await end();
  });

  it('reads the Lease again after a conflict', async () => {
    const { clock, calls, failures, end } = start();
    await clock.advance(0);
    calls.length = 0;
    failures.push(new ConflictError('changed'));
    await clock.advance(10_000);
    expect(calls).toEqual(['update', 'get leases', 'update']);
    await end();
  });

  it('tries five times, then gets or makes it, for ever', async () => {
    const { clock, calls, failures, stored, end } = start();
    await clock.advance(0);
    calls.length = 0;
    failures.push(...Array.from({ length: 12 }, () => new UnavailableError('away')));
    await clock.advance(10_000);
    expect(calls.slice(0, 6)).toEqual(['update', 'update', 'update', 'update', 'update', 'get leases']);
    stored.lease = undefined;
    await clock.advance(20_000);
    expect(stored.lease).toBeDefined();
    await end();
  });
});
