/** Another name server for tests, on a loopback port of its own, over UDP and TCP: says what the test tells it to. */
import { type Socket, createSocket } from 'node:dgram';
import { type Server, createServer } from 'node:net';
import { type DecodedPacket, type Packet, decode, encode } from 'dns-packet';

export type Behaviour = (query: DecodedPacket, transport: 'udp' | 'tcp') => Packet | Buffer | undefined;

export class FakeNameServer {
  /** Silent when it answers undefined. */
  behave: Behaviour;
  /** `udp A example.com`, in the order in which they came. */
  readonly asked: string[] = [];
  #udp: Socket | undefined;
  #tcp: Server | undefined;
  port = 0;

  constructor(behave: Behaviour) {
    this.behave = behave;
  }

  async start(port = 0): Promise<this> {
    const tcp = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        const answer = this.#answer(chunk.subarray(2), 'tcp');
        if (answer === undefined) return;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([length, answer]));
      });
    });
    this.#tcp = tcp;
    await new Promise<void>((resolve, reject) => {
      tcp.once('error', reject);
      tcp.listen(port, '127.0.0.1', resolve);
    });
    const address = tcp.address();
    if (typeof address !== 'object' || address === null) throw new Error('not listening');
    this.port = address.port;
    const udp = createSocket('udp4');
    this.#udp = udp;
    udp.on('message', (packet, { port: from, address: to }) => {
      const answer = this.#answer(packet, 'udp');
      if (answer !== undefined) udp.send(answer, from, to);
    });
    await new Promise<void>((resolve) => udp.bind(this.port, '127.0.0.1', resolve));
    return this;
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => (this.#udp === undefined ? resolve() : this.#udp.close(resolve)));
    await new Promise((resolve) => (this.#tcp === undefined ? resolve(undefined) : this.#tcp.close(resolve)));
    this.#udp = undefined;
    this.#tcp = undefined;
  }

  #answer(packet: Buffer, transport: 'udp' | 'tcp'): Buffer | undefined {
    const query = decode(packet);
    const [question] = query.questions ?? [];
    this.asked.push(`${transport} ${question?.type} ${question?.name}`);
    const answer = this.behave(query, transport);
    if (answer === undefined || Buffer.isBuffer(answer)) return answer;
    return encode({ type: 'response', id: query.id ?? 0, questions: query.questions ?? [], ...answer });
  }
}

/** Answers each name with an address, and names below `missing` with that there are none. */
export const anAddress: Behaviour = ({ questions: [question] = [] }) => {
  if (question === undefined) return undefined;
  const { name, type } = question;
  if (type === 'A' && !name.endsWith('missing')) {
    return { flags: 0x180, answers: [{ name, type: 'A', ttl: 300, data: '192.0.2.1' }] };
  }
  const data = {
    mname: 'ns.example.com',
    rname: 'h.example.com',
    serial: 1,
    refresh: 1,
    retry: 1,
    expire: 1,
    minimum: 20,
  };
  const flags = name.endsWith('missing') || name.endsWith('invalid') ? 0x183 : 0x180;
  return { flags, authorities: [{ name: 'example.com', type: 'SOA', ttl: 60, data }] };
};
