import { describe, expect, it } from 'vitest';
import { ApiStatusError } from '../../client/api-client.ts';
import { FakeClock } from '../../base/clock.ts';
import { ConflictError, NotFoundError, UnavailableError } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Node, NodeCondition } from '../../objects/generated/core-v1.ts';
import { NodeReporter, type NodeReporterNeed } from './node-reporter.ts';

/** A server that knows one Node, and merges patches of its status as the real one does. */
class OneNodeApi {
  node: Node | undefined;
  readonly calls: string[] = [];
  readonly patches: unknown[] = [];
  #failures: Error[] = [];
  #version = 0;

  failNext(...failures: Error[]): void {
    this.#failures.push(...failures);
  }

  api(): NonNullable<NodeReporterNeed['api']> {
    return {
      get: async <T>() => this.#answer('get', () => this.#found()) as T,
      create: async <T>(_type: unknown, object: T) =>
        this.#answer('create', () => {
          if (this.node !== undefined) throw new ConflictError('exists');
          return this.#store({ ...(object as Node), metadata: { ...(object as Node).metadata, uid: 'uid-1' } });
        }) as T,
      patch: async <T>(_type: unknown, _ref: unknown, _kind: unknown, body: unknown) =>
        this.#answer('patch', () => {
          this.patches.push(body);
          return this.#store(applied(this.#found(), body as NodePatch));
        }) as T,
    };
  }

  #found(): Node {
    if (this.node === undefined) throw new NotFoundError('no node');
    return this.node;
  }

  #store(node: Node): Node {
    this.#version++;
    this.node = { ...node, metadata: { ...node.metadata, resourceVersion: String(this.#version) } };
    return this.node;
  }

  #answer(call: string, work: () => Node): Node {
    this.calls.push(call);
    const failure = this.#failures.shift();
    if (failure !== undefined) throw failure;
    return work();
  }
}

interface NodePatch {
  metadata?: object;
  status?: NonNullable<Node['status']>;
}

/** As the server does it: maps by key, conditions by type, addresses as a list, null deletes. */
function applied(node: Node, { metadata, status: patch }: NodePatch): Node {
  const { conditions = [], addresses, ...rest } = patch ?? {};
  const merged = new Map<string, NodeCondition>((node.status?.conditions ?? []).map((c) => [c.type, c]));
  for (const condition of conditions) merged.set(condition.type, { ...merged.get(condition.type), ...condition });
  return {
    ...node,
    metadata: mergeMaps(node.metadata, metadata ?? {}) as Node['metadata'],
    status: {
      ...mergeMaps(node.status ?? {}, rest),
      conditions: [...merged.values()],
      addresses: addresses?.filter((address) => 'type' in address) ?? node.status?.addresses,
    },
  };
}

function mergeMaps(base: object, patch: object): object {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(patch) as Array<[string, unknown]>) {
    const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (value === null) delete merged[key];
    else merged[key] = isMap ? mergeMaps((merged[key] ?? {}) as object, value) : value;
  }
  return merged;
}

