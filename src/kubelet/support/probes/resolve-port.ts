import { goQuote } from '../../../base/go-quote.ts';
import type { Container } from '../../../objects/generated/core-v1.ts';

/** A probe's port by number, by the name of one of the container's ports, or a number written as text. @throws */
export function resolvePort(port: number | string, container: Pick<Container, 'ports'>): number {
  const found =
    typeof port === 'number'
      ? port
      : (container.ports?.find(({ name }) => name === port)?.containerPort ??
        (/^\d+$/.test(port) ? Number(port) : undefined));
  // what people look for when a probe names a port that its container does not have
  if (found === undefined) throw new Error(`strconv.Atoi: parsing ${goQuote(String(port))}: invalid syntax`);
  if (!Number.isInteger(found) || found < 1 || found > 65535) throw new Error(`invalid port number: ${found}`);
  return found;
}
