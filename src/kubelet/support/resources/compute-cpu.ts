/** CPU amounts as the kernel's scheduler wants them. Pure. */

const sharesMin = 2;
const sharesMax = 262_144;
const sharesPerCpu = 1024;
const quotaMinMicros = 1000;

/** Relative weight of a CPU request; 2 for none. */
export function cpuShares(milliCpu: number): number {
  if (milliCpu === 0) return sharesMin;
  return Math.min(sharesMax, Math.max(sharesMin, Math.floor((milliCpu * sharesPerCpu) / 1000)));
}

/**
 * CPU limit as a CFS quota.
 *
 * @param milliCpu limit in thousandths of a CPU; 0 means no limit
 * @returns microseconds per period, at least 1000 (the kernel takes no less); 0 for no limit
 * @see https://docs.kernel.org/scheduler/sched-bwc.html
 */
export function cpuQuotaMicros(milliCpu: number, periodMicros: number): number {
  return milliCpu === 0 ? 0 : Math.max(quotaMinMicros, Math.floor((milliCpu * periodMicros) / 1000));
}
