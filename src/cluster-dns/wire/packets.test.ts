import { type DecodedPacket, type Packet, decode, encode } from 'dns-packet';
import { describe, expect, it } from 'vitest';
import type { Answer, DnsRecord } from '../dns-model.ts';
import { encodeAnswer, encodeRefusal } from './encode-answer.ts';
import { type Query, readQuery } from './read-query.ts';

type Opt = { udpPayloadSize?: number; ednsVersion?: number; flags?: number };

function packetOf(more: Packet = {}, opt?: Opt): Buffer {
  const edns = { name: '.', type: 'OPT', udpPayloadSize: 4096, ednsVersion: 0, flags: 0, options: [], ...opt };
  return encode({
    type: 'query',
    id: 0x1234,
    flags: 0x100,
    questions: [{ name: 'web.shop.svc.cluster.local', type: 'A', class: 'IN' }],
    ...(opt === undefined ? {} : { additionals: [edns as never] }), // its types want fields that are ignored
    ...more,
  });
}

function queryOf(packet: Buffer): Query {
  const read = readQuery(packet);
  if (read.kind !== 'query') throw new Error(`not read: ${JSON.stringify(read)}`);
  return read.query;
}

/** With one byte or word of the header changed. */
function patched(packet: Buffer, at: number, value: number): Buffer {
  packet.writeUInt16BE(value, at);
  return packet;
}

const bytes = (...values: number[]): Buffer => Buffer.from(values);
/** A header with one question, followed by what is given. */
const questioned = (...rest: Buffer[]): Buffer =>
  Buffer.concat([bytes(0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0), ...rest]);
const question = bytes(1, 0x61, 0, 0, 1, 0, 1); // a. A IN
const label63 = Buffer.concat([bytes(63), Buffer.alloc(63, 'x')]);

const answerOf = (answers: DnsRecord[], more: Partial<Answer> = {}): Answer => ({
  rcode: 'NOERROR',
  isAuthoritative: true,
  answers,
  authorities: [],
  additionals: [],
  ...more,
});

