/**
 * Questions to other name servers, and their answers on their way to whoever asked. Answers are passed on as they came,
 * whatever records they hold: only the header, the question, the times to live and EDNS are ours to write.
 */
import { type Answer as PacketRecord, decode, encode } from 'dns-packet';
import { type DnsRecord, type Rcode, classIn, rcodes, recordTypes } from '../dns-model.ts';
import { type Transport, answerBytesMax, writeOpt } from './encode-answer.ts';
import {
  type RecordOnWire,
  flagBits,
  headerBytes,
  lowerCase,
  readHeader,
  readQuestion,
  readRecords,
} from './read-packet.ts';
import type { Query } from './read-query.ts';

const optBytes = 11;

/** What is asked of another server. */
export interface Asked {
  name: string;
  type: number;
  /** The question as bytes. */
  bytes: Buffer;
  isDnssecOk: boolean;
  isCheckingDisabled: boolean;
}

/** Somebody else's answer. */
export interface ForeignAnswer {
  /** Without EDNS, which ends at each hop. */
  packet: Buffer;
  questionEnd: number;
  rcode: number;
  isTruncated: boolean;
  /** Where in the packet the times to live are. */
  ttlsAt: readonly number[];
  kind: 'success' | 'denial' | 'failure';
  /** How long it may be kept; 0: not at all. */
  ttl: number;
}

export function askedBy({ question, packet, flags, edns }: Query): Asked {
  return {
    name: question.name,
    type: question.type,
    bytes: Buffer.from(packet.subarray(headerBytes, question.end)),
    isDnssecOk: edns?.isDnssecOk ?? false,
    isCheckingDisabled: (flags & flagBits.checkingDisabled) !== 0,
  };
}

/** A question of our own. */
export function askFor(name: string, type: number): Asked {
  const bytes = Buffer.from(encode({ questions: [{ name, type: 'A', class: 'IN' }] }).subarray(headerBytes));
  bytes.writeUInt16BE(type, bytes.length - 4);
  return { name, type, bytes, isDnssecOk: false, isCheckingDisabled: false };
}

/** Equal for questions that have the same answer. */
export function askedKey({ name, type, isDnssecOk, isCheckingDisabled }: Asked): string {
  return `${type} ${isDnssecOk ? 'd' : ''}${isCheckingDisabled ? 'c' : ''} ${name}`;
}

/** @param hasEdns false for servers that do not understand it */
export function encodeQuestion({ bytes, isDnssecOk, isCheckingDisabled }: Asked, id: number, hasEdns = true): Buffer {
  const packet = Buffer.alloc(headerBytes + bytes.length + (hasEdns ? optBytes : 0));
  packet.writeUInt16BE(id, 0);
  packet.writeUInt16BE(flagBits.recursionDesired | (isCheckingDisabled ? flagBits.checkingDisabled : 0), 2);
  packet.writeUInt16BE(1, 4);
  bytes.copy(packet, headerBytes);
  if (!hasEdns) return packet;
  packet.writeUInt16BE(1, 10);
  writeOpt(packet, headerBytes + bytes.length, isDnssecOk);
  return packet;
}

/** @throws {RangeError} for what is no answer to that question, or cannot be read */
export function readForeignAnswer(packet: Buffer, asked: Asked): ForeignAnswer {
  const header = readHeader(packet);
  const question = readQuestion(packet);
  if ((header.flags & flagBits.response) === 0 || header.counts.questions !== 1) throw new RangeError('no answer');
  if (question.name !== asked.name || question.type !== asked.type || question.class !== classIn) {
    throw new RangeError('an answer to another question');
  }
  const isTruncated = (header.flags & flagBits.truncated) !== 0;
  const records = isTruncated ? [] : readRecords(packet, header, question.end);
  const optIndex = records.findIndex(({ section, type }) => section === 'additionals' && type === recordTypes.OPT);
  // it is the last one as a rule; names of others behind it could point behind it
  const kept = optIndex < 0 ? records : records.slice(0, optIndex);
  const end = kept.at(-1)?.end ?? question.end;
  // memory of its own: in Node.js's pool a small answer that is kept would keep the whole 64 KB piece, which nobody counts
  const own = Buffer.allocUnsafeSlow(end);
  packet.copy(own, 0, 0, end);
  for (const [i, section] of (['answers', 'authorities', 'additionals'] as const).entries()) {
    own.writeUInt16BE(kept.filter((record) => record.section === section).length, 6 + 2 * i);
  }
  const opt = records[optIndex];
  // a code that needs EDNS is about EDNS, which is ours
  const rcode = opt !== undefined && opt.ttl >>> 24 !== 0 ? rcodes.SERVFAIL : header.rcode;
  const kind = kindOf(
    rcode,
    kept.some(({ section }) => section === 'answers'),
  );
  return {
    packet: own,
    questionEnd: question.end,
    rcode,
    isTruncated,
    ttlsAt: kept.map(({ ttlAt }) => ttlAt),
    kind,
    ttl: isTruncated ? 0 : ttlOf(own, kind, rcode, kept),
  };
}

