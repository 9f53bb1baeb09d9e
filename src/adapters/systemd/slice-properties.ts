/** What a slice is called, and its limits as properties of systemd, under cgroup v1 and v2. Pure. */
import { cpuWeightOf } from '../../base/cpu-weight.ts';
import type { DbusValue, DbusVariant } from './dbus-values.ts';

/** What isn't given is left as it is; −1 means no limit. */
export interface SliceLimits {
  /** 2 to 262144; v2 weights are computed from them. */
  cpuShares?: number | undefined;
  cpuQuotaMicros?: number | undefined;
  cpuPeriodMicros?: number | undefined;
  memoryLimitBytes?: number | undefined;
  pidsMax?: number | undefined;
}

/** As `a(sv)` carries it. */
export type SliceProperty = readonly [name: string, value: DbusVariant];

/** systemd writes "no limit" as the largest number. */
const infinity = 2n ** 64n - 1n;
const defaultPeriodMicros = 100_000;
/** systemd keeps a quota as whole hundredths of a processor: this many microseconds of each second. */
const hundredthMicros = 10_000;
const rootSlice = '-.slice';

/** `/a.slice/a-b.slice` → `a-b.slice`. */
export function sliceName(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (!name.endsWith('.slice') || name === '.slice') throw new RangeError(`"${path}" is no path of a slice`);
  return name;
}

/** `a-b.slice` → `a.slice`, `a.slice` → `-.slice`. */
export function parentSlice(name: string): string {
  const dash = name.lastIndexOf('-');
  return dash <= 0 ? rootSlice : `${name.slice(0, dash)}.slice`;
}

/** Of a new slice. Everything is counted from the start: a controller that joins later sees too little. */
export function newSliceProperties(name: string, version: 1 | 2): SliceProperty[] {
  return [
    // nobody sees the difference, and tools know these by it
    property('Description', 's', `libcontainer container ${name}`),
    property('Wants', 'as', [parentSlice(name)]),
    property('MemoryAccounting', 'b', true),
    property('CPUAccounting', 'b', true),
    property(version === 1 ? 'BlockIOAccounting' : 'IOAccounting', 'b', true),
    property('TasksAccounting', 'b', true),
    property('DefaultDependencies', 'b', false),
  ];
}

/**
 * Limits that systemd keeps itself; what it has no property for is only in the group's files. A quota is rounded up to
 * a hundredth of a processor here, so that systemd never allows less than the files say.
 */
export function limitProperties(limits: SliceLimits, version: 1 | 2): SliceProperty[] {
  const { cpuShares, cpuQuotaMicros, cpuPeriodMicros, memoryLimitBytes, pidsMax } = limits;
  return [
    ...one(version === 1 ? 'MemoryLimit' : 'MemoryMax', memoryLimitBytes),
    ...(version === 1 || cpuShares === undefined
      ? one('CPUShares', cpuShares)
      : one('CPUWeight', cpuWeightOf(cpuShares))),
    ...one('CPUQuotaPeriodUSec', cpuPeriodMicros),
    ...(cpuQuotaMicros === undefined
      ? []
      : one('CPUQuotaPerSecUSec', quotaPerSecond(cpuQuotaMicros, cpuPeriodMicros ?? defaultPeriodMicros))),
    ...one('TasksMax', pidsMax),
  ];
}

function quotaPerSecond(quotaMicros: number, periodMicros: number): number {
  if (quotaMicros <= 0) return -1;
  return Math.ceil(Math.floor((quotaMicros * 1_000_000) / periodMicros) / hundredthMicros) * hundredthMicros;
}

function one(name: string, value: number | undefined): SliceProperty[] {
  return value === undefined ? [] : [property(name, 't', value === -1 ? infinity : BigInt(value))];
}

const property = (name: string, type: string, value: DbusValue): SliceProperty => [name, { type, value }];
