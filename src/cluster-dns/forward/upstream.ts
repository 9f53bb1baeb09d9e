/**
 * Another name server: asked over UDP, and over TCP for what does not fit. Owns its sockets. A socket of UDP is connected,
 * so that the kernel drops what others send and tells at once when nobody listens; it is replaced every now and then, so
 * that neither port nor number of a question can be guessed.
 */
import { randomInt } from 'node:crypto';
import { type Socket, createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { closedByDeadline } from '../../base/deadline.ts';
import { UnavailableError } from '../../base/errors.ts';
import { rcodes } from '../dns-model.ts';
import { type Asked, type ForeignAnswer, encodeQuestion, readForeignAnswer } from '../wire/pass-on.ts';
import { FrameReader, frame } from '../wire/frames.ts';

export interface UpstreamAddress {
  host: string;
  port: number;
}

interface Channel {
  socket: Socket;
  waiting: Map<number, (answer: Buffer | Error) => void>;
  questions: number;
  /** What cannot be sent before the socket is connected; undefined afterwards. */
  unsent: Buffer[] | undefined;
  cancelIdle: (() => void) | undefined;
}

const questionsPerSocket = 512;
const idleMs = 10_000;

export class Upstream {
  readonly address: UpstreamAddress;
  readonly #clock: Clock;
  readonly #tryTimeoutMs: number;
  readonly #channels = new Set<Channel>();
  #current: Channel | undefined;

  constructor(address: UpstreamAddress, clock: Clock, tryTimeoutMs: number) {
    this.address = address;
    this.#clock = clock;
    this.#tryTimeoutMs = tryTimeoutMs;
  }

  get name(): string {
    const { host, port } = this.address;
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  }

  get openSockets(): number {
    return this.#channels.size;
  }

  /** @throws {UnavailableError} when it does not answer, or not with what was asked */
  async ask(asked: Asked, signal: AbortSignal): Promise<ForeignAnswer> {
    let overUdp = await this.#askUdp(asked, true, signal);
    // as servers answer that have never heard of EDNS (RFC 6891, 6.2.2)
    if (overUdp.rcode === rcodes.FORMERR || overUdp.rcode === rcodes.NOTIMP) {
      overUdp = await this.#askUdp(asked, false, signal);
    }
    return overUdp.isTruncated ? this.#askTcp(asked, signal) : overUdp;
  }

  /** Ends what is under way. */
  close(): void {
    for (const channel of this.#channels)
      this.#drop(channel, new UnavailableError(`${this.name} is not used any more`));
  }

  #askUdp(asked: Asked, hasEdns: boolean, signal: AbortSignal): Promise<ForeignAnswer> {
    return this.#within('udp', signal, (resolve, reject) => {
      const channel = this.#channel();
      const id = freeId(channel.waiting);
      channel.waiting.set(id, (answer) => {
        if (answer instanceof Error) return reject(answer);
        try {
          resolve(readForeignAnswer(answer, asked));
        } catch {
          // not what was asked: somebody guesses, or the server is broken; the right one may still come
        }
      });
      const packet = encodeQuestion(asked, id, hasEdns);
      if (channel.unsent === undefined) channel.socket.send(packet);
      else channel.unsent.push(packet);
      return () => {
        channel.waiting.delete(id);
        if (channel !== this.#current && channel.waiting.size === 0) this.#drop(channel);
      };
    });
  }

  #askTcp(asked: Asked, signal: AbortSignal): Promise<ForeignAnswer> {
    return this.#within('tcp', signal, (resolve, reject) => {
      const id = randomInt(0x10000);
      const reader = new FrameReader();
      const socket = connect({ host: this.address.host, port: this.address.port });
      socket.on('connect', () => socket.write(frame(encodeQuestion(asked, id))));
      socket.on('data', (chunk) => {
        try {
          for (const packet of reader.read(chunk)) {
            if (packet.length >= 2 && packet.readUInt16BE(0) === id) resolve(readForeignAnswer(packet, asked));
          }
        } catch (cause) {
          reject(new UnavailableError(`${this.name} answers nonsense over tcp`, { cause }));
        }
      });
      socket.on('error', (cause) => reject(new UnavailableError(`Cannot ask ${this.name} over tcp`, { cause })));
      socket.on('close', () => reject(new UnavailableError(`${this.name} hung up`)));
      return () => socket.destroy();
    });
  }

  #within(
    transport: string,
    signal: AbortSignal,
    start: (resolve: (answer: ForeignAnswer) => void, reject: (err: unknown) => void) => () => void,
  ): Promise<ForeignAnswer> {
    return closedByDeadline(`${this.name} over ${transport}`, this.#tryTimeoutMs, this.#clock, signal, start);
  }

  #channel(): Channel {
    let channel = this.#current;
    if (channel === undefined || channel.questions >= questionsPerSocket) {
      channel = this.#openChannel();
      const former = this.#current;
      this.#current = channel;
      if (former?.waiting.size === 0) this.#drop(former);
    }
    channel.questions++;
    channel.cancelIdle?.();
    const inUse = channel;
    channel.cancelIdle = this.#clock.after(idleMs, () => this.#drop(inUse));
    return channel;
  }

  #openChannel(): Channel {
    const { host, port } = this.address;
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const channel: Channel = { socket, waiting: new Map(), questions: 0, unsent: [], cancelIdle: undefined };
    this.#channels.add(channel);
    socket.on('message', (packet) => {
      if (packet.length >= 2) channel.waiting.get(packet.readUInt16BE(0))?.(packet);
    });
    socket.on('error', (cause) => this.#drop(channel, new UnavailableError(`Cannot ask ${this.name}`, { cause })));
    socket.connect(port, host, () => {
      for (const packet of channel.unsent ?? []) socket.send(packet);
      channel.unsent = undefined;
    });
    return channel;
  }

  #drop(channel: Channel, reason: Error = new UnavailableError(`${this.name} was not heard of`)): void {
    if (!this.#channels.delete(channel)) return;
    if (this.#current === channel) this.#current = undefined;
    channel.cancelIdle?.();
    channel.socket.removeAllListeners('error').on('error', () => {}); // of what was sent before
    channel.socket.close();
    for (const tell of channel.waiting.values()) tell(reason);
  }
}

function freeId(taken: ReadonlyMap<number, unknown>): number {
  for (;;) {
    const id = randomInt(0x10000);
    if (!taken.has(id)) return id;
  }
}
