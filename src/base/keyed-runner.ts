/**
 * Runs `handle(key)` one at a time per key; changes during a run cause exactly one more run.
 * Different keys run side by side: what a slow key costs, it costs that key alone.
 */
export class KeyedRunner {
  readonly #handle: (key: string) => Promise<void>; // must not reject: it logs and marks its key again
  readonly #states = new Map<string, 'running' | 'running, changed since'>();
  readonly #idle: Array<() => void> = [];

  constructor(handle: (key: string) => Promise<void>) {
    this.#handle = handle;
  }

  mark(key: string): void {
    if (this.#states.has(key)) this.#states.set(key, 'running, changed since');
    else void this.#run(key); // #handle does not reject
  }

  /** Keys with a run in progress. */
  get running(): number {
    return this.#states.size;
  }

  /** Resolves when no key runs. */
  whenIdle(): Promise<void> {
    if (this.#states.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  async #run(key: string): Promise<void> {
    do {
      this.#states.set(key, 'running');
      await this.#handle(key);
    } while (this.#states.get(key) === 'running, changed since');
    this.#states.delete(key);
    if (this.#states.size === 0) for (const wake of this.#idle.splice(0)) wake();
  }
}
