import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { csiNodes, nodes } from '../../../client/resource-types.ts';
import { FakeApi } from '../../../../test/fakes/fake-api.ts';
import { CsiDrivers } from './csi-drivers.ts';
import type { CsiApi, CsiNeed } from './csi-need.ts';
import { NodeInfo } from './node-info.ts';

const signal = new AbortController().signal;
const found = (endpoint: string, version: string): { name: string; endpoint: string; versions: string[] } => ({
  name: 'd.example',
  endpoint,
  versions: [version],
});
const prefix = 'kubernetes.io/csi: RegisterPlugin for CSI driver "d.example" failed.';

let api: FakeApi;
let clock: FakeClock;
let maxVolumes: number;
let asked: string[];
let came: string[];
let periodSeconds: number | undefined;
let drivers: CsiDrivers;

beforeEach(async () => {
  [api, clock, maxVolumes, asked, came, periodSeconds] = [new FakeApi(), new FakeClock(), 3, [], [], undefined];
  await api.create(nodes, { metadata: { name: 'n' }, spec: {} });
  const csiApi: Pick<CsiApi, 'cachedDriver' | 'readNode' | 'objects'> = {
    cachedDriver: (name) => ({ metadata: { name }, spec: { nodeAllocatableUpdatePeriodSeconds: periodSeconds } }),
    readNode: () => api.get(nodes, { name: 'n' }),
    objects: api,
  };
  const log = silentLogger;
  const onDriver = (name: string): void => void came.push(name);
  const need = { nodeName: 'n', onDriver, onProblems: () => {}, clock, log, api: csiApi as CsiApi }; // all that they ask
  const csi: Pick<CsiNeed['csi'], 'nodeInfo'> = {
    nodeInfo: async (socket) => {
      asked.push(socket);
      return { nodeId: `id of ${socket}`, maxVolumes, topology: {} };
    },
  };
  drivers = new CsiDrivers(new NodeInfo(need.api, need), { ...need, csi: csi as CsiNeed['csi'] });
});

const told = (): unknown[] | undefined =>
  api.find(csiNodes, undefined, 'n')?.spec.drivers.map(({ nodeID, allocatable }) => [nodeID, allocatable?.count]);

describe('CsiDrivers', () => {
  it('lets a newer driver take over a name, and the older one go without it', async () => {
    await drivers.register(found('/old', '1.0.0'), signal);
    for (const version of ['1.0.0', '1.0']) {
      const words = `${prefix} Another driver with the same name is already registered with a higher supported version: "1.0.0"`;
      expect(() => drivers.validate(found('/new', version))).toThrow(words);
    }
    await drivers.register(found('/new', '1.1.0'), signal);
    await drivers.deregister(found('/old', '1.0.0'), signal);
    expect(drivers.socketOf('d.example', '')).toBe('/new');
    expect(came).toEqual(['d.example', 'd.example']);
    expect(told()).toEqual([['id of /new', 3]]);
    await drivers.deregister(found('/new', '1.1.0'), signal);
    expect(told()).toEqual([]);
    expect(() => drivers.socketOf('d.example', 'asked')).toThrow(
      'kubernetes.io/csi: asked: driver name d.example not found in the list of registered CSI drivers',
    );
  });

  it.each([
    { versions: [], want: 'Plugin returned an empty list for supported versions' },
    { versions: ['0.3.0', 'x'], want: 'None of the versions specified ["0.3.0" "x"] are supported. err=' },
  ])('refuses $versions', ({ versions, want }) => {
    expect(() => drivers.validate({ ...found('/a', ''), versions })).toThrow(`${prefix} ${want}`);
  });

  it('refuses a name that the API would refuse', () => {
    expect(() => drivers.validate({ ...found('/a', '1.0.0'), name: 'a/b' })).toThrow('It is no name of a CSI driver');
  });

  it('forgets a driver that could not be made known', async () => {
    api.setAway(true);
    const refused = expect(drivers.register(found('/a', '1.0.0'), signal)).rejects.toThrow(
      'error updating Node object with CSI driver node info: the API server is away',
    );
    await clock.advance(1000);
    await refused;
    expect(() => drivers.socketOf('d.example', '')).toThrow('not found');
  });

  it('asks drivers for their limits again, as often as they want it and no oftener', async () => {
    const stop = new AbortController();
    const done = drivers.run(stop.signal);
    await drivers.register(found('/a', '1.0.0'), signal);
    maxVolumes = 5;
    await clock.advance(120_000);
    expect(asked).toEqual(['/a']);
    periodSeconds = 60;
    await clock.advance(61_000 + 20_000);
    expect(told()).toEqual([['id of /a', 5]]);
    const before = asked.length;
    await clock.advance(600_000);
    expect(asked.length - before).toBe(10);
    stop.abort();
    await done;
  });

  it('asks a driver for its limits at once when it must, and lives with a failure', async () => {
    await drivers.register(found('/a', '1.0.0'), signal);
    maxVolumes = 2;
    await drivers.lookNow('d.example', signal);
    expect(told()).toEqual([['id of /a', 2]]);
    maxVolumes = 1;
    api.setAway(true);
    const looked = drivers.lookNow('d.example', signal);
    await clock.advance(1000);
    await looked;
    await drivers.lookNow('another.example', signal);
    expect(asked).toEqual(['/a', '/a', '/a']);
    expect(told()).toEqual([['id of /a', 2]]);
  });
});
