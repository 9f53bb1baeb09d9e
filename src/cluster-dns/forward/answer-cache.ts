/** Answers of other servers, as long as they said that they hold. Bounded in number and bytes; what is over is never given. */
import type { ForeignAnswer } from '../wire/pass-on.ts';

export interface CacheLimits {
  entriesMax: number;
  bytesMax: number;
  /** Seconds, whatever the answer says; 0: nothing is kept. */
  ttlMax: number;
}

interface Entry {
  answer: ForeignAnswer;
  keptAtMs: number;
  endMs: number;
}

/** What an entry costs beside its packet, about. */
const entryBytes = 400;

export class AnswerCache {
  readonly #limits: CacheLimits;
  /** The one that was used last is last. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  readonly #counts = { success: 0, denial: 0 };

  constructor(limits: CacheLimits) {
    this.#limits = limits;
  }

  /** Entries by kind. */
  get counts(): Readonly<{ success: number; denial: number }> {
    return this.#counts;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string, nowMs: number): { answer: ForeignAnswer; ageSeconds: number } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (nowMs >= entry.endMs) {
      this.#remove(key, entry);
      return undefined;
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return { answer: entry.answer, ageSeconds: Math.floor((nowMs - entry.keptAtMs) / 1000) };
  }

  /** @returns how many others had to go for it */
  put(key: string, answer: ForeignAnswer, nowMs: number): number {
    const known = this.#entries.get(key);
    if (known !== undefined) this.#remove(key, known);
    const { entriesMax, bytesMax, ttlMax } = this.#limits;
    const ttl = Math.min(answer.ttl, ttlMax);
    if (ttl <= 0 || sizeOf(answer) > bytesMax / 8) return 0;
    this.#entries.set(key, { answer, keptAtMs: nowMs, endMs: nowMs + ttl * 1000 });
    this.#bytes += sizeOf(answer);
    this.#counts[countedAs(answer)]++;
    let evicted = 0;
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= entriesMax && this.#bytes <= bytesMax) break;
      this.#remove(oldest, entry);
      evicted++;
    }
    return evicted;
  }

  #remove(key: string, { answer }: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= sizeOf(answer);
    this.#counts[countedAs(answer)]--;
  }
}

export function countedAs({ kind }: ForeignAnswer): 'success' | 'denial' {
  return kind === 'success' ? 'success' : 'denial';
}

function sizeOf({ packet, ttlsAt }: ForeignAnswer): number {
  return entryBytes + packet.length + 8 * ttlsAt.length;
}
