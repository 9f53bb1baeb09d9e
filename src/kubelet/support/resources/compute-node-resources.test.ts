import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../base/errors.ts';
import { formatQuantity, quantityOf } from '../../../objects/quantity.ts';
import {
  type MachineSize,
  type ReservationOptions,
  computeNodeResources,
  thresholdQuantity,
} from './compute-node-resources.ts';

const machine: MachineSize = {
  cpuCount: 4,
  memoryBytes: 16_384_256 * 1024,
  ephemeralStorageBytes: 270_553_174_016,
  hugepages: [],
  pidMax: 32_768,
};
const options: ReservationOptions = {
  maxPods: 110,
  podsPerCore: 0,
  kubeReserved: {},
  systemReserved: {},
  evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '10%', 'imagefs.available': '15%' },
  ignoreEvictionInAllocatable: false,
  localStorageCapacityIsolation: true,
};

describe('computeNodeResources', () => {
  it('takes eviction thresholds off what pods may ask for, not off what they may use', () => {
    const { capacity, allocatable, forPods } = computeNodeResources(machine, options);
    expect(capacity).toEqual({ cpu: '4', memory: '16384256Ki', pods: '110', 'ephemeral-storage': '264212084Ki' });
    expect(allocatable).toEqual({
      cpu: '4',
      memory: '16281856Ki',
      pods: '110',
      // 10 % in 32-bit floating point: 403 bytes more than in 64 bits
      'ephemeral-storage': '243497856212',
    });
    expect(forPods).toEqual({ milliCpu: 4000, memoryBytes: 16_384_256 * 1024, pidsMax: 32_768, hugepages: [] });
  });

  it('takes reservations off both', () => {
    const { allocatable, forPods } = computeNodeResources(machine, {
      ...options,
      kubeReserved: { cpu: '100m', memory: '1Gi', 'ephemeral-storage': '1Gi', pid: '1000' },
      systemReserved: { cpu: '150m', memory: '512Mi' },
      ignoreEvictionInAllocatable: true,
    });
    expect(allocatable).toMatchObject({ cpu: '3750m', memory: '14811392Ki', 'ephemeral-storage': '263163508Ki' });
    expect(forPods).toMatchObject({ milliCpu: 3750, memoryBytes: 14_811_392 * 1024, pidsMax: 31_768 });
  });

  it('lists every huge page size and takes the pages off the memory', () => {
    const hugepages = [
      { sizeBytes: 2 ** 21, pages: 512 },
      { sizeBytes: 2 ** 30, pages: 0 },
    ];
    const { capacity, allocatable } = computeNodeResources({ ...machine, hugepages }, { ...options, evictionHard: {} });
    expect(capacity).toMatchObject({ 'hugepages-2Mi': '1Gi', 'hugepages-1Gi': '0', memory: '16384256Ki' });
    expect(allocatable).toMatchObject({ 'hugepages-2Mi': '1Gi', memory: '15335680Ki' });
  });

  it.each([
    { change: { podsPerCore: 10 }, want: '40' },
    { change: { podsPerCore: 50 }, want: '110' },
    { change: { maxPods: 5 }, want: '5' },
  ])('allows $want pods with $change', ({ change, want }) => {
    expect(computeNodeResources(machine, { ...options, ...change }).capacity['pods']).toBe(want);
  });

  it('leaves storage out where it is not counted', () => {
    const { capacity } = computeNodeResources(machine, { ...options, localStorageCapacityIsolation: false });
    expect(capacity).not.toHaveProperty('ephemeral-storage');
  });

  it('keeps resources of others', () => {
    const others = { capacity: { 'example.com/gpu': '2' }, allocatable: { 'example.com/gpu': '1' } };
    const { capacity, allocatable } = computeNodeResources(machine, options, others);
    expect([capacity['example.com/gpu'], allocatable['example.com/gpu']]).toEqual(['2', '1']);
  });

  it('refuses to reserve more than there is, naming each', () => {
    const compute = (): unknown =>
      computeNodeResources(machine, { ...options, kubeReserved: { cpu: '5' }, systemReserved: { pid: '40000' } });
    expect(compute).toThrow(ConfigError);
    expect(compute).toThrow(
      'Resource "cpu" has a reservation of 5 but capacity of 4. Expected capacity >= reservation.; Resource "pid" has',
    );
  });
});

describe('thresholdQuantity', () => {
  it.each([
    ['1Gi', 100, '1Gi'],
    ['0%', 100, '0'],
    ['100%', 100, '0'],
    ['10%', 1000, '100'],
    ['33.3%', 1000, '333'],
  ])('%s of %d is %s', (threshold, capacity, want) => {
    expect(formatQuantity(thresholdQuantity(threshold, quantityOf(capacity)))).toBe(want);
  });
});
