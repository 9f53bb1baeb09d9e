/**
 * Values of D-Bus as bytes and back, in the little-endian form. Pure.
 *
 * @see https://dbus.freedesktop.org/doc/dbus-specification.html#message-protocol-marshaling
 */

/** 64-bit numbers are bigints; a structure and an array are lists; an array of pairs is a dictionary. */
export type DbusValue = string | number | bigint | boolean | DbusVariant | readonly DbusValue[];

/** A value that carries its type with it: `{ type: 't', value: 512n }`. */
export interface DbusVariant {
  type: string;
  value: DbusValue;
}

const numberSizes: Readonly<Record<string, number>> = { y: 1, n: 2, q: 2, b: 4, i: 4, u: 4, x: 8, t: 8, d: 8 };

/** The complete types in a signature: `sa(sv)u` → `s`, `a(sv)`, `u`. @throws {RangeError} when it is none */
export function splitSignature(signature: string): string[] {
  const types: string[] = [];
  for (let at = 0; at < signature.length;) {
    const end = typeEnd(signature, at);
    types.push(signature.slice(at, end));
    at = end;
  }
  return types;
}

function typeEnd(signature: string, at: number): number {
  const code = signature[at] ?? '';
  if (code === 'a') return typeEnd(signature, at + 1);
  if (code === '(' || code === '{') {
    const close = code === '(' ? ')' : '}';
    let end = at + 1;
    while (end < signature.length && signature[end] !== close) end = typeEnd(signature, end);
    if (end < signature.length && end > at + 1) return end + 1;
  } else if (code in numberSizes || 'sogv'.includes(code || '?')) return at + 1;
  throw new RangeError(`"${signature}" is no D-Bus signature`);
}

function alignmentOf(type: string): number {
  const code = type.charAt(0);
  if (code === '(' || code === '{') return 8;
  if (code === 'g' || code === 'v') return 1;
  return numberSizes[code] ?? 4; // strings, paths and arrays begin with their length
}

/** Writes values one after the other, each where its type may begin. */
export class DbusWriter {
  readonly #parts: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  align(to: number): void {
    const missing = (to - (this.#length % to)) % to;
    if (missing > 0) this.#push(Buffer.alloc(missing));
  }

  /** @throws {TypeError} when the values are not of these types */
  write(signature: string, values: readonly DbusValue[]): void {
    const types = splitSignature(signature);
    if (types.length !== values.length) throw mismatch(signature, values);
    for (const [i, value] of values.entries()) this.#writeOne(types[i] ?? '', value);
  }

  toBuffer(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #writeOne(type: string, value: DbusValue): void {
    this.align(alignmentOf(type));
    const code = type.charAt(0);
    if (code in numberSizes) this.#push(numberBytes(code, value));
    else if (code === 'a') this.#writeArray(type.slice(1), value);
    else if (code === '(' || code === '{') {
      if (!isList(value)) throw mismatch(type, value);
      this.write(type.slice(1, -1), value);
    } else if (code === 'v') {
      if (typeof value !== 'object' || isList(value)) throw mismatch(type, value);
      this.#writeOne('g', value.type);
      this.write(value.type, [value.value]);
    } else {
      if (typeof value !== 'string' || value.includes('\0')) throw mismatch(type, value);
      const text = Buffer.from(`${value}\0`);
      this.#push(numberBytes(code === 'g' ? 'y' : 'u', text.length - 1));
      this.#push(text);
    }
  }

  /** The length counts what lies between the padding before the first item and the end. */
  #writeArray(itemType: string, value: DbusValue): void {
    if (!isList(value)) throw mismatch(`a${itemType}`, value);
    const length = Buffer.alloc(4);
    this.#push(length);
    this.align(alignmentOf(itemType));
    const start = this.#length;
    for (const item of value) this.#writeOne(itemType, item);
    length.writeUInt32LE(this.#length - start);
  }

  #push(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }
}

function numberBytes(code: string, value: DbusValue): Buffer {
  const bytes = Buffer.alloc(numberSizes[code] ?? 0);
  if (code === 'x' || code === 't') {
    if (typeof value !== 'bigint') throw mismatch(code, value);
    if (code === 'x') bytes.writeBigInt64LE(value);
    else bytes.writeBigUInt64LE(value);
    return bytes;
  }
  if (typeof value !== (code === 'b' ? 'boolean' : 'number')) throw mismatch(code, value);
  const number = Number(value);
  if (code === 'd') bytes.writeDoubleLE(number);
  else if (code === 'n' || code === 'i') bytes.writeIntLE(number, 0, bytes.length);
  else bytes.writeUIntLE(number, 0, bytes.length);
  return bytes;
}

/** Reads values one after the other. @throws {RangeError} when the bytes end too early */
export class DbusReader {
  readonly #bytes: Buffer;
  #at: number;

  /** @param start where the first value begins, counted as alignment is: from the start of the message or body */
  constructor(bytes: Buffer, start = 0) {
    this.#bytes = bytes;
    this.#at = start;
  }

  read(signature: string): DbusValue[] {
    return splitSignature(signature).map((type) => this.#readOne(type));
  }

  #readOne(type: string): DbusValue {
    const code = type.charAt(0);
    this.#align(alignmentOf(type));
    if (code in numberSizes) return this.#readNumber(code);
    if (code === 'a') return this.#readArray(type.slice(1));
    if (code === '(' || code === '{') return this.read(type.slice(1, -1));
    if (code === 'v') {
      const inner = this.#readText('y');
      const [value, ...more] = this.read(inner);
      if (value === undefined || more.length > 0) throw new RangeError(`"${inner}" is no type of one D-Bus value`);
      return { type: inner, value };
    }
    return this.#readText(code === 'g' ? 'y' : 'u');
  }

  #readArray(itemType: string): DbusValue[] {
    const length = Number(this.#readNumber('u'));
    this.#align(alignmentOf(itemType));
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError('a D-Bus array is longer than its message');
    const items: DbusValue[] = [];
    while (this.#at < end) items.push(this.#readOne(itemType));
    return items;
  }

  #readText(lengthType: string): string {
    if (lengthType === 'u') this.#align(4);
    const length = Number(this.#readNumber(lengthType));
    const start = this.#take(length + 1);
    return this.#bytes.toString('utf8', start, start + length);
  }

  #readNumber(code: string): number | bigint | boolean {
    const size = numberSizes[code] ?? 0;
    const at = this.#take(size);
    if (code === 'x') return this.#bytes.readBigInt64LE(at);
    if (code === 't') return this.#bytes.readBigUInt64LE(at);
    if (code === 'd') return this.#bytes.readDoubleLE(at);
    if (code === 'n' || code === 'i') return this.#bytes.readIntLE(at, size);
    const number = this.#bytes.readUIntLE(at, size);
    return code === 'b' ? number !== 0 : number;
  }

  #align(to: number): void {
    this.#at += (to - (this.#at % to)) % to;
  }

  #take(size: number): number {
    const start = this.#at;
    this.#at += size;
    if (this.#at > this.#bytes.length) throw new RangeError('a D-Bus message ends in the middle of a value');
    return start;
  }
}

const isList = (value: DbusValue): value is readonly DbusValue[] => Array.isArray(value);

function mismatch(type: string, value: DbusValue): TypeError {
  return new TypeError(`${JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}n` : v))} is no "${type}"`);
}
