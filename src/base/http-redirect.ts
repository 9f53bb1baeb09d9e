/** Where an HTTP answer sends its asker. Pure. */

/** How often one is sent on before giving up. */
export const redirectsMax = 10;

/** @returns the URL to ask next; undefined when the answer itself is the result */
export function redirectTarget(statusCode: number, location: string | undefined, asked: string): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(statusCode) || location === undefined || location === '') return undefined;
  if (!URL.canParse(location, asked)) return undefined;
  const url = new URL(location, asked);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined;
}

/** A URL's host as sockets take it: an IPv6 address without its brackets. */
export const hostOfUrl = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '');

export function portOfUrl({ port, protocol }: URL): number {
  if (port !== '') return Number(port);
  return protocol === 'https:' ? 443 : 80;
}
