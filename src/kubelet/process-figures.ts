/** What this process costs: wake-ups, event-loop delay, processor time, memory. For `/statusz` and metrics. */
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { Clock } from '../base/clock.ts';

export interface ProcessFigures {
  /** Turns of the event loop per second since the last look: each is one time that the process woke. */
  wakeUpsPerSecond: number;
  /** Of one core, since the last look. */
  cpuPercent: number;
  residentBytes: number;
  /** 99th percentile since the last reset. */
  eventLoopDelayP99Ms: number;
}

interface Sample {
  atMs: number;
  loops: number;
  cpuMicros: number;
}

/** Looking at the delay wakes the process, so it is not looked at often; a stall shows in the next sample. */
const delayResolutionMs = 500;
/** A look that follows another sooner shows the figures of that one. */
const sampleMinMs = 1000;

export class ProcessMeter {
  readonly #clock: Clock;
  readonly #delay = monitorEventLoopDelay({ resolution: delayResolutionMs });
  #last: Sample;
  #figures: Omit<ProcessFigures, 'eventLoopDelayP99Ms' | 'residentBytes'> = { wakeUpsPerSecond: 0, cpuPercent: 0 };

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#last = this.#sample();
    this.#delay.enable();
  }

  figures(): ProcessFigures {
    const now = this.#sample();
    const tookMs = now.atMs - this.#last.atMs;
    if (tookMs >= sampleMinMs) {
      this.#figures = {
        wakeUpsPerSecond: (1000 * (now.loops - this.#last.loops)) / tookMs,
        cpuPercent: (now.cpuMicros - this.#last.cpuMicros) / (tookMs * 10),
      };
      this.#last = now;
    }
    return {
      ...this.#figures,
      residentBytes: process.memoryUsage.rss(),
      eventLoopDelayP99Ms: this.eventLoopDelayP99Ms(),
    };
  }

  eventLoopDelayP99Ms(): number {
    const ms = this.#delay.percentile(99) / 1e6;
    return Number.isFinite(ms) ? Math.max(0, ms - delayResolutionMs) : 0; // each value holds the sampling period
  }

  resetDelay(): void {
    this.#delay.reset();
  }

  close(): void {
    this.#delay.disable();
  }

  #sample(): Sample {
    const { user, system } = process.cpuUsage();
    return {
      atMs: this.#clock.monotonicMs(),
      loops: performance.nodeTiming.uvMetricsInfo.loopCount,
      cpuMicros: user + system,
    };
  }
}
