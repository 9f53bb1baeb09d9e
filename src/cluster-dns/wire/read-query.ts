/** What a packet asks for, or why it is not answered. Pure. */
import { type Rcode, classIn, recordTypes } from '../dns-model.ts';
import { type Header, type QuestionOnWire, flagBits, readHeader, readQuestion, readRecords } from './read-packet.ts';

export interface Query {
  id: number;
  flags: number;
  question: QuestionOnWire;
  /** Header and question as they came. */
  packet: Buffer;
  /** What an OPT record says; undefined without one. */
  edns: { udpBytes: number; isDnssecOk: boolean } | undefined;
}

export type ReadQuery =
  | { kind: 'query'; query: Query }
  /** `query` is there when at least its question could be read. */
  | { kind: 'refused'; rcode: Rcode; header: Header; query?: Query }
  /** Answering would help nobody: too short for an id, or an answer itself, which two servers would send back and forth. */
  | { kind: 'dropped' };

const opcodeQuery = 0;
const typesFrom = 128; // of questions only, up to 255

export function readQuery(packet: Buffer): ReadQuery {
  let header: Header;
  try {
    header = readHeader(packet);
  } catch {
    return { kind: 'dropped' };
  }
  if ((header.flags & flagBits.response) !== 0) return { kind: 'dropped' };
  const { id, flags, opcode, counts } = header;
  if (opcode !== opcodeQuery) return { kind: 'refused', rcode: 'NOTIMP', header };
  // more than what a question, a signature and EDNS take
  if (counts.questions !== 1 || counts.answers > 0 || counts.authorities > 1 || counts.additionals > 2) {
    return { kind: 'refused', rcode: 'FORMERR', header };
  }
  let query: Query;
  try {
    query = { id, flags, question: readQuestion(packet), packet, edns: undefined };
  } catch {
    return { kind: 'refused', rcode: 'FORMERR', header };
  }
  let version = 0;
  try {
    for (const { section, type, class: udpBytes, ttl, start, dataAt } of readRecords(
      packet,
      header,
      query.question.end,
    )) {
      if (type !== recordTypes.OPT) continue;
      // one at most, among the additional records, of the root
      if (section !== 'additionals' || query.edns !== undefined || packet[start] !== 0 || dataAt - start !== 11) {
        return { kind: 'refused', rcode: 'FORMERR', header, query };
      }
      query.edns = { udpBytes, isDnssecOk: (ttl & 0x8000) !== 0 };
      version = (ttl >>> 16) & 255;
    }
  } catch {
    return { kind: 'refused', rcode: 'FORMERR', header, query };
  }
  const rcode = version === 0 ? whyRefused(query.question) : 'BADVERS';
  return rcode === undefined ? { kind: 'query', query } : { kind: 'refused', rcode, header, query };
}

/** Questions that nobody here answers, whatever the name. */
function whyRefused({ type, class: questionClass }: QuestionOnWire): Rcode | undefined {
  if (type === recordTypes.OPT || type === 0) return 'FORMERR';
  if (type === recordTypes.AXFR || type === recordTypes.IXFR) return 'REFUSED';
  if (type >= typesFrom && type < recordTypes.ANY) return 'NOTIMP';
  return questionClass === classIn ? undefined : 'REFUSED';
}
