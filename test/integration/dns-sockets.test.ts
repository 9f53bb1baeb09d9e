/** The name service's sockets: who says nothing, says too much or does not listen, and name servers that lie. */
import { createSocket } from 'node:dgram';
import { type Socket, connect } from 'node:net';
import { decode, encode } from 'dns-packet';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock, systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { Upstream } from '../../src/cluster-dns/forward/upstream.ts';
import { serveTcp } from '../../src/cluster-dns/serve/tcp-server.ts';
import { type Resolve, serveUdp } from '../../src/cluster-dns/serve/udp-server.ts';
import { frame } from '../../src/cluster-dns/wire/frames.ts';
import { askFor, readAddresses } from '../../src/cluster-dns/wire/pass-on.ts';
import { awaitUntil } from '../await-until.ts';
import { FakeNameServer, anAddress } from '../fakes/fake-name-server.ts';

const ends: Array<() => Promise<void> | void> = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

const query = frame(encode({ type: 'query', id: 1, questions: [{ name: 'a.b', type: 'A' }] }));

async function tcpServer(
  resolve: Resolve,
  options: { connectionsMax?: number; idleMs?: number; clock?: FakeClock } = {},
): Promise<number> {
  const stop = new AbortController();
  let port = 0;
  const { clock = systemClock, ...limits } = options;
  const done = serveTcp(
    { host: '127.0.0.1', port: 0, resolve, clock, log: silentLogger, onListening: (at) => (port = at), ...limits },
    stop.signal,
  );
  ends.push(async () => {
    stop.abort();
    await done;
  });
  await awaitUntil('the port', () => port !== 0);
  return port;
}

interface Client {
  socket: Socket;
  bytes: () => number;
  isClosed: () => boolean;
}

function client(port: number): Client {
  const socket = connect(port, '127.0.0.1');
  let bytes = 0;
  let isClosed = false;
  socket.on('data', (chunk) => (bytes += chunk.length));
  socket.on('close', () => (isClosed = true));
  socket.on('error', () => {});
  ends.push(() => void socket.destroy());
  return { socket, bytes: () => bytes, isClosed: () => isClosed };
}

describe('over TCP', () => {
  it('who says nothing, or only the half of something, is hung up on; who is waited for is not', async () => {
    const clock = new FakeClock();
    let release: (answer: Buffer) => void = () => {};
    const late = new Promise<Buffer>((resolve) => (release = resolve));
    const port = await tcpServer(() => late, { clock, idleMs: 10_000 });
    const silent = client(port);
    await awaitUntil('one connection', () => clock.sleeping === 1);
    const half = client(port);
    half.socket.write(query.subarray(0, 5));
    const waiting = client(port);
    await awaitUntil('three connections', () => clock.sleeping === 3);
    await clock.advance(9000);
    half.socket.write(query.subarray(5, 6)); // a byte now and then is no life
    waiting.socket.write(query);
    await awaitUntil('the query', () => waiting.socket.bytesWritten > 0);
    await awaitUntil('the server has read', async () => {
      await clock.advance(500);
      return silent.isClosed() && half.isClosed();
    });
    await clock.advance(30_000);
    expect(waiting.isClosed()).toBe(false);
    release(Buffer.from('answer'));
    await awaitUntil('the answer', () => waiting.bytes() === 8);
    await clock.advance(10_000);
    await awaitUntil('the end', () => waiting.isClosed());
  });

  it('there are only so many connections', async () => {
    const port = await tcpServer(() => Buffer.from('x'), { connectionsMax: 2 });
    const all = [client(port), client(port), client(port)];
    await awaitUntil('one too many is closed', () => all.some(({ isClosed }) => isClosed()));
    for (const { socket, isClosed } of all) if (!isClosed()) socket.write(query);
    await awaitUntil('the others are answered', () => all.filter(({ bytes }) => bytes() === 3).length === 2);
  });

  it('who asks and does not read is not read, and costs no more than that', async () => {
    let answered = 0;
    const port = await tcpServer(() => {
      answered++;
      return Buffer.alloc(60_000);
    });
    const greedy = client(port);
    greedy.socket.pause();
    const many = Buffer.concat(Array.from({ length: 1000 }, () => query));
    greedy.socket.write(many);
    await awaitUntil('some', () => answered > 0);
    for (let i = 0; i < 2; i++) greedy.socket.write(many);
    await awaitUntil('another is answered', async () => {
      const other = client(port);
      other.socket.write(query);
      await awaitUntil('bytes', () => other.bytes() === 60_002);
      return true;
    });
    expect(answered).toBeLessThan(400); // what the kernel takes for both sides, and 256 KiB
    greedy.socket.resume();
    await awaitUntil('everything, now that it reads', () => greedy.bytes() === 3000 * 60_002);
  });

  it('questions of a connection that wait for others are bounded', async () => {
    let asked = 0;
    const releases: Array<(answer: Buffer) => void> = [];
    const port = await tcpServer(() => {
      asked++;
      return new Promise<Buffer>((resolve) => releases.push(resolve));
    });
    const one = client(port);
    for (let i = 0; i < 30_000; i++) one.socket.write(query);
    await awaitUntil('some', () => asked >= 100);
    expect(asked).toBe(100);
    for (const release of releases.splice(0)) release(Buffer.from('x'));
    await awaitUntil('the next ones', () => releases.length > 0);
    for (const release of releases.splice(0)) release(Buffer.from('x'));
  });
});

