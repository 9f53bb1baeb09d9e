/**
 * Asks a name server at a steady rate, and counts what comes back. A process of its own, so that it can run inside of a
 * lab's node: `dns-load.ts '{"host": …}'` prints its figures as JSON.
 */
import { type Socket, createSocket } from 'node:dgram';
import { encode } from 'dns-packet';
import { systemClock } from '../../src/base/clock.ts';
import { percentile } from './statistics.ts';

export interface LoadOptions {
  host: string;
  port: number;
  /** Names, each with how many addresses it must have. */
  names: ReadonlyArray<{ name: string; answers: number }>;
  perSecond: number;
  seconds: number;
  /** As resolvers do: a socket for each question, and another try when nothing comes. */
  isPatient: boolean;
}

export interface LoadFigures {
  asked: number;
  answered: number;
  /** Answered with something else than what was expected. */
  wrong: number;
  /** Not answered, however often it was tried. */
  lost: number;
  /** Answered, but not at the first try. */
  late: number;
  /** Not asked, since too many were under way: the generator, or the server, was too slow. */
  skipped: number;
  seconds: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

interface Waiting {
  answers: number;
  settle: (outcome: 'answered' | 'wrong' | 'lost') => void;
}

const underWayMax = 2000;
const timeoutMs = 2000;
const socketsKept = 16;
const tickMs = 5;
const never = new AbortController().signal;

export async function askAtARate(options: LoadOptions): Promise<LoadFigures> {
  const { host, port, names, perSecond, seconds, isPatient } = options;
  const counts = { asked: 0, answered: 0, wrong: 0, lost: 0, late: 0, skipped: 0 };
  const latencies: number[] = [];
  const underWay = new Set<Promise<void>>();
  const kept = isPatient ? [] : await Promise.all(Array.from({ length: socketsKept }, () => Asker.open(host, port)));
  const packets = names.map(({ name, answers }) => ({
    answers,
    packet: encode({ type: 'query', flags: 0x100, questions: [{ name, type: 'A' }] }),
  }));

  const askOne = async (i: number): Promise<void> => {
    const { packet, answers } = packets[i % packets.length] ?? { packet: Buffer.alloc(0), answers: 0 };
    const startMs = systemClock.monotonicMs();
    for (let attempt = 0; ; attempt++) {
      const asker = kept[i % socketsKept] ?? (await Asker.open(host, port));
      const outcome = await asker.ask(packet, answers);
      if (kept.length === 0) asker.close();
      if (outcome === 'lost' && isPatient && attempt < 2) continue;
      counts[outcome]++;
      if (attempt > 0 && outcome === 'answered') counts.late++;
      latencies.push(systemClock.monotonicMs() - startMs);
      return;
    }
  };

  const beginMs = systemClock.monotonicMs();
  const total = perSecond * seconds;
  for (let turn = 0; turn < total;) {
    const due = Math.min(total, ((systemClock.monotonicMs() - beginMs) / 1000) * perSecond);
    for (; turn < due; turn++) {
      if (underWay.size >= underWayMax) {
        counts.skipped++;
        continue;
      }
      counts.asked++;
      const work = askOne(turn).finally(() => underWay.delete(work));
      underWay.add(work);
    }
    await systemClock.sleep(tickMs, never);
  }
  await Promise.all(underWay);
  for (const asker of kept) asker.close();
  return {
    ...counts,
    seconds: (systemClock.monotonicMs() - beginMs) / 1000,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    maxMs: percentile(latencies, 1),
  };
}

/** One socket with the questions that are under way on it. */
class Asker {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #id = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => {}); // nobody listens at the moment: lost
    socket.on('message', (packet) => {
      const waiting = packet.length < 12 ? undefined : this.#waiting.get(packet.readUInt16BE(0));
      if (waiting === undefined) return;
      const isGood = (packet.readUInt16BE(2) & 15) === 0 && packet.readUInt16BE(6) === waiting.answers;
      waiting.settle(isGood ? 'answered' : 'wrong');
    });
  }

  static open(host: string, port: number): Promise<Asker> {
    return new Promise((resolve) => {
      const socket = createSocket('udp4');
      socket.connect(port, host, () => resolve(new Asker(socket)));
    });
  }

  ask(packet: Buffer, answers: number): Promise<'answered' | 'wrong' | 'lost'> {
    return new Promise((resolve) => {
      do this.#id = (this.#id + 1) & 0xffff;
      while (this.#waiting.has(this.#id));
      const id = this.#id;
      const cancel = systemClock.after(timeoutMs, () => settle('lost'));
      const settle = (outcome: 'answered' | 'wrong' | 'lost'): void => {
        cancel();
        this.#waiting.delete(id);
        resolve(outcome);
      };
      this.#waiting.set(id, { answers, settle });
      const own = Buffer.from(packet);
      own.writeUInt16BE(id, 0);
      this.#socket.send(own);
    });
  }

  close(): void {
    this.#socket.close();
  }
}

if (process.argv[1] === import.meta.filename) {
  const options = JSON.parse(process.argv[2] ?? '') as LoadOptions; // by its caller
  process.stdout.write(`${JSON.stringify(await askAtARate(options))}\n`);
}
