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
  const level = levelOf(verbosity);
  if (process.stderr.isTTY && fd === 2) {
    return pino({
      name,
      level,
      transport: { target: 'pino-pretty', options: { destination: 2, ignore: 'pid,hostname' } },
    });
  }
  return pino({ name, level, base: { name } }, pino.destination({ fd, sync: false }));
}

const levelOf = (verbosity: number): string => (verbosity >= 6 ? 'trace' : verbosity >= 4 ? 'debug' : 'info');

/** Changes the verbosity of `log` and of the children that it and they are given from now on. For lasting children. */
export function verbositySetter(log: Logger): (verbosity: number) => void {
  const all = [log];
  log.onChild = (child) => void all.push(child);
  return (verbosity) => {
    for (const one of all) one.level = levelOf(verbosity);
  };
}

/** A logger that says nothing: for tests. */
export const silentLogger: Logger = pino({ level: 'silent' });
