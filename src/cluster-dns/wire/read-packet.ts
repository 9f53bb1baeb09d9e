/**
 * Packets as they arrive: header, question, and where the records lie. What is read here comes from anybody; what does
 * not fit throws, and nothing is looked at twice, so that the work is bounded by the packet's size.
 */
import type { Question } from '../dns-model.ts';

export const headerBytes = 12;
const nameBytesMax = 255;

/** The bits of a header's second word. */
export const flagBits = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  authenticData: 0x0020,
  checkingDisabled: 0x0010,
} as const;

export interface Header {
  id: number;
  flags: number;
  opcode: number;
  /** The lower four bits of the code; the others are in the OPT record. */
  rcode: number;
  counts: { questions: number; answers: number; authorities: number; additionals: number };
}

export interface QuestionOnWire extends Question {
  class: number;
  /** Where the question ends: from `headerBytes` to here it is answered as it was asked, case included. */
  end: number;
}

export interface RecordOnWire {
  section: 'answers' | 'authorities' | 'additionals';
  start: number;
  type: number;
  class: number;
  ttl: number;
  ttlAt: number;
  dataAt: number;
  end: number;
}

/** @throws {RangeError} */
export function readHeader(packet: Buffer): Header {
  if (packet.length < headerBytes) throw new RangeError(`a header has ${headerBytes} bytes, not ${packet.length}`);
  const flags = packet.readUInt16BE(2);
  return {
    id: packet.readUInt16BE(0),
    flags,
    opcode: (flags >> 11) & 15,
    rcode: flags & 15,
    counts: {
      questions: packet.readUInt16BE(4),
      answers: packet.readUInt16BE(6),
      authorities: packet.readUInt16BE(8),
      additionals: packet.readUInt16BE(10),
    },
  };
}

/** The first question, its name in lower case. Nothing stands before it that its name could point to. @throws {RangeError} */
export function readQuestion(packet: Buffer): QuestionOnWire {
  let name = '';
  let at = headerBytes;
  for (;;) {
    const length = byteAt(packet, at);
    at++;
    if (length === 0) break;
    if (length > 63) throw new RangeError('a question has no pointers');
    if (at + length - headerBytes >= nameBytesMax) throw new RangeError('the name is too long');
    if (at + length > packet.length) throw new RangeError('the name is cut off');
    const label = packet.toString('latin1', at, at + length);
    // a dot inside of a label is no border between two, nor is one behind a label that ends with a backslash
    name += (name === '' ? '' : '.') + (/[.\\]/.test(label) ? label.replaceAll(/[.\\]/g, '\\$&') : label);
    at += length;
  }
  if (at + 4 > packet.length) throw new RangeError('the question is cut off');
  return { name: lowerCase(name), type: packet.readUInt16BE(at), class: packet.readUInt16BE(at + 2), end: at + 4 };
}

/** Every record after the question, in order. @throws {RangeError} */
export function readRecords(packet: Buffer, { counts }: Header, from: number): RecordOnWire[] {
  const records: RecordOnWire[] = [];
  let at = from;
  for (const section of ['answers', 'authorities', 'additionals'] as const) {
    for (let i = 0; i < counts[section]; i++) {
      const start = at;
      at = skipName(packet, at);
      if (at + 10 > packet.length) throw new RangeError('a record is cut off');
      const end = at + 10 + packet.readUInt16BE(at + 8);
      if (end > packet.length) throw new RangeError("a record's data is cut off");
      records.push({
        section,
        start,
        type: packet.readUInt16BE(at),
        class: packet.readUInt16BE(at + 2),
        ttl: packet.readUInt32BE(at + 4),
        ttlAt: at + 4,
        dataAt: at + 10,
        end,
      });
      at = end;
    }
  }
  return records;
}

/** Where the name that begins at `at` ends; where it points to is not looked at. @throws {RangeError} */
export function skipName(packet: Buffer, at: number): number {
  for (let next = at; ;) {
    const length = byteAt(packet, next);
    if (length === 0) return next + 1;
    if (length >= 0xc0) return next + 2;
    if (length > 63) throw new RangeError('a label of an unknown kind');
    next += 1 + length;
    if (next - at > nameBytesMax) throw new RangeError('the name is too long');
  }
}

function byteAt(packet: Buffer, at: number): number {
  const byte = packet[at];
  if (byte === undefined) throw new RangeError('the name is cut off');
  return byte;
}

/** Only letters of ASCII have a case in names. */
export function lowerCase(name: string): string {
  return /[A-Z]/.test(name) ? name.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase()) : name;
}
