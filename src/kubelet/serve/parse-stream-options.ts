/** The queries of exec, attach and port-forward requests. Pure. */

export interface StreamOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

/** Undefined when no stream is asked for, which is a mistake of the client. */
export function parseStreamOptions(query: URLSearchParams): StreamOptions | undefined {
  const stdin = isOn(query.get('input') ?? query.get('stdin'));
  const stdout = isOn(query.get('output') ?? query.get('stdout'));
  const tty = isOn(query.get('tty'));
  // a terminal has one output only
  const stderr = isOn(query.get('error') ?? query.get('stderr')) && !tty;
  return stdin || stdout || stderr ? { stdin, stdout, stderr, tty } : undefined;
}

export const noStreamsText = 'you must specify at least 1 of stdin, stdout, stderr';

const isOn = (value: string | null): boolean => value === '1' || value === 'true';

/** Ports of the old WebSocket form, from `port=80&port=443` and `port=80,443`. */
export function parsePorts(query: URLSearchParams): { ports: number[] } | { problem: string } {
  const words = query.getAll('port').flatMap((value) => value.split(','));
  if (words.length === 0) return { problem: 'query parameter "port" is required' };
  const ports: number[] = [];
  for (const word of words) {
    const port = Number(word);
    if (!/^\d+$/.test(word) || port > 65_535) {
      const why = /^\d+$/.test(word) ? 'value out of range' : 'invalid syntax';
      const said = `strconv.ParseUint: parsing ${JSON.stringify(word)}: ${why}`;
      return { problem: `unable to parse ${JSON.stringify(word)} as a port: ${said}` };
    }
    if (port === 0) return { problem: `port ${JSON.stringify(word)} must be > 0` };
    ports.push(port);
  }
  return { ports };
}
