import { appendFileSync } from 'node:fs';

/** What the driver was asked, a line of JSON each. */
export class CallLog {
  readonly #file: string;
  constructor(file: string) {
    this.#file = file;
  }

  write(entry: { method: string } & Record<string, unknown>): void {
    appendFileSync(this.#file, `${JSON.stringify(entry)}\n`);
  }
}