describe('over UDP', () => {
  it('a failure of our own is one question without an answer', async () => {
    const stop = new AbortController();
    let port = 0;
    let isBroken = true;
    const resolve: Resolve = () => {
      if (isBroken) throw new Error('broken');
      return Buffer.from('fine');
    };
    const done = serveUdp(
      { host: '127.0.0.1', port: 0, resolve, log: silentLogger, onListening: (at) => (port = at) },
      stop.signal,
    );
    ends.push(async () => {
      stop.abort();
      await done;
    });
    await awaitUntil('the port', () => port !== 0);
    const socket = createSocket('udp4');
    ends.push(() => void socket.close());
    let answers = 0;
    socket.on('message', () => answers++);
    await new Promise((sent) => socket.send('x', port, '127.0.0.1', sent));
    isBroken = false;
    await awaitUntil('an answer', async () => {
      await new Promise((sent) => socket.send('y', port, '127.0.0.1', sent));
      return answers > 0;
    });
  });
});

describe('Upstream', () => {
  const asked = askFor('www.example.com', 1);
  const never = new AbortController().signal;
  const upstreamOf = (port: number, timeoutMs = 10_000): Upstream => {
    const upstream = new Upstream({ host: '127.0.0.1', port }, systemClock, timeoutMs);
    ends.push(() => upstream.close());
    return upstream;
  };

  it('does not take an answer to another question, nor of another number, nor nonsense', async () => {
    const liar = createSocket('udp4');
    ends.push(() => void liar.close());
    liar.on('message', (packet, { port, address }) => {
      const { id = 0, questions = [] } = decode(packet);
      const answer = (data: string, more: object): Buffer =>
        encode({
          type: 'response',
          id,
          questions,
          answers: [{ name: 'www.example.com', type: 'A', ttl: 9, data }],
          ...more,
        });
      const wrong = [
        answer('192.0.2.66', { questions: [{ name: 'www.example.org', type: 'A' }] }),
        answer('192.0.2.67', { id: id ^ 1 }),
        answer('192.0.2.68', {}).subarray(0, 20),
        Buffer.from([id >> 8, id & 255]),
      ];
      for (const each of [...wrong, answer('192.0.2.1', {})]) liar.send(each, port, address);
    });
    await new Promise<void>((resolve) => liar.bind(0, '127.0.0.1', resolve));
    const answer = await upstreamOf(liar.address().port).ask(asked, never);
    expect(readAddresses(answer, 0).answers.map(({ data }) => data)).toEqual(['192.0.2.1']);
  });

  it('asks a server that does not know EDNS once more, without', async () => {
    const old = await new FakeNameServer((query) =>
      (query.additionals ?? []).length > 0 ? { flags: 0x181 } : anAddress(query, 'udp'),
    ).start();
    ends.push(() => old.stop());
    expect((await upstreamOf(old.port).ask(asked, never)).kind).toBe('success');
    expect(old.asked).toHaveLength(2);
  });

  it('answers thousands of questions over sockets that change, and leaves none open', async () => {
    const server = await new FakeNameServer(anAddress).start();
    ends.push(() => server.stop());
    const upstream = upstreamOf(server.port);
    for (let round = 0; round < 20; round++) {
      const names = Array.from({ length: 100 }, (_, i) => `n${round}-${i}.example.com`);
      const answers = await Promise.all(names.map((name) => upstream.ask(askFor(name, 1), never)));
      expect(answers.every(({ kind }) => kind === 'success')).toBe(true);
    }
    expect(upstream.openSockets).toBe(1);
    upstream.close();
    expect(upstream.openSockets).toBe(0);
  });

  it('knows at once that nobody is there, and in time that nobody answers', async () => {
    const gone = await new FakeNameServer(anAddress).start();
    await gone.stop();
    await expect(upstreamOf(gone.port).ask(asked, never)).rejects.toThrow(`Cannot ask 127.0.0.1:${gone.port}`);
    const silent = await new FakeNameServer(() => undefined).start();
    ends.push(() => silent.stop());
    await expect(upstreamOf(silent.port, 50).ask(asked, never)).rejects.toThrow('took longer than 0.05s');
  });
});
