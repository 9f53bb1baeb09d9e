/**
 * JSON bodies become objects here. A large list is cut at its items and parsed piece by piece, so that the event loop
 * turns in between.
 */

/** Bodies up to this size are parsed in one go (about 5 ms). */
const oneGoMaxBytes = 512 * 1024;
/** Time spent parsing before others get a turn. */
const sliceMs = 8;

/** @throws {SyntaxError} */
export async function decodeJson(body: Buffer): Promise<unknown> {
  if (body.length <= oneGoMaxBytes) return JSON.parse(body.toString('utf8'));
  const items = findItems(body);
  if (items === undefined) return JSON.parse(body.toString('utf8'));
  // the list without its items is small
  const frame = Buffer.concat([body.subarray(0, items.start), body.subarray(items.end)]);
  const list = JSON.parse(frame.toString('utf8')) as Record<string, unknown>; // `findItems` has seen an object
  const parsed: unknown[] = [];
  let sliceStartMs = performance.now();
  for (let at = items.start; at < items.end;) {
    const end = elementEnd(body, at, items.end);
    parsed.push(JSON.parse(body.toString('utf8', at, end)));
    at = end + 1; // past the comma
    if (performance.now() - sliceStartMs > sliceMs) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      sliceStartMs = performance.now();
    }
  }
  list['items'] = parsed;
  return list;
}

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;

/** Where the elements of the top-level `"items": [` begin and end; undefined when there is no such array. */
function findItems(body: Buffer): { start: number; end: number } | undefined {
  const match = /^[^"]*(?:"(?:kind|apiVersion|metadata)"[^]*?)??"items"\s*:\s*\[/.exec(
    body.toString('latin1', 0, 4096),
  );
  if (match === null) return undefined;
  // only an "items" of depth one counts
  const start = match[0].length;
  let depth = 0;
  for (let i = 0; i < start - 1; i++) {
    const byte = body[i];
    if (byte === quote) i = stringEnd(body, i);
    else if (byte === 0x7b || byte === 0x5b) depth++;
    else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  if (depth !== 1) return undefined;
  const end = elementEnd(body, start, body.length, true);
  return body.toString('latin1', start, Math.min(end, start + 64)).trim() === '' ? undefined : { start, end };
}

/** The index of the comma after the element at `at`, or of the bracket that closes the array, or `limit`. */
function elementEnd(body: Buffer, at: number, limit: number, isWholeArray = false): number {
  let depth = 0;
  for (let i = at; i < limit; i++) {
    const byte = body[i];
    if (byte === quote) i = stringEnd(body, i);
    else if (byte === 0x7b || byte === 0x5b) depth++;
    else if (byte === 0x7d || byte === 0x5d) {
      if (depth === 0) return i;
      depth--;
    } else if (byte === comma && depth === 0 && !isWholeArray) return i;
  }
  return limit;
}

/** The index of the quote that ends the string that starts at `at`. */
function stringEnd(body: Buffer, at: number): number {
  let i = at + 1;
  for (;;) {
    i = body.indexOf(quote, i);
    if (i < 0) return body.length;
    let slashes = 0;
    while (body[i - 1 - slashes] === backslash) slashes++;
    if (slashes % 2 === 0) return i;
    i++;
  }
}
