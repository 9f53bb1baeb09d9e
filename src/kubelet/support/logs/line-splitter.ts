const newline = 0x0a;
/** A runtime that does not cut lines (limit -1) must not make us hold more than this of one. */
export const lineMaxBytes = 16 * 1024 * 1024;

/** Cuts a stream of bytes into lines, each with its newline, and keeps what is unfinished. */
export class LineSplitter {
  #unfinished: Buffer[] = [];
  #unfinishedBytes = 0;

  /** The lines that these bytes complete. @throws when a line has no end in sight */
  split(bytes: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let from = 0;
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, from)) {
      lines.push(this.#finish(bytes.subarray(from, end + 1)));
      from = end + 1;
    }
    if (from < bytes.length) {
      this.#unfinished.push(Buffer.from(bytes.subarray(from))); // a copy: the caller reads into `bytes` again
      this.#unfinishedBytes += bytes.length - from;
      if (this.#unfinishedBytes > lineMaxBytes) {
        throw new Error(`Cannot read log: a line is longer than ${lineMaxBytes} bytes`);
      }
    }
    return lines;
  }

  /** What has come since the last newline; it is forgotten. */
  rest(): Buffer {
    return this.#finish(Buffer.alloc(0));
  }

  #finish(last: Buffer): Buffer {
    if (this.#unfinished.length === 0) return last;
    const line = Buffer.concat([...this.#unfinished, last]);
    this.#unfinished = [];
    this.#unfinishedBytes = 0;
    return line;
  }
}
