/**
 * Answers as packets. The question is sent back byte for byte, so that whoever mixes the case of its letters (0x20)
 * finds them, and names point to where they stand already. What records hold is encoded by dns-packet.
 */
import { type Answer as PacketRecord, encode } from 'dns-packet';
import { type Answer, type DnsRecord, type Rcode, rcodes } from '../dns-model.ts';
import { flagBits, headerBytes } from './read-packet.ts';
import type { Query } from './read-query.ts';

/** The largest packet that there is: over TCP its length is two bytes. */
export const packetBytesMax = 65_535;
/** Without EDNS no more fits into a packet over UDP. */
const udpBytesMin = 512;
/** Over UDP larger packets are sent in pieces, and lost where these are not let through. */
export const udpBytesMax = 1232;
const optBytes = 11;

export type Transport = 'udp' | 'tcp';

const scratch = Buffer.alloc(packetBytesMax + 4096);
const recordScratch = Buffer.alloc(4096);

/** How many bytes the one who asks can take. */
export function answerBytesMax({ edns }: Pick<Query, 'edns'>, transport: Transport): number {
  if (transport === 'tcp') return packetBytesMax;
  return Math.max(udpBytesMin, Math.min(edns?.udpBytes ?? udpBytesMin, udpBytesMax));
}

/** As much of the answer as fits; what lacks of the answer itself is told (TC), additional records are just left out. */
export function encodeAnswer(query: Query, answer: Answer, transport: Transport): Buffer {
  const { question, edns } = query;
  const room = answerBytesMax(query, transport) - (edns === undefined ? 0 : optBytes);
  const names = new Map<string, number>();
  rememberName(names, question.name, headerBytes);
  query.packet.copy(scratch, 0, 0, question.end);
  let end = question.end;
  let isTruncated = false;
  const counts: number[] = [];
  for (const section of [answer.answers, answer.authorities, answer.additionals]) {
    let count = 0;
    for (const record of isTruncated ? [] : section) {
      const next = writeRecord(record, end, names);
      if (next > room) {
        isTruncated = section !== answer.additionals;
        break;
      }
      end = next;
      count++;
    }
    counts.push(count);
  }
  const { rcode, isAuthoritative } = answer;
  writeHeader(query, { rcode, isAuthoritative, isTruncated }, [1, ...counts]);
  return finish(query, rcode, end);
}

/** An answer that only has a code. @param hasQuestion whether a question could be read that can be sent back */
export function encodeRefusal(query: Query, rcode: Rcode, hasQuestion = true): Buffer {
  if (hasQuestion) query.packet.copy(scratch, headerBytes, headerBytes, query.question.end);
  writeHeader(query, { rcode, isAuthoritative: false, isTruncated: false }, [hasQuestion ? 1 : 0, 0, 0, 0]);
  return finish(query, rcode, hasQuestion ? query.question.end : headerBytes);
}

function finish({ edns }: Query, rcode: Rcode, from: number): Buffer {
  let end = from;
  if (edns !== undefined) {
    end = writeOpt(scratch, end, edns.isDnssecOk, rcodes[rcode] >> 4);
    scratch.writeUInt16BE(scratch.readUInt16BE(10) + 1, 10);
  }
  return Buffer.from(scratch.subarray(0, end)); // a copy: the next answer is written into the same place
}

/** @returns where it ends */
export function writeOpt(packet: Buffer, at: number, isDnssecOk: boolean, rcodeHigh = 0): number {
  packet[at] = 0;
  packet.writeUInt16BE(41, at + 1);
  packet.writeUInt16BE(udpBytesMax, at + 3);
  packet.writeUInt32BE(((rcodeHigh << 24) | (isDnssecOk ? 0x8000 : 0)) >>> 0, at + 5);
  packet.writeUInt16BE(0, at + 9);
  return at + optBytes;
}

function writeHeader(
  query: Pick<Query, 'id' | 'flags'>,
  { rcode, isAuthoritative, isTruncated }: { rcode: Rcode; isAuthoritative: boolean; isTruncated: boolean },
  counts: readonly number[],
): void {
  // the operation is told back as it was asked for, and whether recursion is wanted
  let flags = flagBits.response | (query.flags & (0x7800 | flagBits.recursionDesired | flagBits.checkingDisabled));
  flags |= flagBits.recursionAvailable | (rcodes[rcode] & 15);
  if (isAuthoritative) flags |= flagBits.authoritative;
  if (isTruncated) flags |= flagBits.truncated;
  scratch.writeUInt16BE(query.id, 0);
  scratch.writeUInt16BE(flags, 2);
  for (const [i, count] of counts.entries()) scratch.writeUInt16BE(count, 4 + 2 * i);
}

/** @returns where it ends, which may be behind the end of the packet */
function writeRecord(record: DnsRecord, at: number, names: Map<string, number>): number {
  const nameEnd = writeName(record.name, at, names);
  // dns-packet writes whole packets: a header, then, with the root as its owner, the record
  const { name: _, ...rest } = record;
  encode({ answers: [{ name: '.', ...copyOfData(rest) } as PacketRecord] }, recordScratch, 0); // the same kinds of records
  const bytes = encode.bytes - headerBytes - 1;
  recordScratch.copy(scratch, nameEnd, headerBytes + 1, headerBytes + 1 + bytes);
  return nameEnd + bytes;
}

/** dns-packet puts buffers in the place of texts. */
function copyOfData<T extends { type: string; data: unknown }>(record: T): T {
  return Array.isArray(record.data) ? { ...record, data: [...(record.data as unknown[])] } : record;
}

function writeName(name: string, from: number, names: Map<string, number>): number {
  let at = from;
  let rest = name;
  while (rest !== '') {
    const known = names.get(rest);
    if (known !== undefined) {
      scratch.writeUInt16BE(0xc000 | known, at);
      return at + 2;
    }
    if (at < 0x4000) names.set(rest, at);
    const dot = rest.indexOf('.');
    const label = dot < 0 ? rest : rest.slice(0, dot);
    scratch[at] = scratch.write(label, at + 1, 'latin1');
    at += label.length + 1;
    rest = dot < 0 ? '' : rest.slice(dot + 1);
  }
  scratch[at] = 0;
  return at + 1;
}

/** Where each part of a name begins that is written without pointers. */
function rememberName(names: Map<string, number>, name: string, from: number): void {
  if (name.includes('\\')) {
    names.set(name, from); // its labels are not where its dots are
    return;
  }
  let at = from;
  for (let rest = name; rest !== '';) {
    names.set(rest, at);
    const dot = rest.indexOf('.');
    if (dot < 0) return;
    at += dot + 1;
    rest = rest.slice(dot + 1);
  }
}
