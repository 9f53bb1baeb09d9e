import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type Server, type Socket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../base/clock.ts';
import { ConfigError, isDeadline, isUnavailable } from '../../base/errors.ts';
import { decodeBody, decodeMessage, encodeCall } from './dbus-messages.ts';
import { DbusReader, type DbusValue, DbusWriter, splitSignature } from './dbus-values.ts';
import { limitProperties, newSliceProperties, parentSlice, sliceName } from './slice-properties.ts';
import { Systemd } from './systemd.ts';

describe('D-Bus values', () => {
  it.each<{ signature: string; values: DbusValue[]; bytes: string }>([
    { signature: 'ybnqiux', values: [1, true, -2, 3, -4, 5, -6n], bytes: '' },
    { signature: 'td', values: [2n ** 64n - 1n, 0.5], bytes: 'ffffffffffffffff000000000000e03f' },
    { signature: 's', values: ['hé'], bytes: '0300000068c3a900' },
    { signature: 'yg', values: [7, 'a(sv)'], bytes: '0705612873762900' },
    { signature: 'yv', values: [1, { type: 'u', value: 9 }], bytes: '010175000900 0000'.replaceAll(' ', '') },
    { signature: 'at', values: [[]], bytes: '0000000000000000' },
    {
      signature: 'as',
      values: [['a', 'bc']],
      bytes: '0f000000' + '010000006100' + '0000' + '0200000062630 0'.replace(' ', ''),
    },
    { signature: 'a{sv}', values: [[['k', { type: 'b', value: false }]]], bytes: '' },
    { signature: 'ssa(sv)a(sa(sv))', values: ['n', 'm', [['p', { type: 't', value: 1n }]], []], bytes: '' },
  ])('go there and back: $signature', ({ signature, values, bytes }) => {
    const writer = new DbusWriter();
    writer.write(signature, values);
    if (bytes !== '') expect(writer.toBuffer().toString('hex')).toBe(bytes);
    expect(new DbusReader(writer.toBuffer()).read(signature)).toEqual(values);
  });

  it('splits a signature into complete types, and refuses what is none', () => {
    expect(splitSignature('sa(sa(sv))a{su}t')).toEqual(['s', 'a(sa(sv))', 'a{su}', 't']);
    for (const bad of ['a', '(s', 'z', '()', 's)']) expect(() => splitSignature(bad)).toThrow(RangeError);
  });

  it.each<{ signature: string; values: DbusValue[] }>([
    { signature: 's', values: [1] },
    { signature: 's', values: ['a\0b'] },
    { signature: 't', values: [1] },
    { signature: 'u', values: ['1'] },
    { signature: 'as', values: ['a'] },
    { signature: 'v', values: ['a'] },
    { signature: 'ss', values: ['a'] },
  ])('refuses $values as $signature', ({ signature, values }) => {
    expect(() => new DbusWriter().write(signature, values)).toThrow(TypeError);
  });

  it('refuses bytes that end too early', () => {
    const writer = new DbusWriter();
    writer.write('as', [['abc']]);
    expect(() => new DbusReader(writer.toBuffer().subarray(0, 9)).read('as')).toThrow(RangeError);
  });
});

describe('slice names', () => {
  it.each([
    ['/kubepods.slice', 'kubepods.slice', '-.slice'],
    ['/kubepods.slice/kubepods-burstable.slice', 'kubepods-burstable.slice', 'kubepods.slice'],
    ['/a.slice/a-b.slice/a-b-podx_1.slice', 'a-b-podx_1.slice', 'a-b.slice'],
  ])('%s is %s in %s', (path, name, parent) => {
    expect(sliceName(path)).toBe(name);
    expect(parentSlice(name)).toBe(parent);
  });

  it.each(['/', '/kubepods', '/a.slice/b.scope', '/.slice'])('refuses %s', (path) => {
    expect(() => sliceName(path)).toThrow(RangeError);
  });
});

const infinity = 2n ** 64n - 1n;

