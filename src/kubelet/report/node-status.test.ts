import { describe, expect, it } from 'vitest';
import type { Node, NodeCondition } from '../../objects/generated/core-v1.ts';
import { type NodeIpChoice, computeNodeAddresses } from './node-addresses.ts';
import { type NodeHealth, computeNodeConditions } from './node-conditions.ts';
import { type NodeIdentity, initialNode, isExtendedResource, reconcileNode } from './node-registration.ts';
import {
  type NodeMemory,
  type NodeObservation,
  computeNodeStatus,
  isNodeChanged,
  nodeImages,
  nodePatch,
  plainVersion,
} from './node-status.ts';

const t0 = '2026-01-01T00:00:00Z';
const t1 = '2026-01-01T00:00:10Z';

const healthy: NodeHealth = {
  hasMemoryPressure: false,
  hasDiskPressure: false,
  hasPidPressure: false,
  runtimeErrors: [],
  networkError: undefined,
  storageErrors: [],
  isShuttingDown: false,
  missingCapacity: [],
};
const readyAt = (health: Partial<NodeHealth>, before: NodeCondition[] = []): NodeCondition | undefined =>
  computeNodeConditions(before, { ...healthy, ...health }, 'n1', t1).conditions.find(({ type }) => type === 'Ready');

describe('computeNodeConditions', () => {
  it('starts with three pressures off, with their events, and Ready without one', () => {
    const { conditions, events } = computeNodeConditions([], healthy, 'n1', t0);
    expect(conditions.map(({ type, status, reason, message }) => [type, status, reason, message])).toEqual([
      ['MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
      ['DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
      ['PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
      ['Ready', 'True', 'KubeletReady', 'kubelet is posting ready status'],
    ]);
    expect(events.map(({ reason, message }) => `${reason}: ${message}`)).toEqual([
      'NodeHasSufficientMemory: Node n1 status is now: NodeHasSufficientMemory',
      'NodeHasNoDiskPressure: Node n1 status is now: NodeHasNoDiskPressure',
      'NodeHasSufficientPID: Node n1 status is now: NodeHasSufficientPID',
    ]);
  });

  it('moves only the heartbeat while nothing changes, and leaves conditions of others in place', () => {
    const foreign = { type: 'NetworkUnavailable', status: 'False', reason: 'FlannelIsUp', lastHeartbeatTime: t0 };
    const first = [foreign, ...computeNodeConditions([], healthy, 'n1', t0).conditions];
    const { conditions, events } = computeNodeConditions(first, healthy, 'n1', t1);
    expect(events).toEqual([]);
    expect(conditions[0]).toEqual(foreign);
    expect(conditions.slice(1).every((c) => c.lastHeartbeatTime === t1 && c.lastTransitionTime === t0)).toBe(true);
  });

  it('tells every flip, also from Unknown', () => {
    const unknown = ['MemoryPressure', 'DiskPressure', 'PIDPressure', 'Ready'].map((type) => ({
      type,
      status: 'Unknown',
    }));
    const bad = {
      ...healthy,
      hasMemoryPressure: true,
      hasDiskPressure: true,
      hasPidPressure: true,
      runtimeErrors: ['x'],
    };
    const { conditions, events } = computeNodeConditions(unknown, bad, 'n1', t1);
    expect(conditions.map(({ status }) => status)).toEqual(['True', 'True', 'True', 'False']);
    expect(events.map(({ reason }) => reason)).toEqual([
      'NodeHasInsufficientMemory',
      'NodeHasDiskPressure',
      'NodeHasInsufficientPID',
      'NodeNotReady',
    ]);
  });

  it.each([
    { health: { runtimeErrors: ['container runtime is down'] }, want: 'container runtime is down' },
    {
      health: {
        runtimeErrors: ['container runtime is down', 'PLEG is not healthy'],
        networkError: 'network state unknown',
      },
      want: '[container runtime is down, PLEG is not healthy, network state unknown]',
    },
    { health: { storageErrors: ['a', 'a'] }, want: 'a' },
    {
      health: { isShuttingDown: true, missingCapacity: ['cpu', 'memory'] },
      want: '[node is shutting down, missing node capacity for resources: cpu, memory]',
    },
  ])('is not ready: $want', ({ health, want }) => {
    expect(readyAt(health)).toMatchObject({ status: 'False', reason: 'KubeletNotReady', message: want });
  });

  it('stays ready when the kubelet is started again and has not yet seen to the volumes', () => {
    const before = [{ type: 'Ready', status: 'True', lastTransitionTime: t0 }];
    const storageErrors = ['CSINode is not yet initialized'];
    expect(readyAt({ storageErrors }, before)).toMatchObject({ status: 'True', lastTransitionTime: t0 });
    expect(readyAt({ storageErrors, runtimeErrors: ['a'] }, before)).toMatchObject({ status: 'False', message: 'a' });
  });

  it('rewrites the message of an unchanged Ready without moving its transition', () => {
    const before = [{ type: 'Ready', status: 'False', message: 'a', lastTransitionTime: t0 }];
    expect(readyAt({ runtimeErrors: ['b'] }, before)).toMatchObject({ message: 'b', lastTransitionTime: t0 });
  });
});

const host = (address: string, family: 4 | 6 = 4) => ({ interfaceName: 'eth0', address, family, isLocal: false });
const view = {
  addresses: [host('10.0.0.5'), host('fd00::5', 6)],
  ofName: [] as string[],
  ofDefaultRoute: '10.0.0.5' as string | undefined,
};
const auto: NodeIpChoice = { ips: [], preferredFamily: 4 };
const hostname = { type: 'Hostname', address: 'n1' };
const internal = (address: string) => ({ type: 'InternalIP', address });

describe('computeNodeAddresses', () => {
  it.each([
    {
      name: 'the given one',
      choice: { ...auto, ips: ['10.0.0.5'] },
      change: {},
      want: [internal('10.0.0.5'), hostname],
    },
    {
      name: 'the given pair, primary first',
      choice: { ...auto, ips: ['fd00::5', '10.0.0.5'] },
      change: {},
      want: [internal('fd00::5'), internal('10.0.0.5'), hostname],
    },
    { name: 'of the default route', choice: auto, change: {}, want: [internal('10.0.0.5'), hostname] },
    {
      name: 'of the name, where it is ours',
      choice: auto,
      change: { ofName: ['127.0.1.1', '192.168.1.1', 'fd00::5'] },
      want: [internal('fd00::5'), hostname],
    },
    {
      name: 'of the preferred family',
      choice: { ...auto, preferredFamily: 6 as const },
      change: { ofName: ['10.0.0.5', 'fd00::5'] },
      want: [internal('fd00::5'), hostname],
    },
  ])('$name', ({ choice, change, want }) => {
    expect(computeNodeAddresses('n1', choice, false, { ...view, ...change }, [])).toEqual(want);
  });

  it('leaves addresses to an external cloud', () => {
    expect(computeNodeAddresses('n1', auto, true, view, [])).toEqual([hostname]);
    expect(computeNodeAddresses('n1', auto, true, view, [internal('1.2.3.4')])).toEqual([internal('1.2.3.4')]);
  });

  it('takes a name that is an address', () => {
    expect(computeNodeAddresses('10.0.0.9', auto, false, view, [])[0]).toEqual(internal('10.0.0.9'));
  });

  it.each([
    { ip: '10.0.0.9', want: `node IP: "10.0.0.9" not found in the host's network interfaces` },
    { ip: '127.0.0.1', want: "nodeIP can't be loopback address" },
    { ip: '224.0.0.1', want: "nodeIP can't be a multicast address" },
    { ip: 'fe80::1', want: "nodeIP can't be a link-local unicast address" },
  ])('refuses $ip', ({ ip, want }) => {
    expect(() => computeNodeAddresses('n1', { ...auto, ips: [ip] }, false, view, [])).toThrow(want);
  });

  it('says so when there is none', () => {
    const nowhere = { ...view, ofDefaultRoute: undefined };
    expect(() => computeNodeAddresses('n1', auto, false, nowhere, [])).toThrow(
      /^can't get ip address of node n1\. error: /,
    );
  });
});

const identity: NodeIdentity = {
  nodeName: 'n1',
  architecture: 'amd64',
  nodeLabels: { 'topology.kubernetes.io/zone': 'z1', team: 'a' },
  registerWithTaints: [{ key: 'a', effect: 'NoSchedule' }],
  providerId: '',
  enableControllerAttachDetach: true,
  cloudProvider: '',
  nodeIps: [],
};

describe('initialNode', () => {
  it('has labels, annotation and taints', () => {
    expect(initialNode(identity)).toMatchObject({
      metadata: {
        name: 'n1',
        labels: {
          'kubernetes.io/hostname': 'n1',
          'kubernetes.io/os': 'linux',
          'kubernetes.io/arch': 'amd64',
          'beta.kubernetes.io/os': 'linux',
          'beta.kubernetes.io/arch': 'amd64',
          'topology.kubernetes.io/zone': 'z1',
          team: 'a',
        },
        annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' },
      },
      spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] },
    });
  });

  it('waits for an external cloud', () => {
    const node = initialNode({ ...identity, cloudProvider: 'external', nodeIps: ['10.0.0.5'], providerId: 'x://1' });
    expect(node.spec).toMatchObject({
      providerID: 'x://1',
      taints: [
        { key: 'a' },
        { key: 'node.cloudprovider.kubernetes.io/uninitialized', value: 'true', effect: 'NoSchedule' },
      ],
    });
    expect(node.metadata.annotations).toMatchObject({ 'alpha.kubernetes.io/provided-node-ip': '10.0.0.5' });
  });
});

describe('reconcileNode', () => {
  const wanted: Node = {
    ...initialNode(identity),
    status: { capacity: { cpu: '2', 'hugepages-2Mi': '0' }, allocatable: { cpu: '2', 'hugepages-2Mi': '0' } },
  };
  const existing: Node = {
    metadata: {
      name: 'n1',
      uid: 'u',
      labels: { 'kubernetes.io/hostname': 'old', team: 'b', mine: 'x' },
      annotations: { k: 'v' },
    },
    spec: { podCIDR: '10.1.0.0/24' },
    status: {
      capacity: { cpu: '4', 'hugepages-1Gi': '1Gi', 'example.com/gpu': '2' },
      allocatable: { 'example.com/gpu': '2' },
    },
  };

  it('sets default labels again, and no others', () => {
    const { metadata, spec } = reconcileNode(existing, wanted, true);
    expect(metadata.labels).toMatchObject({
      'kubernetes.io/hostname': 'n1',
      'topology.kubernetes.io/zone': 'z1',
      team: 'b',
      mine: 'x',
    });
    expect(metadata.annotations).toEqual({ k: 'v', 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' });
    expect(spec).toEqual({ podCIDR: '10.1.0.0/24' });
  });

  it.each([
    { hasDeviceState: true, gpu: '2' },
    { hasDeviceState: false, gpu: '0' },
  ])('mends huge pages and extended resources (device state: $hasDeviceState)', ({ hasDeviceState, gpu }) => {
    expect(reconcileNode(existing, wanted, hasDeviceState).status).toEqual({
      capacity: { cpu: '4', 'hugepages-2Mi': '0', 'example.com/gpu': gpu },
      allocatable: { 'hugepages-2Mi': '0', 'example.com/gpu': gpu },
    });
  });

  it('fills in what an empty Node lacks', () => {
    const empty: Node = { metadata: { name: 'n1' }, spec: {} };
    expect(reconcileNode(empty, wanted, true).status?.capacity).toEqual({ cpu: '2', 'hugepages-2Mi': '0' });
  });

  it.each([
    ['cpu', false],
    ['hugepages-2Mi', false],
    ['attachable-volumes.kubernetes.io/x', false],
    ['example.com/gpu', true],
  ])('%s is extended: %s', (name, want) => expect(isExtendedResource(name)).toBe(want));
});

const facts: NonNullable<NodeObservation['facts']> = {
  machineId: 'm',
  bootId: 'boot1',
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
};
const seen: NodeObservation = {
  facts,
  resources: {
    capacity: { cpu: '2', memory: '1Gi', pods: '110', 'ephemeral-storage': '1Gi' },
    allocatable: { cpu: '2', memory: '1Gi', pods: '110', 'ephemeral-storage': '1Gi' },
  },
  addresses: [internal('10.0.0.5'), hostname],
  runtime: { name: 'containerd', version: '1.6.20~ds1' },
  runtimeStatus: {
    conditions: [],
    handlers: [
      { name: 'runc', recursiveReadOnlyMounts: true, userNamespaces: false },
      { name: '', recursiveReadOnlyMounts: true, userNamespaces: false },
    ],
    supplementalGroupsPolicy: true,
  },
  images: [],
  imagesMax: 50,
  kubeletPort: 10_250,
  health: { ...healthy },
  volumesInUse: ['b', 'a'],
  declaredFeatures: ['B', 'A', 'A'],
  hasLocalStorageIsolation: true,
};
const memory: NodeMemory = { bootIdSeen: false, wasUnschedulable: false };
const blank: Node = { metadata: { name: 'n1' }, spec: {} };

describe('computeNodeStatus', () => {
  it('fills everything', () => {
    const { node } = computeNodeStatus(blank, seen, memory, t0);
    expect(node.status).toMatchObject({
      addresses: [internal('10.0.0.5'), hostname],
      capacity: { cpu: '2' },
      daemonEndpoints: { kubeletEndpoint: { Port: 10_250 } },
      nodeInfo: {
        machineID: 'm',
        systemUUID: 's',
        bootID: 'boot1',
        kernelVersion: '6.1',
        osImage: 'Debian',
        architecture: 'amd64',
        operatingSystem: 'linux',
        containerRuntimeVersion: 'containerd://1.6.20',
        kubeletVersion: expect.stringMatching(/^v1\.36\.0\+gantry\./) as string,
        kubeProxyVersion: '',
      },
      runtimeHandlers: [
        { features: { recursiveReadOnlyMounts: true, userNamespaces: false } },
        { name: 'runc', features: { recursiveReadOnlyMounts: true, userNamespaces: false } },
      ],
      features: { supplementalGroupsPolicy: true },
      volumesInUse: ['a', 'b'],
      declaredFeatures: ['A', 'B'],
    });
    expect(node.status?.nodeInfo).not.toHaveProperty('swap');
  });

  it('keeps what cannot be told now, and what others wrote', () => {
    const { node } = computeNodeStatus(blank, seen, memory, t0);
    const own: Node = {
      ...node,
      status: {
        ...node.status,
        volumesAttached: [{ name: 'v', devicePath: '/d' }],
        capacity: { ...node.status?.capacity, 'example.com/x': '3' },
      },
    };
    const nothing = {
      ...seen,
      facts: undefined,
      resources: undefined,
      addresses: undefined,
      runtime: undefined,
      images: undefined,
      runtimeStatus: undefined,
      volumesInUse: undefined,
    };
    const next = computeNodeStatus(own, nothing, memory, t1).node;
    expect(next.status?.nodeInfo).toEqual({ ...own.status?.nodeInfo, containerRuntimeVersion: 'Unknown' });
    expect(next.status).toMatchObject({
      addresses: own.status?.addresses,
      capacity: own.status?.capacity,
      volumesAttached: own.status?.volumesAttached,
      volumesInUse: ['a', 'b'],
    });
    expect(computeNodeStatus(own, seen, memory, t1).node.status).toMatchObject({
      capacity: { 'example.com/x': '3' },
      allocatable: { 'example.com/x': '3' },
    });
  });

  it('is not ready without a capacity', () => {
    const { node } = computeNodeStatus(blank, { ...seen, resources: undefined }, memory, t0);
    expect(node.status?.conditions?.at(-1)?.message).toBe(
      'missing node capacity for resources: cpu, memory, pods, ephemeral-storage',
    );
  });

  it('tells a reboot once', () => {
    const before = computeNodeStatus(blank, seen, memory, t0);
    const rebooted = { ...seen, facts: { ...facts, bootId: 'boot2' } };
    const after = computeNodeStatus(before.node, rebooted, memory, t1);
    expect(after.events).toEqual([
      { type: 'Warning', reason: 'Rebooted', message: 'Node n1 has been rebooted, boot id: boot2' },
    ]);
    expect(computeNodeStatus(before.node, rebooted, after.memory, t1).events).toEqual([]);
  });

  it('tells when scheduling is switched off and on', () => {
    const cordoned: Node = { ...computeNodeStatus(blank, seen, memory, t0).node, spec: { unschedulable: true } };
    const off = computeNodeStatus(cordoned, seen, memory, t1);
    expect(off.events.map(({ reason }) => reason)).toEqual(['NodeNotSchedulable']);
    const on = computeNodeStatus({ ...cordoned, spec: {} }, seen, off.memory, t1);
    expect(on.events.map(({ reason }) => reason)).toEqual(['NodeSchedulable']);
  });
});

describe('parts', () => {
  it.each([
    ['2.1.3', '2.1.3'],
    ['v1.7.0-rc.1+x', '1.7.0-rc.1+x'],
    ['1.6.20~ds1', '1.6.20'],
    ['1.30', '1.30'],
    ['weird', 'weird'],
  ])('version %s is shown as %s', (version, want) => expect(plainVersion(version)).toBe(want));

  it('lists the largest images, digests first, five names each', () => {
    const image = (sizeBytes: number, repoTags: string[], repoDigests: string[] = []) => ({
      id: 'i',
      repoTags,
      repoDigests,
      sizeBytes,
      uid: undefined,
      username: '',
      pinned: false,
    });
    const images = [image(1, ['a']), image(3, ['t1', 't2', 't3', 't4', 't5'], ['d1'])];
    expect(nodeImages(images, -1)).toEqual([
      { names: ['d1', 't1', 't2', 't3', 't4'], sizeBytes: 3 },
      { names: ['a'], sizeBytes: 1 },
    ]);
    expect(nodeImages(images, 1)).toHaveLength(1);
    expect(nodeImages(images, 0)).toEqual([]);
  });
});

describe('nodePatch', () => {
  const base = computeNodeStatus(blank, seen, memory, t0).node;

  it('is nothing for nothing, and heartbeats are no change', () => {
    expect(nodePatch(base, structuredClone(base))).toBeUndefined();
    const later = computeNodeStatus(base, seen, memory, t1).node;
    expect(isNodeChanged(base, later)).toBe(false);
    expect(Object.keys(nodePatch(base, later) ?? {})).toEqual(['status']);
    const { conditions } = (nodePatch(base, later) as { status: { conditions: unknown[] } }).status;
    expect(conditions).toHaveLength(4);
  });

  it('merges conditions by type and replaces addresses as a list', () => {
    const next: Node = {
      ...base,
      status: {
        ...base.status,
        conditions: (base.status?.conditions ?? []).map((c) => (c.type === 'Ready' ? { ...c, status: 'False' } : c)),
        addresses: [internal('10.0.0.5'), internal('fd00::5'), hostname],
      },
    };
    expect(isNodeChanged(base, next)).toBe(true);
    expect(nodePatch(base, next)).toEqual({
      status: {
        conditions: [expect.objectContaining({ type: 'Ready', status: 'False' })],
        addresses: [internal('10.0.0.5'), internal('fd00::5'), hostname, { $patch: 'replace' }],
      },
    });
  });

  it('takes what a server leaves out for what it is: empty', () => {
    const features = { userNamespaces: false };
    const sent: Node = { ...base, status: { images: [], volumesInUse: [], runtimeHandlers: [{ name: '', features }] } };
    const stored: Node = { ...base, status: { runtimeHandlers: [{ features }] } };
    expect(nodePatch(stored, sent)).toBeUndefined();
    expect(nodePatch({ ...base, status: { volumesInUse: ['a'] } }, { ...base, status: { volumesInUse: [] } })).toEqual({
      status: { volumesInUse: [] },
    });
  });

  it('keeps labels without a value apart from labels that are not there', () => {
    const old: Node = { ...base, metadata: { name: 'n1', labels: { a: '' } } };
    const next: Node = { ...base, metadata: { name: 'n1', labels: { b: '' } } };
    expect(nodePatch(old, next)).toEqual({ metadata: { labels: { a: null, b: '' } } });
  });

  it('has no replace marker for the first addresses, nulls for what is gone, and never the spec', () => {
    const old: Node = {
      metadata: { name: 'n1', labels: { a: '1', b: '2' } },
      spec: {},
      status: { capacity: { x: '1' } },
    };
    const next: Node = {
      metadata: { name: 'n1', labels: { a: '3' } },
      spec: { unschedulable: true },
      status: { capacity: {}, addresses: [hostname] },
    };
    expect(nodePatch(old, next)).toEqual({
      metadata: { labels: { a: '3', b: null } },
      status: { capacity: { x: null }, addresses: [hostname] },
    });
  });
});
