/** The name service over real sockets, against our API server, with other name servers that do as they are told. */
import { createSocket } from 'node:dgram';
import { type Socket, connect } from 'node:net';
import { type DecodedPacket, type Packet, decode, encode } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { endpointSlices, services } from '../../src/client/resource-types.ts';
import { ClusterDns, type Door } from '../../src/cluster-dns/cluster-dns.ts';
import { type DnsFlags, defaultFlags, parseDnsConfig } from '../../src/cluster-dns/parse-dns-config.ts';
import { FrameReader, frame } from '../../src/cluster-dns/wire/frames.ts';
import { awaitUntil } from '../await-until.ts';
import { FakeNameServer, anAddress } from '../fakes/fake-name-server.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

let plane: ControlPlane;
let upstream: FakeNameServer;
let dns: RunningDns;

interface RunningDns {
  ports: Record<Door, number>;
  stop: () => Promise<void>;
  askToStop: () => void;
}

const local = '127.0.0.1:0';

async function startDns(
  flags: Partial<DnsFlags> = {},
  client: ConstructorParameters<typeof ClusterDns>[1]['client'] = plane.client,
): Promise<RunningDns> {
  const ports: Partial<Record<Door, number>> = {};
  const stop = new AbortController();
  const config = parseDnsConfig(
    {
      ...defaultFlags,
      listen: local,
      healthAddress: local,
      readyAddress: local,
      metricsAddress: local,
      upstream: [`127.0.0.1:${upstream.port}`],
      lameduck: '0s',
      ...flags,
    },
    '',
  );
  // UDP and TCP get ports of their own here: port 0 is chosen twice
  const server = new ClusterDns(config, {
    client,
    ownAddresses: ['192.0.2.53'],
    anyHost: '127.0.0.1',
    random: () => 0,
    clock: systemClock,
    log: silentLogger,
    onListening: (door, port) => (ports[door] = port),
  });
  const done = server.run(stop.signal);
  await awaitUntil('all doors', () => Object.keys(ports).length === 5);
  return {
    ports: ports as Record<Door, number>, // all five, as just seen
    askToStop: () => stop.abort(),
    stop: async () => {
      stop.abort();
      await done;
    },
  };
}

function question(name: string, type = 'A', more: Packet = {}): Buffer {
  return encode({ type: 'query', id: 7, flags: 0x100, questions: [{ name, type: type as 'A' }], ...more });
}

function overUdp(port: number, packet: Buffer): Promise<DecodedPacket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.on('error', reject);
    socket.on('message', (answer) => {
      socket.close();
      resolve(decode(answer));
    });
    socket.send(packet, port, '127.0.0.1');
  });
}

/** Everything that comes back, until so many packets are there or the connection ends. */
function overTcp(port: number, count: number, say: (socket: Socket) => void): Promise<DecodedPacket[]> {
  return new Promise((resolve, reject) => {
    const reader = new FrameReader();
    const packets: DecodedPacket[] = [];
    const socket = connect(port, '127.0.0.1', () => say(socket));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      packets.push(...reader.read(chunk).map((packet) => decode(packet)));
      if (packets.length >= count) socket.destroy();
    });
    socket.on('close', () => resolve(packets));
  });
}

const udp = (name: string, type = 'A', more: Packet = {}): Promise<DecodedPacket> =>
  overUdp(dns.ports.udp, question(name, type, more));
/** The type does not know the field. */
const codeOf = (packet: DecodedPacket): string => ('rcode' in packet ? String(packet.rcode) : '');
const told = (packet: DecodedPacket): string => {
  const { answers = [] } = packet;
  if (answers.length === 0) return codeOf(packet);
  return answers.map((answer) => ('data' in answer ? String(answer.data) : '')).join(' ');
};
const get = async (door: 'health' | 'ready' | 'metrics', path: string): Promise<string> => {
  const response = await fetch(`http://127.0.0.1:${dns.ports[door]}${path}`);
  return `${response.status} ${await response.text()}`;
};

