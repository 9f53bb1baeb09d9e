/** How much of the machine is there for pods. Pure. */
import { ConfigError } from '../../../base/errors.ts';
import {
  type Quantity,
  compareQuantity,
  formatQuantity,
  parseQuantity,
  quantityOf,
  quantityOfMilli,
  subtractQuantity,
  toBigValue,
  zeroQuantity,
} from '../../../objects/quantity.ts';
import {
  type ResourceList,
  type Resources,
  hugepagesPrefix,
  isHugepages,
  parseResources,
} from '../../../objects/resource-list.ts';

export interface MachineSize {
  cpuCount: number;
  memoryBytes: number;
  /** File system of the kubelet's root folder; undefined while nobody knows. */
  ephemeralStorageBytes: number | undefined;
  hugepages: ReadonlyArray<{ sizeBytes: number; pages: number }>;
  pidMax: number;
}

export interface ReservationOptions {
  maxPods: number;
  podsPerCore: number;
  kubeReserved: Readonly<Record<string, string>>;
  systemReserved: Readonly<Record<string, string>>;
  evictionHard: Readonly<Record<string, string>>;
  ignoreEvictionInAllocatable: boolean;
  localStorageCapacityIsolation: boolean;
}

export interface NodeResources {
  capacity: ResourceList;
  allocatable: ResourceList;
  /** What the cgroup of all pods may use: eviction thresholds are not taken off, so that eviction comes first. */
  forPods: {
    milliCpu: number;
    memoryBytes: number;
    pidsMax: number;
    hugepages: ReadonlyArray<{ sizeBytes: number; bytes: number }>;
  };
}

/**
 * @param others capacity and allocatable of further resources (device plugins, resources patched in by hand), as they
 *   shall appear
 * @throws {ConfigError} when more is reserved than there is
 */
export function computeNodeResources(
  machine: MachineSize,
  options: ReservationOptions,
  others: { capacity: ResourceList; allocatable: ResourceList } = { capacity: {}, allocatable: {} },
): NodeResources {
  const capacity = computeCapacity(machine, options);
  const reserved = sumReserved(options);
  const eviction = options.ignoreEvictionInAllocatable ? {} : evictionReserved(options.evictionHard, capacity);
  checkReservations({ ...reserved }, eviction, capacity, machine.pidMax);

  const allocatable: Record<string, Quantity> = {};
  let hugepages = zeroQuantity;
  for (const [name, total] of Object.entries(capacity)) {
    const afterReserved = subtractQuantity(total, reserved[name] ?? zeroQuantity);
    allocatable[name] = floorAtZero(subtractQuantity(afterReserved, eviction[name] ?? zeroQuantity));
    if (isHugepages(name)) hugepages = { nano: hugepages.nano + total.nano, format: 'BinarySI' };
  }
  // pages set aside as huge are no ordinary memory any more
  const memory = allocatable['memory'];
  if (memory !== undefined) allocatable['memory'] = floorAtZero(subtractQuantity(memory, hugepages));

  const memoryForPods = subtractQuantity(capacity['memory'] ?? zeroQuantity, reserved['memory'] ?? zeroQuantity);
  return {
    capacity: { ...others.capacity, ...texts(capacity) },
    allocatable: { ...others.allocatable, ...texts(allocatable) },
    forPods: {
      milliCpu: Number((allocatable['cpu']?.nano ?? 0n) / 1_000_000n),
      memoryBytes: Number(toBigValue(floorAtZero(memoryForPods))),
      pidsMax: machine.pidMax - Number(toBigValue(reserved['pid'] ?? zeroQuantity)),
      hugepages: machine.hugepages.map(({ sizeBytes, pages }) => ({ sizeBytes, bytes: sizeBytes * pages })),
    },
  };
}

function computeCapacity(machine: MachineSize, options: ReservationOptions): Record<string, Quantity> {
  const { cpuCount, memoryBytes, ephemeralStorageBytes, hugepages } = machine;
  const { maxPods, podsPerCore, localStorageCapacityIsolation } = options;
  const capacity: Record<string, Quantity> = {
    cpu: quantityOfMilli(cpuCount * 1000),
    memory: quantityOf(memoryBytes, 'BinarySI'),
    pods: quantityOf(podsPerCore > 0 ? Math.min(cpuCount * podsPerCore, maxPods) : maxPods),
  };
  for (const { sizeBytes, pages } of hugepages) {
    const name = `${hugepagesPrefix}${formatQuantity(quantityOf(sizeBytes, 'BinarySI'))}`;
    capacity[name] = quantityOf(sizeBytes * pages, 'BinarySI');
  }
  if (localStorageCapacityIsolation && ephemeralStorageBytes !== undefined) {
    capacity['ephemeral-storage'] = quantityOf(ephemeralStorageBytes, 'BinarySI');
  }
  return capacity;
}

function sumReserved({ kubeReserved, systemReserved }: ReservationOptions): Record<string, Quantity> {
  const sum: Record<string, Quantity> = {};
  for (const list of [parseResources(kubeReserved), parseResources(systemReserved)]) {
    for (const [name, quantity] of Object.entries(list)) {
      const before = sum[name];
      sum[name] = before === undefined ? quantity : { nano: before.nano + quantity.nano, format: before.format };
    }
  }
  return sum;
}

/** Only memory and the node's file system are reserved for eviction; other signals set nothing aside. */
function evictionReserved(thresholds: Readonly<Record<string, string>>, capacity: Resources): Resources {
  const reserved: Record<string, Quantity> = {};
  for (const [signal, name] of [
    ['memory.available', 'memory'],
    ['nodefs.available', 'ephemeral-storage'],
  ] as const) {
    const threshold = thresholds[signal];
    const total = capacity[name];
    if (threshold !== undefined && total !== undefined) reserved[name] = thresholdQuantity(threshold, total);
  }
  return reserved;
}

/**
 * A threshold as an amount. Percentages are computed in 32-bit floating point as upstream does, or the last digits of
 * allocatable would differ. Exactly 0 % and 100 % switch a threshold off.
 */
export function thresholdQuantity(threshold: string, capacity: Quantity): Quantity {
  if (!threshold.endsWith('%')) return parseQuantity(threshold);
  const percent = Number(threshold.slice(0, -1));
  if (percent === 0 || percent === 100) return zeroQuantity;
  const share = Math.fround(Math.fround(percent) / 100);
  return quantityOf(Math.trunc(Number(toBigValue(capacity)) * share), 'BinarySI');
}

function checkReservations(reserved: Resources, eviction: Resources, capacity: Resources, pidMax: number): void {
  const problems: string[] = [];
  for (const [name, amount] of Object.entries(reserved)) {
    const total = name === 'pid' ? quantityOf(pidMax) : capacity[name];
    if (total === undefined) continue;
    const all = { nano: amount.nano + (eviction[name]?.nano ?? 0n), format: amount.format };
    if (compareQuantity(all, total) > 0) {
      problems.push(
        `Resource "${name}" has a reservation of ${formatQuantity(all)} but capacity of ${formatQuantity(total)}. Expected capacity >= reservation.`,
      );
    }
  }
  if (problems.length > 0) throw new ConfigError('invalid Node Allocatable configuration', problems);
}

const floorAtZero = (quantity: Quantity): Quantity =>
  quantity.nano < 0n ? { nano: 0n, format: quantity.format } : quantity;

const texts = (resources: Resources): ResourceList =>
  Object.fromEntries(Object.entries(resources).map(([name, quantity]) => [name, formatQuantity(quantity)]));
