import { type Answer as PacketRecord, type Packet, decode, encode } from 'dns-packet';
import { describe, expect, it } from 'vitest';
import { recordTypes } from '../dns-model.ts';
import { FrameReader, frame } from './frames.ts';
import { askFor, askedBy, askedKey, encodeQuestion, passOn, readAddresses, readForeignAnswer } from './pass-on.ts';
import { type Query, readQuery } from './read-query.ts';

const name = 'www.example.com';
const opt = (more: object = {}): PacketRecord =>
  ({
    name: '.',
    type: 'OPT',
    udpPayloadSize: 4096,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    options: [],
    ...more,
  }) as never; // its types want fields that are ignored
const address = (data: string, ttl: number): PacketRecord => ({ name, type: 'A', ttl, data });
const soa = (ttl: number, minimum: number): PacketRecord => ({
  name: 'example.com',
  type: 'SOA',
  ttl,
  data: { mname: 'NS.example.com', rname: 'h.example.com', serial: 1, refresh: 2, retry: 3, expire: 4, minimum },
});
const asked = askFor(name, recordTypes.A);
const packetOf = (more: Packet): Buffer =>
  encode({ type: 'response', id: 1, flags: 0x180, questions: [{ name, type: 'A' }], ...more });
const read = (more: Packet): ReturnType<typeof readForeignAnswer> => readForeignAnswer(packetOf(more), asked);

function queryOf(more: Packet = {}, as = name): Query {
  const packet = encode({ type: 'query', id: 0xabc, flags: 0x100, questions: [{ name: as, type: 'A' }], ...more });
  const found = readQuery(packet);
  if (found.kind !== 'query') throw new Error('not read');
  return found.query;
}

describe('readForeignAnswer', () => {
  it('keeps no more memory than the answer has bytes: that is what the cache counts', () => {
    const { packet } = read({ answers: [address('192.0.2.1', 300)] });
    expect(packet.buffer.byteLength).toBe(packet.length);
  });

  it.each<[string, Packet, string, number]>([
    [
      'the shortest time of an answer',
      { answers: [address('192.0.2.1', 300), address('192.0.2.2', 20)] },
      'success',
      20,
    ],
    ['a time above 2³¹ is none', { answers: [address('192.0.2.1', 2 ** 31 + 5)] }, 'success', 0],
    ['no such name, for as long as its SOA says', { flags: 0x183, authorities: [soa(60, 7)] }, 'denial', 7],
    ['no such name, for as long as its SOA itself', { flags: 0x183, authorities: [soa(5, 70)] }, 'denial', 5],
    ['nothing of that type', { authorities: [soa(60, 30)] }, 'denial', 30],
    ['a denial that nobody stands for', { flags: 0x183 }, 'denial', 0],
    ['a failure, for a moment', { flags: 0x182 }, 'failure', 5],
    ['a refusal', { flags: 0x185 }, 'failure', 0],
    ['an answer that is cut', { flags: 0x380, answers: [address('192.0.2.1', 300)] }, 'denial', 0],
    [
      'a complaint about EDNS',
      { answers: [address('192.0.2.1', 300)], additionals: [opt({ extendedRcode: 1 })] },
      'failure',
      5,
    ],
  ])('%s: %3$s for %4$d s', (_, more, kind, ttl) => {
    expect(read(more)).toMatchObject({ kind, ttl });
  });

  it.each<[string, Buffer]>([
    ['a question', packetOf({ type: 'query' })],
    ['an answer to another name', packetOf({ questions: [{ name: 'x.example.com', type: 'A' }] })],
    ['an answer to another type', packetOf({ questions: [{ name, type: 'AAAA' }] })],
    ['an answer without its question', packetOf({ questions: [] })],
    ['an answer that lacks its end', packetOf({ answers: [address('192.0.2.1', 300)] }).subarray(0, -1)],
  ])('%s is none', (_, packet) => {
    expect(() => readForeignAnswer(packet, asked)).toThrow(RangeError);
  });

  it('the case of the name does not matter', () => {
    const packet = packetOf({ questions: [{ name: 'WWW.example.COM', type: 'A' }] });
    expect(readForeignAnswer(packet, asked).kind).toBe('denial');
  });
});