describe('readQuery', () => {
  it.each<[string, Buffer, string]>([
    ['a question', packetOf(), 'query'],
    ['a question of the root', questioned(bytes(0, 0, 2, 0, 1)), 'query'],
    [
      'a name of 255 bytes',
      questioned(label63, label63, label63, bytes(61), Buffer.alloc(61, 'y'), bytes(0, 0, 1, 0, 1)),
      'query',
    ],
    ['nothing', Buffer.alloc(0), 'dropped'],
    ['half a header', Buffer.alloc(11), 'dropped'],
    ['an answer', packetOf({ type: 'response' }), 'dropped'],
    ['a status request', patched(packetOf(), 2, 0x1000), 'NOTIMP'],
    ['a notification', patched(packetOf(), 2, 0x2000), 'NOTIMP'],
    ['an update', patched(packetOf(), 2, 0x2800), 'NOTIMP'],
    ['no question', patched(packetOf(), 4, 0), 'FORMERR'],
    ['two questions', patched(packetOf(), 4, 2), 'FORMERR'],
    ['a question with an answer', patched(packetOf(), 6, 1), 'FORMERR'],
    ['65,535 additional records that are not there', patched(packetOf(), 10, 65_535), 'FORMERR'],
    ['one additional record that is not there', patched(packetOf(), 10, 1), 'FORMERR'],
    ['a name that is cut off', questioned(bytes(5, 0x61)), 'FORMERR'],
    ['a name without an end', questioned(bytes(1, 0x61)), 'FORMERR'],
    ['a question without a type', questioned(bytes(1, 0x61, 0, 0)), 'FORMERR'],
    ['a name that points to itself', questioned(bytes(0xc0, 12, 0, 1, 0, 1)), 'FORMERR'],
    ['a label of an unknown kind', questioned(bytes(0x41, 0x61, 0, 0, 1, 0, 1)), 'FORMERR'],
    [
      'a name of 256 bytes',
      questioned(label63, label63, label63, bytes(62), Buffer.alloc(62, 'y'), bytes(0, 0, 1, 0, 1)),
      'FORMERR',
    ],
    ['a transfer of the zone', packetOf({ questions: [{ name: 'cluster.local', type: 'AXFR' }] }), 'REFUSED'],
    ['an incremental transfer', packetOf({ questions: [{ name: 'cluster.local', type: 'IXFR' }] }), 'REFUSED'],
    ['a question for mail boxes', questioned(bytes(1, 0x61, 0, 0, 253, 0, 1)), 'NOTIMP'],
    ['a question for a transaction key', questioned(bytes(1, 0x61, 0, 0, 249, 0, 1)), 'NOTIMP'],
    ['a question for EDNS', questioned(bytes(1, 0x61, 0, 0, 41, 0, 1)), 'FORMERR'],
    ['everything', questioned(bytes(1, 0x61, 0, 0, 255, 0, 1)), 'query'],
    ['the chaos class', questioned(bytes(1, 0x61, 0, 0, 16, 0, 3)), 'REFUSED'],
    ['any class', questioned(bytes(1, 0x61, 0, 0, 1, 0, 255)), 'REFUSED'],
    ['EDNS', packetOf({}, {}), 'query'],
    ['EDNS of version 1', packetOf({}, { ednsVersion: 1 }), 'BADVERS'],
    [
      'EDNS twice',
      patched(Buffer.concat([packetOf({}, {}), bytes(0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0)]), 10, 2),
      'FORMERR',
    ],
    [
      'EDNS with a name',
      patched(questioned(question, bytes(1, 0x61, 0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0)), 10, 1),
      'FORMERR',
    ],
    [
      'EDNS whose options are cut off',
      patched(questioned(question, bytes(0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 9)), 10, 1),
      'FORMERR',
    ],
    ['more bytes than were announced', Buffer.concat([packetOf(), Buffer.alloc(500)]), 'query'],
  ])('%s: %3$s', (_, packet, want) => {
    const read = readQuery(packet);
    expect(read.kind === 'refused' ? read.rcode : read.kind).toBe(want);
  });

  it('compares names in lower case, and keeps what is no letter of ASCII as it is', () => {
    const read = queryOf(packetOf({ questions: [{ name: 'wEb.ShOP.Ä', type: 'A' }] }));
    expect(read.question.name).toBe('web.shop.\u00c3\u0084');
  });

  it('does not take two names for one, whose labels hold dots and backslashes', () => {
    const ask = (...labels: string[]): Query => {
      const parts = labels.map((label) => Buffer.concat([bytes(label.length), Buffer.from(label)]));
      return queryOf(questioned(...parts, bytes(0, 0, 255, 0, 1)));
    };
    const queries = [ask('a\\', 'b'), ask('a.b'), ask('a\\.b'), ask('a', 'b')];
    expect(new Set(queries.map(({ question: { name } }) => name)).size).toBe(queries.length);
    for (const query of [...queries, ask('\\'.repeat(63))]) {
      const { name } = query.question;
      const hinfo: DnsRecord = { name, ttl: 1, type: 'HINFO', data: { cpu: 'c', os: '' } };
      // the record's name is the question's, wherever its labels end
      const packet = encodeAnswer(query, answerOf([hinfo]), 'udp');
      expect(packet.readUInt16BE(query.question.end)).toBe(0xc00c);
    }
  });

  it('does not take a dot inside of a label for a border', () => {
    const name = queryOf(questioned(bytes(3, 0x61, 0x2e, 0x62, 0, 0, 1, 0, 1))).question.name;
    expect(name).toBe('a\\.b');
  });

  it('reads anything without a failure of its own', () => {
    const good = packetOf({}, {});
    for (let seed = 1; seed < 3000; seed++) {
      const packet = Buffer.from(good.subarray(0, 1 + (seed % good.length)));
      packet[(seed * 7919) % packet.length] = (seed * 31) & 255;
      packet[(seed * 104_729) % packet.length] = (seed * 17) & 255;
      const read = readQuery(packet);
      if (read.kind === 'refused')
        expect(() => encodeRefusal(read.query ?? emptyQuery, read.rcode, false)).not.toThrow();
    }
  });
});

const emptyQuery: Query = { ...queryOf(packetOf()), edns: undefined };

