import type { Clock } from '../../../base/clock.ts';
import type { ElementContext } from '../../compute/nftables/service-elements.ts';
import type { ServiceState } from '../../proxy-model.ts';
import type { Change, InstalledState } from './installed-state.ts';

const sliceSize = 20;
/** Others get a turn this often. */
const turnMs = 5;

/** Takes Services over a few at a time, so that others have their turn in between. */
export async function* changesInSlices(
  keys: readonly string[],
  services: ReadonlyMap<string, ServiceState>,
  state: InstalledState,
  context: ElementContext,
  clock: Pick<Clock, 'monotonicMs'>,
): AsyncGenerator<Change> {
  let startMs = clock.monotonicMs();
  for (let i = 0; i < keys.length; i += sliceSize) {
    const slice = keys.slice(i, i + sliceSize);
    yield state.apply(new Map(slice.map((key) => [key, services.get(key)])), context);
    if (clock.monotonicMs() - startMs < turnMs) continue;
    await new Promise((resolve) => setImmediate(resolve));
    startMs = clock.monotonicMs();
  }
}
