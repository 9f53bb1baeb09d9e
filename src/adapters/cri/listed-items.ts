/**
 * The items of a listing that is asked for again and again: owns what was decoded before. What the runtime says of a
 * sandbox or container with some id changes in its state alone, so only items that are new or in another state are
 * decoded: of a node at rest none. (Whole items cannot be compared as bytes: the order of labels is another each time.)
 */
interface ItemShape<T> {
  /** Numbers of the item's fields that hold its id and its state. */
  idField: number;
  stateField: number;
  /** The items of a list message: here, of one that holds a single item. */
  decode(message: Buffer): T[];
}

export class ListedItems<T> {
  readonly #shape: ItemShape<T>;
  #known = new Map<string, T[]>();

  constructor(shape: ItemShape<T>) {
    this.#shape = shape;
  }

  /** @param list a message whose only field, number 1, is the repeated item @throws {RangeError} if it is not */
  read(list: Buffer): T[] {
    const next = new Map<string, T[]>();
    const reader = new WireReader(list);
    while (reader.at < list.length) {
      const start = reader.at;
      if (reader.enter() !== 1) throw new RangeError(`Cannot read a listing: byte ${start} begins no item`);
      const key = this.#keyOf(reader, reader.end);
      next.set(key, this.#known.get(key) ?? this.#shape.decode(list.subarray(start, reader.at)));
    }
    this.#known = next;
    return [...next.values()].flat();
  }

  /** Id and state of the item that the reader stands in; leaves it behind the item. */
  #keyOf(reader: WireReader, end: number): string {
    const { idField, stateField } = this.#shape;
    let id = '';
    let state = '';
    while (reader.at < end) {
      const field = reader.enter();
      if (field === idField) id = reader.text();
      else if (field === stateField) state = reader.text();
      reader.at = reader.end;
    }
    return `${id} ${state}`;
  }
}

/** Steps from field to field of a protobuf message. No object per field: a listing has thousands. */
class WireReader {
  readonly #bytes: Buffer;
  /** The next byte to be read; after `enter`, the first of the field's value. */
  at = 0;
  /** Behind the value that was entered. */
  end = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Reads a tag and where its value lies; returns the field's number. */
  enter(): number {
    const tag = this.#varint();
    const from = this.at;
    switch (tag & 7) {
      case 0:
        this.#varint();
        this.end = this.at;
        this.at = from;
        break;
      case 1:
        this.end = from + 8;
        break;
      case 2: {
        const length = this.#varint();
        this.end = this.at + length;
        break;
      }
      case 5:
        this.end = from + 4;
        break;
      default:
        throw new RangeError(`Cannot read a listing: wire type ${tag & 7} before byte ${from}`);
    }
    if (this.end > this.#bytes.length) throw new RangeError(`Cannot read a listing: cut off at byte ${from}`);
    return tag >>> 3;
  }

  /** The value that was entered, byte for byte. */
  text(): string {
    return this.#bytes.toString('latin1', this.at, this.end);
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 64; scale *= 128) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw new RangeError(`Cannot read a listing: bad number before byte ${this.at}`);
  }
}