function start(change: Partial<NodeReporterNeed> = {}, server = new OneNodeApi()) {
  const clock = new FakeClock();
  const events: string[] = [];
  const state = { runtimeErrors: [] as string[], randoms: 0.5 };
  const stop = new AbortController();
  const reporter = new NodeReporter({
    api: server.api(),
    nodeName: 'n1',
    config: {
      nodeIps: { ips: [], preferredFamily: 4 },
      nodeLabels: { team: 'a' },
      registerNode: true,
      registerWithTaints: [],
      providerId: '',
      cloudProvider: '',
      enableControllerAttachDetach: true,
      localStorageCapacityIsolation: false,
      nodeStatusUpdatePeriodMs: 10_000,
      nodeStatusReportPeriodMs: 300_000,
      nodeStatusMaxImages: 50,
      server: { port: 10_250 },
    },
    host: {
      addresses: () => [{ interfaceName: 'eth0', address: '10.0.0.5', family: 4, isLocal: false }],
      defaultRouteAddress: () => Promise.resolve('10.0.0.5'),
      lookup: () => Promise.resolve([]),
    },
    facts: () =>
      Promise.resolve({
        machineId: 'm',
        bootId: 'b',
        systemUuid: 's',
        kernelVersion: '6.1',
        osImage: 'Debian',
        architecture: 'amd64',
        cpuCount: 2,
        memoryBytes: 1,
        swapBytes: 0,
        hugepages: [],
        pidMax: 1,
        isAppArmorEnabled: false,
        isSeLinuxEnabled: false,
        thermalThrottlePaths: [],
      }),
    resources: () => {
      const list = { cpu: '2', memory: '1Gi', pods: '110' };
      return Promise.resolve({ capacity: list, allocatable: list });
    },
    runtimeVersion: () => Promise.resolve({ runtimeName: 'containerd', runtimeVersion: '1.6.20' }),
    runtimeStatus: () => undefined,
    runtimeErrors: () => state.runtimeErrors,
    networkError: () => undefined,
    storageErrors: () => [],
    pressures: () => ({ memory: false, disk: false, pid: false }),
    images: () => Promise.resolve([]),
    volumesInUse: () => undefined,
    declaredFeatures: [],
    hasDeviceState: true,
    isShuttingDown: () => false,
    cachedNode: () => undefined,
    event: (_type, reason) => events.push(reason),
    clock,
    log: silentLogger,
    random: () => state.randoms,
    ...change,
  });
  const running = reporter.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await clock.advance(0);
    await running;
  };
  return { reporter, server, clock, events, state, end };
}

const status = (node: Node | undefined, type: string): string | undefined =>
  node?.status?.conditions?.find((condition) => condition.type === type)?.status;