function kindOf(rcode: number, hasAnswer: boolean): ForeignAnswer['kind'] {
  if (rcode !== rcodes.NOERROR && rcode !== rcodes.NXDOMAIN) return 'failure';
  return rcode === rcodes.NOERROR && hasAnswer ? 'success' : 'denial';
}

/** A failure of the other server is remembered for a moment, so that it is not asked again by everybody at once. */
const failureTtl = 5;

function ttlOf(packet: Buffer, kind: ForeignAnswer['kind'], rcode: number, records: readonly RecordOnWire[]): number {
  if (kind === 'failure') return rcode === rcodes.SERVFAIL ? failureTtl : 0;
  // above 2³¹ is 0 (RFC 2181, 8)
  const ttls = records.map(({ ttl }) => (ttl > 0x7fffffff ? 0 : ttl));
  if (kind === 'success') return Math.min(...ttls);
  // a denial without SOA is nobody's word (RFC 2308, 5); the last field of a SOA is for how long there is nothing
  const soa = records.find(({ section, type }) => section === 'authorities' && type === recordTypes.SOA);
  if (soa === undefined || soa.end - soa.dataAt < 22) return 0;
  return Math.min(...ttls, packet.readUInt32BE(soa.end - 4));
}

/** @param ageSeconds for how long the answer has been kept */
export function passOn(query: Query, foreign: ForeignAnswer, ageSeconds: number, transport: Transport): Buffer {
  const { edns, question } = query;
  const room = answerBytesMax(query, transport) - (edns === undefined ? 0 : optBytes);
  const isTruncated = foreign.isTruncated || foreign.packet.length > room;
  const length = isTruncated ? foreign.questionEnd : foreign.packet.length;
  const packet = Buffer.alloc(length + (edns === undefined ? 0 : optBytes));
  foreign.packet.copy(packet, 0, 0, length);
  query.packet.copy(packet, headerBytes, headerBytes, question.end);
  let flags = flagBits.response | flagBits.recursionAvailable | foreign.rcode;
  flags |= query.flags & (flagBits.recursionDesired | flagBits.checkingDisabled);
  flags |= foreign.packet.readUInt16BE(2) & flagBits.authenticData;
  if (isTruncated) flags |= flagBits.truncated;
  packet.writeUInt16BE(query.id, 0);
  packet.writeUInt16BE(flags, 2);
  if (isTruncated) packet.fill(0, 6, headerBytes);
  else for (const at of foreign.ttlsAt) packet.writeUInt32BE(Math.max(0, packet.readUInt32BE(at) - ageSeconds), at);
  if (edns !== undefined) {
    writeOpt(packet, length, edns.isDnssecOk);
    packet.writeUInt16BE(packet.readUInt16BE(10) + 1, 10);
  }
  return packet;
}

/** The addresses that an answer holds, with the aliases on the way to them, and the SOA of one that has none. */
export function readAddresses(
  foreign: ForeignAnswer,
  ageSeconds: number,
): { rcode: Rcode; answers: DnsRecord[]; authorities: DnsRecord[] } {
  const { answers = [], authorities = [] } = decode(foreign.packet);
  const rcode =
    foreign.rcode === rcodes.NXDOMAIN ? 'NXDOMAIN' : foreign.rcode === rcodes.NOERROR ? 'NOERROR' : 'SERVFAIL';
  const own = (records: PacketRecord[]): DnsRecord[] =>
    records.flatMap((record) => ownRecord(record, ageSeconds) ?? []);
  return { rcode, answers: own(answers), authorities: own(authorities) };
}

function ownRecord(record: PacketRecord, ageSeconds: number): DnsRecord | undefined {
  if (record.type === 'OPT') return undefined;
  const ttl = Math.max(0, (record.ttl ?? 0) - ageSeconds);
  const name = textOf(record.name);
  const { type } = record;
  if (type === 'A' || type === 'AAAA') return { name, ttl, type, data: record.data };
  if (type === 'CNAME') return { name, ttl, type, data: textOf(record.data) };
  if (type !== 'SOA') return undefined;
  const { mname, rname, serial = 0, refresh = 0, retry = 0, expire = 0, minimum = 0 } = record.data;
  const data = { mname: textOf(mname), rname: textOf(rname), serial, refresh, retry, expire, minimum };
  return { name, ttl, type, data };
}

function textOf(name: string): string {
  return name === '.' ? '' : lowerCase(name);
}