const namespace = 'default';
const big = Array.from({ length: 90 }, (_, i) => `10.1.2.${i + 1}`);

beforeAll(async () => {
  upstream = await new FakeNameServer(anAddress).start();
  plane = await startControlPlane();
  const { client, signal } = plane;
  const headless = { clusterIP: 'None', clusterIPs: ['None'], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] };
  await client.create(services, { metadata: { namespace, name: 'many' }, spec: headless }, signal);
  await client.create(
    endpointSlices,
    {
      metadata: { namespace, name: 'many-1', labels: { 'kubernetes.io/service-name': 'many' } },
      addressType: 'IPv4',
      endpoints: big.map((address) => ({ addresses: [address], conditions: { ready: true } })),
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    },
    signal,
  );
  await client.create(
    services,
    { metadata: { namespace, name: 'alias' }, spec: { type: 'ExternalName', externalName: 'www.example.com' } },
    signal,
  );
  dns = await startDns();
  await awaitUntil('ready', async () => (await get('ready', '/ready')) === '200 OK');
});

afterAll(async () => {
  await dns?.stop();
  await plane?.stop();
  await upstream?.stop();
});

describe('cluster-dns', () => {
  it('answers over UDP with the case of the question, and over TCP', async () => {
    const answer = await udp('KuberNetes.default.SVC.cluster.local');
    expect(answer).toMatchObject({ id: 7, rcode: 'NOERROR', flag_aa: true, flag_ra: true });
    expect(answer.answers).toEqual([
      expect.objectContaining({ name: 'KuberNetes.default.SVC.cluster.local', data: '10.96.0.1', ttl: 30 }),
    ]);
    const [same] = await overTcp(dns.ports.tcp, 1, (socket) =>
      socket.write(frame(question('kubernetes.default.svc.cluster.local'))),
    );
    expect(same && told(same)).toBe('10.96.0.1');
  });

  it('what does not fit over UDP is cut and told, and whole over TCP', async () => {
    const name = 'many.default.svc.cluster.local';
    const cut = await udp(name);
    expect(cut.flag_tc).toBe(true);
    expect(cut.answers?.length).toBeLessThan(90);
    const [whole] = await overTcp(dns.ports.tcp, 1, (socket) => socket.write(frame(question(name))));
    expect(whole && told(whole).split(' ').toSorted()).toEqual(big.toSorted());
  });

  it('begins with another address each time', async () => {
    const name = 'many.default.svc.cluster.local';
    const first = async (): Promise<string> => told(await udp(name)).split(' ')[0] ?? '';
    expect(new Set([await first(), await first(), await first()]).size).toBe(3);
  });

  it('a Service that comes, changes and goes is seen', async () => {
    const { client, signal } = plane;
    const name = 'passing.default.svc.cluster.local';
    const spec = { type: 'ExternalName', externalName: 'a.example.com' };
    await client.create(services, { metadata: { namespace, name: 'passing' }, spec }, signal);
    await awaitUntil('the first target', async () => told(await udp(name, 'CNAME')) === 'a.example.com');
    const patch = { spec: { externalName: 'b.example.com' } };
    await client.patch(services, { namespace, name: 'passing' }, 'merge', patch, signal);
    await awaitUntil('the second target', async () => told(await udp(name, 'CNAME')) === 'b.example.com');
    await client.delete(services, { namespace, name: 'passing' }, {}, signal);
    await awaitUntil('nothing', async () => told(await udp(name, 'CNAME')) === 'NXDOMAIN');
  });

  it('an alias is followed to its address elsewhere', async () => {
    const answer = await udp('alias.default.svc.cluster.local');
    expect(told(answer)).toBe('www.example.com 192.0.2.1');
    expect(answer.flag_aa).toBe(true);
    expect(told(await udp('alias.default.svc.cluster.local', 'TXT'))).toBe('www.example.com');
  });

  it('other names are asked for once and kept, their time running down', async () => {
    const before = upstream.asked.length;
    const answers = await Promise.all(['Kept.example.COM', 'kept.example.com'].map((name) => udp(name)));
    expect(answers.map(told)).toEqual(['192.0.2.1', '192.0.2.1']);
    expect(answers.map(({ questions }) => questions?.[0]?.name)).toEqual(['Kept.example.COM', 'kept.example.com']);
    expect(answers[0]?.flag_aa).toBe(false);
    expect(told(await udp('kept.example.com', 'A', { id: 99 }))).toBe('192.0.2.1');
    expect(told(await udp('missing'))).toBe('NXDOMAIN');
    const denied = await udp('missing');
    expect([told(denied), denied.authorities?.[0]?.type]).toEqual(['NXDOMAIN', 'SOA']);
    expect(upstream.asked.slice(before)).toHaveLength(2);
  });

  it('an answer that is cut over UDP is asked for over TCP', async () => {
    upstream.behave = (query, transport) => {
      const [{ name } = { name: '' }] = query.questions ?? [];
      if (transport === 'udp') return { flags: 0x380 };
      const answers = Array.from({ length: 60 }, (_, i) => ({
        name,
        type: 'A' as const,
        ttl: 9,
        data: `192.0.2.${i}`,
      }));
      return { flags: 0x180, answers };
    };
    const cut = await udp('long.example.com');
    expect([cut.flag_tc, cut.answers?.length]).toEqual([true, 0]);
    const [whole] = await overTcp(dns.ports.tcp, 1, (socket) => socket.write(frame(question('long.example.com'))));
    expect(whole?.answers).toHaveLength(60);
    upstream.behave = anAddress;
  });

  it('a pipeline of questions on one connection is answered, in pieces of any size, and after it was half closed', async () => {
    const names = ['kubernetes.default.svc.cluster.local', 'slow.example.com', 'nothing.default.svc.cluster.local'];
    const bytes = Buffer.concat(names.map((name, i) => frame(question(name, 'A', { id: i }))));
    const answers = await overTcp(dns.ports.tcp, 9, (socket) => {
      for (const [i, byte] of bytes.entries()) {
        if (i === bytes.length - 1) socket.end(Buffer.of(byte));
        else socket.write(Buffer.of(byte));
      }
    });
    expect(answers.toSorted((a, b) => (a.id ?? 0) - (b.id ?? 0)).map(told)).toEqual([
      '10.96.0.1',
      '192.0.2.1',
      'NXDOMAIN',
    ]);
  });

  it.each([
    ['an update', Buffer.concat([Buffer.from([0, 7, 0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0])]), 'NOTIMP'],
    ['a question that is cut off', Buffer.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9, 97]), 'FORMERR'],
    ['a transfer of the zone', question('cluster.local', 'AXFR'), 'REFUSED'],
  ])('%s is answered with a code', async (_, packet, want) => {
    expect(told(await overUdp(dns.ports.udp, packet))).toBe(want);
  });

  it('nonsense is survived', async () => {
    const socket = createSocket('udp4');
    for (let i = 0; i < 500; i++) {
      const packet = Buffer.from(question('kubernetes.default.svc.cluster.local')).subarray(0, i % 60);
      if (packet.length > 0) packet[(i * 7) % packet.length] = i & 255;
      await new Promise((resolve) => socket.send(packet, dns.ports.udp, '127.0.0.1', resolve));
    }
    socket.close();
    // an answer where a query belongs ends the connection
    const answer = question('a.b', 'A', { type: 'response' });
    expect(await overTcp(dns.ports.tcp, 1, (tcp) => tcp.write(frame(answer)))).toEqual([]);
    expect(told(await udp('kubernetes.default.svc.cluster.local'))).toBe('10.96.0.1');
  });

  it('has the doors that probes and dashboards of clusters expect', async () => {
    expect(await get('health', '/health')).toBe('200 OK');
    expect(await get('health', '/other')).toMatch(/^404/);
    const metrics = await get('metrics', '/metrics');
    expect(metrics).toMatch(
      /coredns_dns_requests_total\{server="dns:\/\/127.0.0.1:0",zone="cluster.local.",view="",proto="udp",family="1",type="A"\} \d/,
    );
    expect(metrics).toMatch(
      /coredns_dns_responses_total\{.*zone="cluster.local.".*rcode="NXDOMAIN",plugin="kubernetes"\}/,
    );
    expect(metrics).toMatch(/coredns_dns_request_duration_seconds_bucket\{.*le="0.00025".*zone="\."/);
    expect(metrics).toMatch(/coredns_cache_hits_total\{.*type="denial".*\} \d/);
    expect(metrics).toMatch(/coredns_cache_entries\{.*type="success".*\} [1-9]/);
    expect(metrics).toMatch(
      /coredns_proxy_request_duration_seconds_count\{proxy_name="forward",to="127.0.0.1:\d+",rcode="NOERROR"\}/,
    );
  });

  it('goes to the next name server when one is silent or not there, and back when it is well', async () => {
    const silent = await new FakeNameServer(() => undefined).start();
    const gone = await new FakeNameServer(anAddress).start();
    await gone.stop();
    const flags = {
      upstream: [gone.port, silent.port, upstream.port].map((port) => `127.0.0.1:${port}`),
      forwardPolicy: 'sequential',
    };
    const other = await startDns(flags);
    try {
      const ask = async (name: string): Promise<string> => told(await overUdp(other.ports.udp, question(name)));
      expect(await ask('one.next.example.com')).toBe('192.0.2.1');
      expect(await ask('two.next.example.com')).toBe('192.0.2.1');
      const asked = silent.asked.length;
      expect(await ask('three.next.example.com')).toBe('192.0.2.1');
      expect(silent.asked.filter((line) => line.includes('three'))).toEqual([]); // known to be silent
      expect(asked).toBeGreaterThan(0);
      silent.behave = () => ({ flags: 0x182 });
      const failed = (line: string): boolean => line.startsWith('udp A y');
      await awaitUntil('one that fails is asked, and the next after it', async () => {
        expect(await ask(`y${systemClock.nowMs()}.next.example.com`)).toBe('192.0.2.1');
        return silent.asked.some(failed);
      });
      silent.behave = () => ({ flags: 0x183 });
      await awaitUntil('the first that answers is asked first again', async () => {
        await ask(`x${systemClock.nowMs()}.next.example.com`);
        return silent.asked.some((line) => line.includes(' x'));
      });
    } finally {
      await other.stop();
      await silent.stop();
    }
  });

  it('without anybody who answers it says so, and without anybody to ask it refuses', async () => {
    const gone = await new FakeNameServer(anAddress).start();
    await gone.stop();
    const failing = await startDns({ upstream: [`127.0.0.1:${gone.port}`] });
    const alone = await startDns({ upstream: [] });
    try {
      expect(told(await overUdp(failing.ports.udp, question('example.com')))).toBe('SERVFAIL');
      await awaitUntil('the records', async () => {
        const answer = told(await overUdp(failing.ports.udp, question('alias.default.svc.cluster.local')));
        return answer === 'www.example.com';
      });
      const alias = await overUdp(failing.ports.udp, question('alias.default.svc.cluster.local'));
      expect(codeOf(alias)).toBe('SERVFAIL'); // the alias is there, its address is not known
      expect(told(await overUdp(alone.ports.udp, question('example.com')))).toBe('REFUSED');
    } finally {
      await failing.stop();
      await alone.stop();
    }
  });

  it('a name server whose questions come back is not asked', async () => {
    // as our own server would answer
    const mirror = await new FakeNameServer(({ questions: [asked] = [] }) =>
      asked?.type === 'HINFO'
        ? { answers: [{ name: asked.name, type: 'HINFO', ttl: 0, data: { cpu: 'gantry', os: 'cluster-dns' } }] }
        : { flags: 0x182 },
    ).start();
    const looping = await startDns({ upstream: [`127.0.0.1:${mirror.port}`] });
    try {
      await awaitUntil('the look', () => mirror.asked.length > 0);
      await awaitUntil('no question', async () => {
        const before = mirror.asked.length;
        const answer = told(await overUdp(looping.ports.udp, question(`x${systemClock.nowMs()}.example.com`)));
        return answer === 'SERVFAIL' && mirror.asked.length === before;
      });
      // by this the others know
      const { answers } = await udp('loop-check.gantry.invalid', 'HINFO');
      expect(answers).toEqual([expect.objectContaining({ data: { cpu: 'gantry', os: 'cluster-dns' } })]);
    } finally {
      await looping.stop();
      await mirror.stop();
    }
  });

  it('a name server that has an answer to everything is asked', async () => {
    const portal = await new FakeNameServer(({ questions: [asked] = [] }) => ({
      answers: [{ name: asked?.name ?? '', type: 'CNAME', ttl: 60, data: 'portal.example.com' }],
    })).start();
    const behind = await startDns({ upstream: [`127.0.0.1:${portal.port}`] });
    try {
      await awaitUntil('the look', () => portal.asked.length > 0);
      for (const name of ['a.example.com', 'b.example.com', 'c.example.com']) {
        expect(told(await overUdp(behind.ports.udp, question(name)))).toBe('portal.example.com');
      }
    } finally {
      await behind.stop();
      await portal.stop();
    }
  });

  it('goes on with what it knows while the API server is away', async () => {
    let isAway = false;
    const { client } = plane;
    const away = new AbortController();
    const failing = await startDns(
      {},
      {
        list: (type, options, signal) => {
          if (isAway) throw new Error('away');
          return client.list(type, options, signal);
        },
        watch: (type, options, signal) => {
          if (isAway) throw new Error('away');
          return client.watch(type, options, AbortSignal.any([signal, away.signal]));
        },
      },
    );
    const ask = async (): Promise<string> =>
      told(await overUdp(failing.ports.udp, question('kubernetes.default.svc.cluster.local')));
    const ready = async (): Promise<number> => (await fetch(`http://127.0.0.1:${failing.ports.ready}/ready`)).status;
    try {
      await awaitUntil('ready', async () => (await ready()) === 200);
      isAway = true;
      away.abort();
      expect([await ask(), await ready()]).toEqual(['10.96.0.1', 200]);
    } finally {
      await failing.stop();
    }
  });

  it('is not ready, and denies nothing, before everything was listed', async () => {
    const waiting = await startDns(
      {},
      {
        list: (_type, _options, signal) =>
          new Promise((_, reject) =>
            signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true }),
          ),
        watch: () => {
          throw new Error('not before the list');
        },
      },
    );
    try {
      const ready = await fetch(`http://127.0.0.1:${waiting.ports.ready}/ready`);
      expect([ready.status, await ready.text()]).toEqual([
        503,
        'kubernetes: services, endpointslices, namespaces not listed yet',
      ]);
      const ask = async (name: string): Promise<string> => told(await overUdp(waiting.ports.udp, question(name)));
      expect(await ask('kubernetes.default.svc.cluster.local')).toBe('SERVFAIL');
      expect(await ask('other.example.com')).toBe('192.0.2.1');
    } finally {
      await waiting.stop();
    }
  });

  it('asked to stop, it goes on answering for a while but takes itself out', async () => {
    const leaving = await startDns({ lameduck: '60s' });
    const stopped = await startDns({ lameduck: '1ms' });
    leaving.askToStop();
    const ready = await fetch(`http://127.0.0.1:${leaving.ports.ready}/ready`);
    expect([ready.status, await ready.text()]).toEqual([503, 'stopping']);
    expect(told(await overUdp(leaving.ports.udp, question('other.example.com')))).toBe('192.0.2.1');
    await stopped.stop(); // ends by itself
  });
});