describe('passOn', () => {
  it('counts the times down, gives the question back as it came, and ends EDNS', () => {
    const foreign = read({
      flags: 0x5a0, // somebody's authority, and checked
      answers: [address('192.0.2.1', 300), address('192.0.2.2', 20)],
      additionals: [{ name: 'x.example.com', type: 'A', ttl: 50, data: '192.0.2.3' }, opt()],
    });
    const packet = decode(passOn(queryOf({}, 'wWw.example.com'), foreign, 12, 'udp'));
    expect(packet).toMatchObject({
      id: 0xabc,
      type: 'response',
      flag_aa: false,
      flag_ad: true,
      flag_ra: true,
      flag_rd: true,
    });
    expect(packet.questions?.[0]?.name).toBe('wWw.example.com');
    expect(packet.answers?.map((record) => ('ttl' in record ? record.ttl : 0))).toEqual([288, 8]);
    expect(packet.additionals).toEqual([expect.objectContaining({ ttl: 38, data: '192.0.2.3' })]);
  });

  it('passes records of kinds that it does not know on as they are', () => {
    const data = Buffer.from([0, 1, 2, 255]);
    const unknown = { name, type: 'UNKNOWN_4711', ttl: 9, data } as unknown as PacketRecord; // what decode makes of it
    const packet = decode(passOn(queryOf(), read({ answers: [unknown] }), 1, 'udp'));
    expect(packet.answers).toEqual([expect.objectContaining({ type: 'UNKNOWN_4711', ttl: 8, data })]);
  });

  it('has EDNS of its own for those who have', () => {
    const query = queryOf({ additionals: [opt({ flags: 0x8000 })] });
    expect(decode(passOn(query, read({ answers: [address('192.0.2.1', 300)] }), 0, 'udp')).additionals).toEqual([
      expect.objectContaining({ type: 'OPT', udpPayloadSize: 1232, flag_do: true }),
    ]);
    expect(askedBy(query).isDnssecOk).toBe(true);
    expect(askedKey(askedBy(query))).not.toBe(askedKey(askedBy(queryOf())));
  });

  it.each([
    { transport: 'udp', count: 0, isCut: true },
    { transport: 'tcp', count: 40, isCut: false },
  ] as const)('40 addresses over $transport: $count', ({ transport, count, isCut }) => {
    const foreign = read({ answers: Array.from({ length: 40 }, (_, i) => address(`192.0.2.${i}`, 5)) });
    const packet = decode(passOn(queryOf(), foreign, 0, transport));
    expect([packet.answers?.length, packet.flag_tc]).toEqual([count, isCut]);
  });
});

describe('readAddresses', () => {
  it('gives addresses and the aliases before them, in lower case, and nothing else', () => {
    const foreign = read({
      answers: [
        { name, type: 'CNAME', ttl: 100, data: 'Other.example.com' },
        { name: 'Other.example.com', type: 'A', ttl: 100, data: '192.0.2.1' },
        { name: 'Other.example.com', type: 'TXT', ttl: 100, data: 'x' },
      ],
    });
    expect(readAddresses(foreign, 40)).toEqual({
      rcode: 'NOERROR',
      answers: [
        { name, type: 'CNAME', ttl: 60, data: 'other.example.com' },
        { name: 'other.example.com', type: 'A', ttl: 60, data: '192.0.2.1' },
      ],
      authorities: [],
    });
  });

  it('gives the SOA of a denial', () => {
    const { rcode, authorities } = readAddresses(read({ flags: 0x183, authorities: [soa(60, 7)] }), 0);
    expect([rcode, authorities[0]?.type]).toEqual(['NXDOMAIN', 'SOA']);
  });
});

describe('questions to others', () => {
  it('go out with EDNS and the wish for recursion', () => {
    const packet = decode(encodeQuestion({ ...asked, type: recordTypes.HINFO, isCheckingDisabled: true }, 77));
    expect(packet).toMatchObject({ id: 77, type: 'query', flag_rd: true, flag_cd: true, questions: [{ name }] });
    expect(packet.additionals).toEqual([
      expect.objectContaining({ type: 'OPT', udpPayloadSize: 1232, flag_do: false }),
    ]);
  });
});

describe('FrameReader', () => {
  it('puts packets together from pieces of any size', () => {
    const packets = ['', 'a', 'bc', 'x'.repeat(3000)].map((text) => Buffer.from(text));
    const stream = Buffer.concat(packets.map(frame));
    for (const size of [1, 2, 3, 7, 1000, stream.length]) {
      const reader = new FrameReader();
      const found: Buffer[] = [];
      for (let at = 0; at < stream.length; at += size) found.push(...reader.read(stream.subarray(at, at + size)));
      expect(found).toEqual(packets);
      expect(reader.isInside).toBe(false);
    }
  });
});
