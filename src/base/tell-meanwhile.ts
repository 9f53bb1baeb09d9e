/** Tells of something that takes long: when it has taken `firstMs`, and then every `everyMs` until it is over. */
import type { Clock } from './clock.ts';

/** @returns ends it */
export function tellMeanwhile(
  { firstMs, everyMs }: { firstMs: number; everyMs: number },
  clock: Pick<Clock, 'after'>,
  tell: (isFirst: boolean) => void,
): () => void {
  const wait = (ms: number, isFirst: boolean): (() => void) =>
    clock.after(ms, () => {
      cancel = wait(everyMs, false);
      tell(isFirst);
    });
  let cancel = wait(firstMs, true);
  return () => cancel();
}
