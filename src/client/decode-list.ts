/**
 * JSON bodies become objects here. A list is cut at its items while it comes in and parsed piece by piece: it is never
 * in memory as a whole, and the event loop turns in between.
 */

/** Time spent parsing before others get a turn. */
const sliceMs = 8;
/** Kind, version and metadata of a list stand before its items and are short. */
const headMaxBytes = 4096;

export interface DecodeOptions {
  /** Gets the items of a list as they come; the list itself has none then. */
  onItem?: ((item: unknown) => void) | undefined;
}

/** @throws {SyntaxError} */
export async function decodeJson(
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  { onItem }: DecodeOptions = {},
): Promise<unknown> {
  const items: unknown[] = [];
  const cutter = new ItemCutter(onItem ?? ((item) => items.push(item)));
  let sliceStartMs = performance.now();
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += pieceBytes) {
      cutter.push(chunk.subarray(at, at + pieceBytes));
      if (performance.now() - sliceStartMs < sliceMs) continue;
      await new Promise<void>((resolve) => setImmediate(resolve));
      sliceStartMs = performance.now();
    }
  }
  const text = cutter.rest();
  if (text === '') return undefined;
  const whole: unknown = JSON.parse(text);
  if (cutter.hasItems) (whole as Record<string, unknown>)['items'] = items; // the cutter has seen an object
  return whole;
}

/** A piece of a body that is parsed in one go: a fraction of a millisecond. */
const pieceBytes = 64 * 1024;

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const opening = new Set([0x7b, 0x5b]);
const closing = new Set([0x7d, 0x5d]);

/** Finds the items of a list in its text, whatever the pieces are that it comes in. */
class ItemCutter {
  readonly #onItem: (item: unknown) => void;
  /** What is not an item, in its order. */
  readonly #frame: Buffer[] = [];
  #state: 'head' | 'items' | 'other' = 'head';
  #pending: Buffer = Buffer.alloc(0);
  /** How far `#pending` has been looked at, and how deep it is in the item there. */
  #at = 0;
  #depth = 0;

  constructor(onItem: (item: unknown) => void) {
    this.#onItem = onItem;
  }

  /** Whether the text is a list with items (or with an empty array of them). */
  hasItems = false;

  push(chunk: Buffer): void {
    if (this.#state === 'other') {
      this.#frame.push(chunk);
      return;
    }
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    if (this.#state === 'head') this.#findItems();
    if (this.#state === 'items') this.#cut();
  }

  /** The text without its items; to be called when all has been pushed. */
  rest(): string {
    return Buffer.concat([...this.#frame, this.#pending]).toString('utf8');
  }

  #findItems(): void {
    const start = itemsStart(this.#pending);
    if (start !== undefined) {
      this.#state = 'items';
      this.hasItems = true;
      this.#take(start, true);
    } else if (this.#pending.length >= headMaxBytes) {
      this.#state = 'other';
      this.#take(this.#pending.length, true);
    }
  }

  /** Hands on every item that is whole by now, all in one go. */
  #cut(): void {
    let whole = 0;
    let i = this.#at;
    const bytes = this.#pending;
    for (; i < bytes.length; i++) {
      const byte = bytes[i] ?? 0;
      if (byte === quote) {
        const end = stringEnd(bytes, i);
        if (end === undefined) break; // looked at again from its start when there is more
        i = end;
      } else if (opening.has(byte)) this.#depth++;
      else if (closing.has(byte)) {
        if (this.#depth === 0) {
          this.#parse(i);
          this.#state = 'other';
          this.#take(i, false);
          this.#take(this.#pending.length, true);
          return;
        }
        this.#depth--;
      } else if (byte === comma && this.#depth === 0) whole = i + 1;
    }
    if (whole > 0) {
      this.#parse(whole - 1);
      this.#take(whole, false);
    }
    this.#at = i - whole;
  }

  #parse(end: number): void {
    const items = JSON.parse(`[${this.#pending.toString('utf8', 0, end)}]`) as unknown[]; // brackets around it
    for (const item of items) this.#onItem(item);
  }

  #take(length: number, isFrame: boolean): void {
    if (isFrame) this.#frame.push(this.#pending.subarray(0, length));
    this.#pending = this.#pending.subarray(length);
    this.#at = 0;
  }
}

/** Where the elements of the top-level `"items": [` begin; undefined when there is no such array (yet). */
function itemsStart(body: Buffer): number | undefined {
  const match = /^[^"]*(?:"(?:kind|apiVersion|metadata)"[^]*?)??"items"\s*:\s*\[/.exec(
    body.toString('latin1', 0, headMaxBytes),
  );
  if (match === null) return undefined;
  // only an "items" of depth one counts
  const start = match[0].length;
  let depth = 0;
  for (let i = 0; i < start - 1; i++) {
    const byte = body[i] ?? 0;
    if (byte === quote) i = stringEnd(body, i) ?? start;
    else if (opening.has(byte)) depth++;
    else if (closing.has(byte)) depth--;
  }
  return depth === 1 ? start : undefined;
}

/** The index of the quote that ends the string that starts at `at`; undefined when it is not there (yet). */
function stringEnd(body: Buffer, at: number): number | undefined {
  let i = at + 1;
  for (;;) {
    i = body.indexOf(quote, i);
    if (i < 0) return undefined;
    let slashes = 0;
    while (body[i - 1 - slashes] === backslash) slashes++;
    if (slashes % 2 === 0) return i;
    i++;
  }
}
