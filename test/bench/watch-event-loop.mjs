/**
 * Loaded into a process that is measured (`node --import`): how long its event loop is held up, by the clock and by the
 * processor time of its own thread; on a busy machine the first also holds what others took. At SIGUSR2 it writes both
 * to the file that GANTRY_BENCH_LOOP names, and stops looking. Plain JavaScript: whichever Node is measured reads it.
 */
import { renameSync, writeFileSync } from 'node:fs';

const periodMs = 5;
const path = process.env['GANTRY_BENCH_LOOP'];

if (path !== undefined) {
  /** By the clock, in ms over the period, in steps of one. */
  const delays = new Uint32Array(10_000);
  let longestOwnMs = 0;
  /** Of the last look: the first comes when the program has been loaded, which is no work of its loop. */
  let lastMs;
  let lastCpu;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const cpu = process.threadCpuUsage();
    if (lastMs !== undefined) {
      const delayMs = Math.max(0, Math.round(nowMs - lastMs - periodMs));
      delays[Math.min(delays.length - 1, delayMs)]++;
      longestOwnMs = Math.max(longestOwnMs, (cpu.user - lastCpu.user + cpu.system - lastCpu.system) / 1000);
    }
    lastMs = nowMs;
    lastCpu = cpu;
  }, periodMs);
  timer.unref();
  process.on('SIGUSR2', () => {
    clearInterval(timer);
    const count = delays.reduce((sum, one) => sum + one, 0);
    let seen = 0;
    const p99Ms = delays.findIndex((one) => (seen += one) >= 0.99 * count);
    const maxMs = delays.findLastIndex((one) => one > 0);
    writeFileSync(`${path}.new`, JSON.stringify({ p99Ms, maxMs, longestOwnMs }));
    renameSync(`${path}.new`, path);
  });
}
