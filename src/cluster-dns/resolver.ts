/**
 * From a packet that asks to the packet that answers: names of the cluster at once, others with the forwarder's help.
 * Decides who says what; the rooms know how.
 */
import type { Clock } from '../base/clock.ts';
import { answerZone } from './answer/answer-zone.ts';
import type { ZoneConfig } from './answer/zone-model.ts';
import { type Answer, type ClusterRecords, type DnsRecord, type Rcode, recordTypes } from './dns-model.ts';
import { type Forwarded, type Forwarder, loopCheck, loopData } from './forward/forwarder.ts';
import { type Transport, encodeAnswer, encodeRefusal } from './wire/encode-answer.ts';
import { type Asked, askFor, askedBy, passOn, readAddresses } from './wire/pass-on.ts';
import { type Query, readQuery } from './wire/read-query.ts';

export interface ResolverNeed {
  records: ClusterRecords;
  /** Whether the records are all there: until then nobody knows which names do not exist. */
  isReady: () => boolean;
  forwarder: Pick<Forwarder, 'cached' | 'ask'>;
  clock: Pick<Clock, 'monotonicMs'>;
  observe: ResolverObserver;
}

/** What is counted. */
export interface ResolverObserver {
  answered(seen: AnsweredQuery): void;
}

export interface AnsweredQuery {
  transport: Transport;
  family: '1' | '2';
  /** Record type asked for; undefined when it could not be read. */
  type: number | undefined;
  zone: 'cluster' | 'other';
  rcode: number;
  isDnssecOk: boolean;
  queryBytes: number;
  answerBytes: number;
  durationMs: number;
}

/** How a query came. */
export interface Arrival {
  transport: Transport;
  /** As metrics name them: 1 is IPv4, 2 is IPv6. */
  family: '1' | '2';
}

/** Aliases that lead to aliases. */
const aliasesMax = 8;
const loopAnswer: DnsRecord = { ...loopCheck, ttl: 0, type: 'HINFO', data: loopData };

export class Resolver {
  readonly #zone: ZoneConfig;
  readonly #need: ResolverNeed;
  #turn = 0;

  constructor(zone: ZoneConfig, need: ResolverNeed) {
    this.#zone = zone;
    this.#need = need;
  }

