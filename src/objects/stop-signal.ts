/** The names of signals, as the API and the runtime write them: `SIGRTMIN+1` is `SIGNAL_SIGRTMINPLUS1`. Pure. */
const plain = [
  'SIGABRT',
  'SIGALRM',
  'SIGBUS',
  'SIGCHLD',
  'SIGCLD',
  'SIGCONT',
  'SIGFPE',
  'SIGHUP',
  'SIGILL',
  'SIGINT',
  'SIGIO',
  'SIGIOT',
  'SIGKILL',
  'SIGPIPE',
  'SIGPOLL',
  'SIGPROF',
  'SIGPWR',
  'SIGQUIT',
  'SIGSEGV',
  'SIGSTKFLT',
  'SIGSTOP',
  'SIGSYS',
  'SIGTERM',
  'SIGTRAP',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
  'SIGURG',
  'SIGUSR1',
  'SIGUSR2',
  'SIGVTALRM',
  'SIGWINCH',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGRTMIN',
  'SIGRTMAX',
];
export const stopSignals = [
  ...plain,
  ...Array.from({ length: 15 }, (_, i) => `SIGRTMIN+${i + 1}`),
  ...Array.from({ length: 14 }, (_, i) => `SIGRTMAX-${i + 1}`),
];

/** @throws for a name that no runtime knows: better no container than one that is stopped by another signal */
export function toRuntimeSignal(name: string): string {
  if (!stopSignals.includes(name)) throw new Error(`unknown stop signal "${name}"`);
  return `SIGNAL_${name.replace('+', 'PLUS').replace('-', 'MINUS')}`;
}

/** Undefined for a runtime that does not say, and for the image's own signal. */
export function fromRuntimeSignal(signal: string): string | undefined {
  const match = /^SIGNAL_(SIG[A-Z0-9]*?)(?:(PLUS|MINUS)(\d+))?$/.exec(signal);
  if (match?.[1] === undefined) return undefined;
  const [, name, sign, count] = match;
  return sign === undefined ? name : `${name}${sign === 'PLUS' ? '+' : '-'}${count}`;
}
