import type { Container } from '../../../objects/generated/core-v1.ts';

/** A probe's port by number, by the name of one of the container's ports, or a number written as text. @throws */
export function resolvePort(port: number | string, container: Pick<Container, 'ports'>): number {
  const found =
    typeof port === 'number'
      ? port
      : (container.ports?.find(({ name }) => name === port)?.containerPort ??
        (/^\d+$/.test(port) ? Number(port) : undefined));
  if (found === undefined) throw new Error(`couldn't find port: ${JSON.stringify(port)}`);
  if (!Number.isInteger(found) || found < 1 || found > 65535) throw new Error(`invalid port number: ${found}`);
  return found;
}
