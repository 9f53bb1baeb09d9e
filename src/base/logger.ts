import { type Logger as PinoLogger, pino } from 'pino';

export type Logger = PinoLogger;

export interface LoggerOptions {
  /** The component's name, a field of every line. */
  name: string;
  /** Upstream's `--v`: 0–1 info, 2–3 info, 4 debug, 6 and above trace. */
  verbosity: number;
  /** Destination: the standard error stream by default. */
  fd?: number;
}

/** The root logger of a process: JSON lines; pretty only when a person reads them on a terminal. */
export function createLogger({ name, verbosity, fd = 2 }: LoggerOptions): Logger {
  const level = verbosity >= 6 ? 'trace' : verbosity >= 4 ? 'debug' : 'info';
  if (process.stderr.isTTY && fd === 2) {
    return pino({
      name,
      level,
      transport: { target: 'pino-pretty', options: { destination: 2, ignore: 'pid,hostname' } },
    });
  }
  return pino({ name, level, base: { name } }, pino.destination({ fd, sync: false }));
}

/** A logger that says nothing: for tests. */
export const silentLogger: Logger = pino({ level: 'silent' });