describe('NodeReporter', () => {
  it('registers after a first short wait and is Ready at once', async () => {
    const { server, clock, events, reporter, end } = start();
    await clock.advance(50);
    expect(server.calls).toEqual([]);
    expect(reporter.node()?.status?.capacity).toMatchObject({ cpu: '2' });
    await clock.advance(100);
    expect(server.calls[0]).toBe('create');
    expect(status(server.node, 'Ready')).toBe('True');
    expect(server.node?.metadata.labels).toMatchObject({ team: 'a', 'kubernetes.io/hostname': 'n1' });
    expect(reporter.node()?.metadata.uid).toBe('uid-1');
    expect(events).toEqual(['Starting', 'NodeHasSufficientMemory', 'NodeHasNoDiskPressure', 'NodeHasSufficientPID']);
    await end();
  });

  it('tries again with longer waits while the server is away, and has a Node all the while', async () => {
    const server = new OneNodeApi();
    server.failNext(...Array.from({ length: 3 }, () => new UnavailableError('connection refused')));
    const { clock, reporter, end } = start({}, server);
    await clock.advance(100 + 200 + 400);
    expect(server.calls).toEqual(['create', 'create', 'create']);
    expect(reporter.node()?.metadata.name).toBe('n1');
    await clock.advance(800);
    expect(server.calls[3]).toBe('create');
    expect(server.node).toBeDefined();
    await end();
  });

  it.each([
    { name: 'exists', failure: undefined },
    {
      name: 'may not be created by us',
      failure: new Error('x', { cause: new ApiStatusError(403, 'Forbidden', 'no') }),
    },
  ])('adopts a Node that $name, keeping what others wrote', async ({ failure }) => {
    const server = new OneNodeApi();
    server.node = {
      metadata: { name: 'n1', uid: 'old', resourceVersion: '7', labels: { mine: 'x' } },
      spec: { unschedulable: true },
      status: { conditions: [{ type: 'NetworkUnavailable', status: 'False' }], capacity: { 'example.com/x': '1' } },
    };
    if (failure !== undefined) server.failNext(failure);
    const { clock, events, end } = start({}, server);
    await clock.advance(200);
    expect(server.calls.slice(0, 3)).toEqual(['create', 'get', 'patch']);
    expect(server.node.metadata.labels).toMatchObject({ mine: 'x', 'kubernetes.io/hostname': 'n1' });
    expect(server.node.metadata.labels).not.toHaveProperty('team');
    expect(status(server.node, 'NetworkUnavailable')).toBe('False');
    expect(status(server.node, 'Ready')).toBe('True');
    expect(server.node.status?.capacity).toMatchObject({ cpu: '2', 'example.com/x': '1' });
    expect(events).toContain('NodeNotSchedulable');
    await end();
  });

  it('computes often and writes only after the report period, then with the same spacing', async () => {
    const { server, clock, end } = start();
    await clock.advance(200);
    const before = server.patches.length;
    await clock.advance(290_000);
    expect(server.patches).toHaveLength(before);
    await clock.advance(30_000);
    expect(server.patches).toHaveLength(before + 1);
    expect(server.patches.at(-1)).toMatchObject({ status: { conditions: expect.any(Array) as unknown[] } });
    await end();
  });

  it('writes a marked change at once, with its event', async () => {
    const { server, clock, events, state, reporter, end } = start();
    await clock.advance(200);
    state.runtimeErrors = ['container runtime is down'];
    reporter.markChanged();
    await clock.advance(1);
    const ready = server.node?.status?.conditions?.find(({ type }) => type === 'Ready');
    expect(ready).toMatchObject({ status: 'False', message: 'container runtime is down' });
    state.runtimeErrors = [];
    reporter.markChanged();
    await clock.advance(1);
    expect(events.slice(-2)).toEqual(['NodeNotReady', 'NodeReady']);
    await end();
  });

  it('reads the Node anew when a write fails, and gives up after five tries until the next turn', async () => {
    const { server, clock, state, end } = start();
    await clock.advance(200);
    state.runtimeErrors = ['container runtime is down'];
    server.calls.length = 0;
    server.failNext(new UnavailableError('away'));
    await clock.advance(10_500);
    expect(server.calls).toEqual(['patch', 'get', 'patch']);
    state.runtimeErrors = [];
    server.calls.length = 0;
    server.failNext(...Array.from({ length: 5 }, () => new UnavailableError('away')));
    await clock.advance(10_500);
    expect(server.calls).toEqual(['patch', 'get', 'get', 'get', 'get']);
    expect(status(server.node, 'Ready')).toBe('False');
    await clock.advance(10_500);
    expect(status(server.node, 'Ready')).toBe('True');
    await end();
  });

  it('puts back what the control plane wrote while we were away', async () => {
    let cached: Node | undefined;
    const { server, clock, reporter, end } = start({ cachedNode: () => cached });
    await clock.advance(200);
    const conditions = server.node?.status?.conditions?.map((condition) => ({ ...condition, status: 'Unknown' }));
    cached = {
      ...(server.node as Node),
      metadata: { name: 'n1', ...server.node?.metadata, resourceVersion: '99' },
      status: { ...server.node?.status, conditions },
    };
    server.node = cached;
    reporter.markChanged();
    await clock.advance(1);
    expect(status(server.node, 'Ready')).toBe('True');
    expect(status(server.node, 'MemoryPressure')).toBe('False');
    await end();
  });

  it('goes on when a part cannot be told', async () => {
    const { server, clock, end } = start({
      host: {
        addresses: () => [],
        defaultRouteAddress: () => Promise.resolve(undefined),
        lookup: () => Promise.resolve([]),
      },
      images: () => Promise.reject(new Error('runtime away')),
      runtimeVersion: () => new Promise(() => {}),
    });
    await clock.advance(10_000);
    expect(server.node?.status?.nodeInfo?.containerRuntimeVersion).toBe('Unknown');
    expect(server.node?.status?.addresses ?? []).toEqual([]);
    expect(status(server.node, 'Ready')).toBe('True');
    await end();
  });

  it('has a Node without any server', async () => {
    const { clock, reporter, server, end } = start({ api: undefined });
    await clock.advance(1);
    expect(status(reporter.node(), 'Ready')).toBe('True');
    expect(server.calls).toEqual([]);
    await end();
  });
});
