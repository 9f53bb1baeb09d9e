/** Which files of a control group hold which value, under v1 and v2. Pure. */
import { cpuWeightOf } from '../../base/cpu-weight.ts';

/** What isn't given is left as it is. */
export interface CgroupValues {
  /** 2 to 262144; v2 weights are computed from them. */
  cpuShares?: number | undefined;
  /** Per period; −1 for no limit. */
  cpuQuotaMicros?: number | undefined;
  cpuPeriodMicros?: number | undefined;
  /** −1 for no limit. */
  memoryLimitBytes?: number | undefined;
  /** −1 for no limit. */
  pidsMax?: number | undefined;
  /** By the kernel's page size names (`2MB`, `1GB`), in bytes. */
  hugepageLimits?: Readonly<Record<string, number>> | undefined;
}

export interface CgroupWrite {
  controller: string;
  file: string;
  data: string;
}

const defaultPeriodMicros = 100_000;

/** @see https://docs.kernel.org/admin-guide/cgroup-v1/index.html */
export function v1Writes(values: CgroupValues): CgroupWrite[] {
  const { cpuShares, cpuQuotaMicros, cpuPeriodMicros, memoryLimitBytes, pidsMax, hugepageLimits = {} } = values;
  return [
    ...one('cpu', 'cpu.shares', cpuShares),
    ...one('cpu', 'cpu.cfs_period_us', cpuPeriodMicros),
    ...one('cpu', 'cpu.cfs_quota_us', cpuQuotaMicros),
    ...one('memory', 'memory.limit_in_bytes', memoryLimitBytes),
    ...one('pids', 'pids.max', orMax(pidsMax)),
    ...Object.entries(hugepageLimits).flatMap(([size, bytes]) =>
      one('hugetlb', `hugetlb.${size}.limit_in_bytes`, bytes),
    ),
  ];
}

/** @see https://docs.kernel.org/admin-guide/cgroup-v2.html */
export function v2Writes(values: CgroupValues): CgroupWrite[] {
  const { cpuShares, cpuQuotaMicros, cpuPeriodMicros, memoryLimitBytes, pidsMax, hugepageLimits = {} } = values;
  const cpuMax =
    cpuQuotaMicros === undefined ? undefined : `${orMax(cpuQuotaMicros)} ${cpuPeriodMicros ?? defaultPeriodMicros}`;
  return [
    ...one('cpu', 'cpu.weight', cpuShares === undefined ? undefined : cpuWeightOf(cpuShares)),
    ...one('cpu', 'cpu.max', cpuMax),
    ...one('memory', 'memory.max', orMax(memoryLimitBytes)),
    ...one('pids', 'pids.max', orMax(pidsMax)),
    ...Object.entries(hugepageLimits).flatMap(([size, bytes]) => one('hugetlb', `hugetlb.${size}.max`, bytes)),
  ];
}

function orMax(value: number | undefined): number | 'max' | undefined {
  return value === -1 ? 'max' : value;
}

function one(controller: string, file: string, data: number | string | undefined): CgroupWrite[] {
  return data === undefined ? [] : [{ controller, file, data: String(data) }];
}