describe('encodeAnswer', () => {
  const address = (name: string, data: string): DnsRecord => ({ name, ttl: 30, type: 'A', data });
  const told = (
    packet: Buffer,
    answer: Answer,
    transport: 'udp' | 'tcp' = 'udp',
  ): DecodedPacket & { bytes: number } => {
    const encoded = encodeAnswer(queryOf(packet), answer, transport);
    return { ...decode(encoded), bytes: encoded.length };
  };

  it('holds every kind of record', () => {
    const name = 'web.shop.svc.cluster.local';
    const data = { mname: 'ns.dns.c', rname: 'h.c', serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 5 };
    const records: DnsRecord[] = [
      address(name, '10.0.0.1'),
      { name, ttl: 5, type: 'AAAA', data: 'fd00::1' },
      { name, ttl: 5, type: 'CNAME', data: 'a.example.com' },
      { name, ttl: 5, type: 'PTR', data: 'b.c' },
      { name, ttl: 5, type: 'NS', data: 'ns.c' },
      { name, ttl: 5, type: 'SRV', data: { priority: 0, weight: 50, port: 80, target: 'd.e' } },
      { name, ttl: 28_800, type: 'TXT', data: ['1.1.0'] },
      { name, ttl: 5, type: 'HINFO', data: { cpu: 'RFC8482', os: '' } },
      { name: 'cluster.local', ttl: 5, type: 'SOA', data },
      { name: '', ttl: 5, type: 'NS', data: 'root.c' },
    ];
    const { answers = [] } = told(packetOf(), answerOf(records), 'tcp');
    const read = answers.map((record) => ({ ...record, class: undefined, flush: undefined }));
    expect(read).toEqual(
      records.map((record) => ({
        ...record,
        name: record.name === '' ? '.' : record.name,
        ...(record.type === 'TXT' ? { data: [Buffer.from('1.1.0')] } : {}),
      })),
    );
  });

  it('sends the question and the name back as they were asked', () => {
    const mixed = 'wEb.sHop.svc.CLUSTER.local';
    const { questions, answers } = told(
      packetOf({ questions: [{ name: mixed, type: 'A' }] }),
      answerOf([address('web.shop.svc.cluster.local', '10.0.0.1')]),
    );
    expect(questions?.[0]?.name).toBe(mixed);
    expect(answers?.[0]?.name).toBe(mixed);
  });

  it('takes id, operation and wish for recursion from the query, and says what it is', () => {
    const packet = told(packetOf({ flags: 0x0110 }), answerOf([], { rcode: 'NXDOMAIN' }));
    expect(packet).toMatchObject({ id: 0x1234, type: 'response', rcode: 'NXDOMAIN', flag_aa: true, flag_rd: true });
    expect(packet).toMatchObject({ flag_ra: true, flag_cd: true, flag_tc: false, flag_ad: false, additionals: [] });
  });

  it.each([
    { name: 'no EDNS', opt: undefined, transport: 'udp', max: 512 },
    {
      name: 'EDNS that asks for less than there is always room for',
      opt: { udpPayloadSize: 100 },
      transport: 'udp',
      max: 512,
    },
    { name: 'EDNS of 1000 bytes', opt: { udpPayloadSize: 1000 }, transport: 'udp', max: 1000 },
    { name: 'EDNS of more than gets through', opt: { udpPayloadSize: 4096 }, transport: 'udp', max: 1232 },
    { name: 'TCP', opt: {}, transport: 'tcp', max: 65_535 },
  ] as const)('$name: up to $max bytes, and what is missing is told', ({ opt, transport, max }) => {
    const name = 'web.shop.svc.cluster.local';
    const many = Array.from({ length: 6000 }, (_, i) => address(name, `10.1.${i >> 8}.${i & 255}`));
    const packet = told(packetOf({}, opt), answerOf(many), transport);
    expect(packet.bytes).toBeLessThanOrEqual(max);
    expect(packet.bytes).toBeGreaterThan(max - 16); // not one more would have fitted
    expect(packet.flag_tc).toBe(true);
    expect(packet.additionals).toHaveLength(opt === undefined ? 0 : 1);
  });

  it('leaves additional records out without a word', () => {
    const name = 'web.shop.svc.cluster.local';
    const more = Array.from({ length: 100 }, (_, i) => address(`pod-${i}.web.shop.svc.cluster.local`, '10.0.0.1'));
    const packet = told(packetOf(), answerOf([address(name, '10.0.0.1')], { additionals: more }));
    expect(packet.flag_tc).toBe(false);
    expect(packet.answers).toHaveLength(1);
    expect(packet.additionals?.length).toBeGreaterThan(10);
    expect(packet.additionals?.length).toBeLessThan(100);
  });

  it('answers EDNS with its own size, and gives the wish for DNSSEC back', () => {
    const { additionals = [] } = told(packetOf({}, { flags: 0x8000 }), answerOf([]));
    expect(additionals).toEqual([
      expect.objectContaining({ type: 'OPT', udpPayloadSize: 1232, ednsVersion: 0, flag_do: true, extendedRcode: 0 }),
    ]);
  });

  it('a version of EDNS that nobody knows is told with the one that is known', () => {
    const read = readQuery(packetOf({}, { ednsVersion: 7 }));
    if (read.kind !== 'refused' || read.query === undefined) throw new Error('not refused');
    const packet = decode(encodeRefusal(read.query, read.rcode));
    expect(packet).toMatchObject({ rcode: 'NOERROR', questions: [{ name: 'web.shop.svc.cluster.local' }] });
    expect(packet.additionals).toEqual([expect.objectContaining({ ednsVersion: 0, extendedRcode: 1 })]);
  });
});