describe('slice properties', () => {
  const limits = {
    cpuShares: 512,
    cpuQuotaMicros: 50_000,
    cpuPeriodMicros: 100_000,
    memoryLimitBytes: 1024,
    pidsMax: 7,
  };
  const shown = (properties: readonly (readonly [string, { type: string; value: DbusValue }])[]): string[] =>
    properties.map(([name, { type, value }]) => `${name} ${type} ${String(value)}`);

  it.each([
    {
      name: 'all on v1',
      version: 1,
      limits,
      want: [
        'MemoryLimit t 1024',
        'CPUShares t 512',
        'CPUQuotaPeriodUSec t 100000',
        'CPUQuotaPerSecUSec t 500000',
        'TasksMax t 7',
      ],
    },
    {
      name: 'all on v2',
      version: 2,
      limits,
      want: [
        'MemoryMax t 1024',
        'CPUWeight t 20',
        'CPUQuotaPeriodUSec t 100000',
        'CPUQuotaPerSecUSec t 500000',
        'TasksMax t 7',
      ],
    },
    {
      name: 'no limits',
      version: 2,
      limits: { cpuQuotaMicros: -1, memoryLimitBytes: -1, pidsMax: -1 },
      want: [`MemoryMax t ${infinity}`, `CPUQuotaPerSecUSec t ${infinity}`, `TasksMax t ${infinity}`],
    },
    { name: 'nothing', version: 1, limits: {}, want: [] },
    {
      name: 'a quota between hundredths',
      version: 1,
      limits: { cpuQuotaMicros: 1234, cpuPeriodMicros: 100_000 },
      want: ['CPUQuotaPeriodUSec t 100000', 'CPUQuotaPerSecUSec t 20000'],
    },
    {
      name: 'a quota of another period',
      version: 1,
      limits: { cpuQuotaMicros: 5000, cpuPeriodMicros: 10_000 },
      want: ['CPUQuotaPeriodUSec t 10000', 'CPUQuotaPerSecUSec t 500000'],
    },
    {
      name: 'a quota of the usual period',
      version: 1,
      limits: { cpuQuotaMicros: 150_000 },
      want: ['CPUQuotaPerSecUSec t 1500000'],
    },
  ] as const)('say $name', ({ version, limits: some, want }) => {
    expect(shown(limitProperties(some, version))).toEqual(want);
  });

  it('begin with a parent and accounting', () => {
    expect(shown(newSliceProperties('a-b.slice', 1))).toEqual([
      'Description s libcontainer container a-b.slice',
      'Wants as a.slice',
      'MemoryAccounting b true',
      'CPUAccounting b true',
      'BlockIOAccounting b true',
      'TasksAccounting b true',
      'DefaultDependencies b false',
    ]);
    expect(shown(newSliceProperties('a.slice', 2)).join()).toContain('IOAccounting b true');
  });
});

/** What the other side sends: as a call, with the kind and the fields of something else. */
function message(kind: 2 | 3 | 4, fields: readonly DbusValue[], signature: string, body: readonly DbusValue[]): Buffer {
  const content = new DbusWriter();
  content.write(signature, body);
  const whole = new DbusWriter();
  const all = [...fields, [8, { type: 'g', value: signature }]];
  whole.write('yyyyuua(yv)', ['l'.charCodeAt(0), kind, 0, 1, content.length, 99, all]);
  whole.align(8);
  return Buffer.concat([whole.toBuffer(), content.toBuffer()]);
}
const reply = (to: number, signature: string, body: readonly DbusValue[]): Buffer =>
  message(2, [[5, { type: 'u', value: to }]], signature, body);
const failure = (to: number, name: string, text: string): Buffer =>
  message(
    3,
    [
      [5, { type: 'u', value: to }],
      [4, { type: 's', value: name }],
    ],
    's',
    [text],
  );
const jobRemoved = (job: string, result: string): Buffer =>
  message(4, [[3, { type: 's', value: 'JobRemoved' }]], 'uoss', [1, job, 'a.slice', result]);

