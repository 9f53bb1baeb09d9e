/** The hashes that stand in runtime labels and names. Formats are upstream's, so that either agent adopts the other's. */
import { fnv1a32 } from '../../base/fnv.ts';
import type { Container } from '../../objects/generated/core-v1.ts';

/**
 * The value of `io.kubernetes.container.hash`: image and name only, so that nothing else restarts a running container.
 * It is taken over the printed byte list of a small JSON object, a form that only history explains.
 */
export function containerHash({ name, image }: Pick<Container, 'name' | 'image'>): string {
  const json = Buffer.from(JSON.stringify({ image, name }));
  return fnv1a32(`([]uint8)[${json.join(' ')}]`).toString(16);
}
