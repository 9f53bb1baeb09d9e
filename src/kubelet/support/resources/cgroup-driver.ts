/** Which cgroup driver the container runtime uses: where it can tell, its word goes before the configuration. */
import type { Cri } from '../../../adapters/cri/cri.ts';
import type { Clock } from '../../../base/clock.ts';
import { ConfigError, isUnimplemented } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import { aborted } from '../../../base/run-together.ts';
import type { DriverName } from './group-names.ts';

interface DriverNeed {
  cri: Pick<Cri, 'cgroupDriver'>;
  clock: Clock;
}

const tries = 3;
const retryMs = 2000;

/** The runtime's driver; the configured one where it cannot tell (containerd before 2.0), or is not there yet. */
export async function chooseDriver(
  { cri, clock, log }: DriverNeed & { log: Logger },
  configured: DriverName,
  signal: AbortSignal,
): Promise<DriverName> {
  for (let attempt = 1; attempt <= tries && !signal.aborted; attempt++) {
    try {
      const driver = await cri.cgroupDriver(signal);
      if (driver !== configured) log.info({ configured, driver }, 'the container runtime has another cgroup driver');
      return driver;
    } catch (err) {
      if (isUnimplemented(err)) return configured;
      if (attempt < tries) await clock.sleep(retryMs, signal);
    }
  }
  return configured;
}

/**
 * Asks until the runtime has answered: one that came late may use another driver than was taken for it.
 * Lives until `signal` aborts. @throws {ConfigError} when no pod could start; the next start takes its driver
 */
export async function watchDriver({ cri, clock }: DriverNeed, used: DriverName, signal: AbortSignal): Promise<void> {
  let driver: DriverName | undefined;
  while (driver === undefined && !signal.aborted) {
    try {
      driver = await cri.cgroupDriver(signal);
    } catch (err) {
      if (isUnimplemented(err)) break;
      await clock.sleep(retryMs, signal); // it is not there yet: its status says so
    }
  }
  if (driver !== undefined && driver !== used) {
    throw new ConfigError('Cannot run pods with this container runtime', [
      `it was not there when the kubelet started, and uses the cgroup driver ${driver}, not ${used}: start the kubelet again, and set cgroupDriver: ${driver}`,
    ]);
  }
  await aborted(signal);
}