  /** At once for most; undefined for what is not answered at all. The promise never rejects. */
  resolve(packet: Buffer, arrival: Arrival): Buffer | undefined | Promise<Buffer> {
    const startMs = this.#need.clock.monotonicMs();
    const read = readQuery(packet);
    if (read.kind === 'dropped') return undefined;
    if (read.kind === 'refused') {
      const { header, rcode } = read;
      const query = read.query ?? bareQuery(packet, header);
      return this.#told(encodeRefusal(query, rcode, read.query !== undefined), read.query, arrival, startMs);
    }
    const { query } = read;
    const answer = this.#answerAtOnce(query, arrival);
    if (answer instanceof Promise) return answer.then((late) => this.#told(late, query, arrival, startMs));
    return this.#told(answer, query, arrival, startMs);
  }

  #answerAtOnce(query: Query, { transport }: Arrival): Buffer | Promise<Buffer> {
    const { records, isReady } = this.#need;
    const { question } = query;
    if (!isReady() && this.#mayBeOwn(question.name)) return encodeRefusal(query, 'SERVFAIL');
    const own = answerZone(question, records, this.#zone);
    if (own === undefined) return this.#answerOthers(query, transport);
    if (own.target === undefined || (question.type !== recordTypes.A && question.type !== recordTypes.AAAA)) {
      return encodeAnswer(query, this.#turned(own), transport);
    }
    return this.#followAlias(question.type, own).then((answer) => encodeAnswer(query, answer, transport));
  }

  #mayBeOwn(name: string): boolean {
    return this.#isInZone(name) || name.endsWith('.in-addr.arpa') || name.endsWith('.ip6.arpa');
  }

  #isInZone(name: string): boolean {
    const { domain } = this.#zone;
    return name === domain || name.endsWith(`.${domain}`);
  }

  #answerOthers(query: Query, transport: Transport): Buffer | Promise<Buffer> {
    const { forwarder } = this.#need;
    const { name, type } = query.question;
    const empty = { isAuthoritative: false, authorities: [], additionals: [] };
    if (type === recordTypes.ANY) {
      const data = { cpu: 'RFC8482', os: '' };
      return encodeAnswer(
        query,
        { ...empty, rcode: 'NOERROR', answers: [{ name, ttl: this.#zone.ttl, type: 'HINFO', data }] },
        transport,
      );
    }
    if (name === loopCheck.name) {
      const answers = type === loopCheck.type ? [loopAnswer] : [];
      return encodeAnswer(query, { ...empty, rcode: 'NOERROR', answers }, transport);
    }
    const asked = askedBy(query);
    const finish = (forwarded: Forwarded): Buffer =>
      forwarded.kind === 'answer'
        ? passOn(query, forwarded.answer, forwarded.ageSeconds, transport)
        : encodeRefusal(query, codeOf(forwarded));
    const cached = forwarder.cached(asked);
    return cached === undefined ? forwarder.ask(asked).then(finish) : finish(cached);
  }

  /** Adds what the alias stands for, as far as it leads. */
  async #followAlias(type: number, alias: Answer): Promise<Answer> {
    const { records } = this.#need;
    const answers = [...alias.answers];
    let target = alias.target ?? '';
    for (let i = 0; i < aliasesMax; i++) {
      const own = answerZone({ name: target, type }, records, this.#zone);
      if (own === undefined) {
        const { rcode, answers: more, authorities } = await this.#lookUpElsewhere(askFor(target, type));
        return { ...alias, rcode, answers: [...answers, ...more], authorities };
      }
      answers.push(...own.answers);
      if (own.target === undefined) {
        return { ...alias, rcode: own.rcode, answers, authorities: own.authorities };
      }
      target = own.target;
    }
    return { ...alias, rcode: 'SERVFAIL', answers }; // they lead in a circle
  }

  async #lookUpElsewhere(asked: Asked): Promise<{ rcode: Rcode; answers: DnsRecord[]; authorities: DnsRecord[] }> {
    const { forwarder } = this.#need;
    const forwarded = forwarder.cached(asked) ?? (await forwarder.ask(asked));
    if (forwarded.kind === 'answer') {
      try {
        return readAddresses(forwarded.answer, forwarded.ageSeconds);
      } catch {
        // its records cannot be read: as good as none
      }
    }
    return { rcode: 'SERVFAIL', answers: [], authorities: [] };
  }

  /** Whoever takes the first of several addresses takes another one each time. */
  #turned(answer: Answer): Answer {
    const { answers } = answer;
    if (answers.length < 2 || (answers[0]?.type !== 'A' && answers[0]?.type !== 'AAAA')) return answer;
    const first = this.#turn++ % answers.length;
    return { ...answer, answers: [...answers.slice(first), ...answers.slice(0, first)] };
  }

  #told(answer: Buffer, query: Query | undefined, arrival: Arrival, startMs: number): Buffer {
    const { clock, observe } = this.#need;
    observe.answered({
      ...arrival,
      type: query?.question.type,
      zone: this.#isInZone(query?.question.name ?? '') ? 'cluster' : 'other',
      rcode: answer.readUInt16BE(2) & 15,
      isDnssecOk: query?.edns?.isDnssecOk ?? false,
      queryBytes: query?.packet.length ?? 0,
      answerBytes: answer.length,
      durationMs: clock.monotonicMs() - startMs,
    });
    return answer;
  }
}

function codeOf({ kind }: Forwarded): Rcode {
  return kind === 'refused' ? 'REFUSED' : 'SERVFAIL';
}

/** What can be told to somebody whose question could not be read. */
function bareQuery(packet: Buffer, { id, flags }: { id: number; flags: number }): Query {
  return { id, flags, packet, edns: undefined, question: { name: '', type: 0, class: 0, end: 0 } };
}