describe('Systemd', () => {
  const clock = new FakeClock();
  const never = new AbortController().signal;
  let folder = '';
  let server: Server | undefined;
  const sockets = new Set<Socket>();
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'systemd-'));
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
    server = undefined;
    await rm(folder, { recursive: true });
  });

  /** A systemd that answers each call with these bytes, a byte at a time when `isSlow`. */
  async function open(answers: readonly Buffer[], isSlow = false): Promise<{ systemd: Systemd; calls: string[] }> {
    const calls: string[] = [];
    server = createServer((socket) => {
      sockets.add(socket);
      let bytes = Buffer.alloc(0);
      let isGreeted = false;
      socket.on('data', (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk]);
        if (!isGreeted) {
          const end = bytes.indexOf('BEGIN\r\n');
          if (end < 0) return;
          calls.push(bytes.toString('latin1', 1, end).trim());
          bytes = bytes.subarray(end + 7);
          isGreeted = true;
          if (bytes.length > 0) return; // as systemd does: what came with the greeting waits
          socket.write('OK 0123456789abcdef\r\n');
        }
        const read = decodeMessage(bytes);
        if (read === undefined) return;
        bytes = bytes.subarray(read.length);
        calls.push(`${read.message.member} ${decodeBody(read.message).slice(0, 2).join(' ')}`);
        const pieces = isSlow ? answers.flatMap((one) => [...one].map((byte) => Buffer.from([byte]))) : answers;
        for (const piece of pieces) socket.write(piece);
      });
    });
    const path = join(folder, 'private');
    await new Promise<void>((resolve) => server?.listen(path, resolve));
    return { systemd: new Systemd(2, clock, folder), calls };
  }

  it('starts a slice and waits for its own job, however the bytes come', async () => {
    for (const isSlow of [false, true]) {
      const { systemd, calls } = await open(
        [jobRemoved('/job/1', 'failed'), reply(1, 'o', ['/job/2']), jobRemoved('/job/2', 'done')],
        isSlow,
      );
      expect(await systemd.startSlice('/a.slice', { cpuShares: 2 }, never)).toBe(true);
      const uid = Buffer.from(String(process.getuid?.())).toString('hex');
      expect(calls).toEqual([`AUTH EXTERNAL ${uid}`, 'StartTransientUnit a.slice replace']);
      await new Promise((resolve) => server?.close(resolve));
    }
  });

  it('takes a job that ended before its start was answered', async () => {
    const { systemd } = await open([jobRemoved('/job/2', 'done'), reply(1, 'o', ['/job/2'])]);
    await systemd.stopSlice('/a.slice', never);
  });

  it('tells a slice that is there already, and takes one that is not for stopped', async () => {
    const there = await open([failure(1, 'org.freedesktop.systemd1.UnitExists', 'Unit a.slice already exists.')]);
    expect(await there.systemd.startSlice('/a.slice', {}, never)).toBe(false);
    await new Promise((resolve) => server?.close(resolve));
    const gone = await open([failure(1, 'org.freedesktop.systemd1.NoSuchUnit', 'Unit a.slice not loaded.')]);
    await gone.systemd.stopSlice('/a.slice', never);
    await gone.systemd.limitSlice('/a.slice', {}, never); // nothing for systemd in it
    await expect(gone.systemd.limitSlice('/a.slice', { pidsMax: 1 }, never)).rejects.toThrow('systemd limit a.slice');
  });

  it.each([
    {
      name: 'a job that fails',
      answers: [reply(1, 'o', ['/job/2']), jobRemoved('/job/2', 'timeout')],
      want: 'timeout',
    },
    {
      name: 'an answer that is no D-Bus',
      answers: [Buffer.from('HTTP/1.1 400 Bad Request\r\n')],
      want: 'little-endian',
    },
    {
      name: 'an endless message',
      answers: [Buffer.from(`l\x02\0\x01\xff\xff\xff\x7f${'\0'.repeat(8)}`, 'latin1')],
      want: 'too long',
    },
  ])('fails with $name', async ({ answers, want }) => {
    const { systemd } = await open(answers);
    await expect(systemd.startSlice('/a.slice', {}, never)).rejects.toMatchObject({
      message: 'Cannot have systemd start a.slice',
      cause: { message: expect.stringContaining(want) },
    });
  });

  it('gives up a systemd that does not answer, after a time or when told to', async () => {
    const { systemd, calls } = await open([]);
    const asked = systemd.stopSlice('/a.slice', never);
    const outcome = expect(asked).rejects.toSatisfy(isDeadline);
    while (calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(30_000);
    await outcome;
    const stop = new AbortController();
    const stopped = expect(systemd.stopSlice('/a.slice', stop.signal)).rejects.toThrow();
    stop.abort();
    await stopped;
  });

  it('tells a slice that was made or limited from one that systemd has started by itself', async () => {
    const systemd = new Systemd(2, clock, folder);
    expect(await systemd.isOwned('/a.slice')).toBe(false);
    await mkdir(join(folder, 'transient'));
    await writeFile(join(folder, 'transient', 'a.slice'), '');
    await mkdir(join(folder, 'system.control', 'a-b.slice.d'), { recursive: true });
    expect(await systemd.isOwned('/a.slice')).toBe(true);
    expect(await systemd.isOwned('/a.slice/a-b.slice')).toBe(true);
    expect(await systemd.isOwned('/a.slice/a-c.slice')).toBe(false);
  });

  it('says what is missing', async () => {
    const nobody = new Systemd(2, clock, folder);
    await mkdir(join(folder, 'system'));
    await expect(nobody.check(never)).rejects.toSatisfy(isUnavailable);
    const elsewhere = new Systemd(2, clock, join(folder, 'elsewhere'));
    await expect(elsewhere.check(never)).rejects.toThrow(ConfigError);
    await expect(elsewhere.check(never)).rejects.toThrow(/set cgroupDriver: cgroupfs/);
  });
});

describe('a call', () => {
  it('is laid out as the specification has it', () => {
    const bytes = encodeCall(5, {
      destination: 'd',
      path: '/p',
      interface: 'i',
      member: 'm',
      signature: 's',
      body: ['x'],
    });
    expect(bytes.subarray(0, 12).toString('hex')).toBe('6c0100010600000005000000');
    expect(decodeMessage(bytes.subarray(0, bytes.length - 1))).toBeUndefined();
    expect(decodeMessage(bytes)).toMatchObject({
      length: bytes.length,
      message: { kind: 'call', member: 'm', signature: 's' },
    });
    expect(
      encodeCall(1, { destination: 'd', path: '/p', interface: 'i', member: 'm', signature: '', body: [] }).length % 8,
    ).toBe(0);
  });
});
