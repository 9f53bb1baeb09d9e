import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';

/** After one side has ended, the other may be silent for so long before both are closed. */
const silenceMaxMs = 30_000;
const keepAliveMs = 30_000;

/**
 * Passes bytes between two connections until both are closed. The end of one direction is passed on and the other
 * direction goes on; a broken side, or `signal`, closes both. Neither side is read faster than the other takes.
 */
export async function pumpBothWays(a: Socket, b: Socket, clock: Clock, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const whenOver = AbortSignal.any([signal, over.signal]);
  const closeBoth = (): void => {
    a.destroy();
    b.destroy();
  };
  signal.addEventListener('abort', closeBoth, { once: true });
  let watching: Promise<void> | undefined;
  const ends: Array<Promise<void>> = [];
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.setKeepAlive(true, keepAliveMs); // a peer that vanished is noticed
    from.setNoDelay(true);
    from.on('error', () => {}); // 'close' follows
    from.once('end', () => {
      watching ??= closeWhenSilent(a, b, clock, whenOver, closeBoth);
    });
    ends.push(
      new Promise((resolve) => {
        from.once('close', () => {
          closeAfterFlush(to);
          resolve();
        });
      }),
    );
    from.pipe(to);
  }
  if (a.destroyed || b.destroyed || signal.aborted) closeBoth();
  await Promise.all(ends);
  over.abort();
  await watching;
  signal.removeEventListener('abort', closeBoth);
}

/** What was already given to the connection still goes out. */
function closeAfterFlush(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.once('finish', () => socket.destroy());
  else socket.destroy();
}

async function closeWhenSilent(
  a: Socket,
  b: Socket,
  clock: Clock,
  signal: AbortSignal,
  closeBoth: () => void,
): Promise<void> {
  let seen = -1;
  while (!signal.aborted) {
    const moved = a.bytesRead + b.bytesRead;
    if (moved === seen) closeBoth();
    seen = moved;
    await clock.sleep(silenceMaxMs, signal);
  }
}
