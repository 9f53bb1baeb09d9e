/**
 * One conversation over a D-Bus socket without a bus in between: what systemd itself answers for root. The other side
 * sends its signals unasked. Lives until it is closed; every failure of the socket fails all that waits.
 */
import { type Socket, connect } from 'node:net';
import { type DbusCall, type DbusMessage, decodeBody, decodeMessage, encodeCall } from './dbus-messages.ts';
import type { DbusValue } from './dbus-values.ts';

/** The other side answered a call with an error of its own. */
export class DbusError extends Error {
  override name = 'DbusError';
  /** `org.freedesktop.systemd1.UnitExists` and the like. */
  readonly kind: string;

  constructor(kind: string, message: string) {
    super(message === '' ? kind : message);
    this.kind = kind;
  }
}

interface Waiting {
  /** Takes a message; true when it was what this waits for. */
  offer(message: DbusMessage): boolean;
  fail(err: Error): void;
}

/** The lines of an agreed greeting are much shorter. */
const greetingMax = 4096;

export class DbusConnection {
  readonly #socket: Socket;
  readonly #waiting = new Set<Waiting>();
  #bytes: Buffer = Buffer.alloc(0);
  #isGreeted = false;
  readonly #greeted = Promise.withResolvers<void>();
  #serial = 0;
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#greeted.promise.catch(() => {}); // whoever opens it looks
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (err) => this.#fail(err));
    socket.on('close', () => this.#fail(new Error('the connection was closed by the other side')));
  }

  /** @throws {Error} with the errno when nobody listens there */
  static async open(socketPath: string, signal: AbortSignal): Promise<DbusConnection> {
    const socket = connect(socketPath);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const connection = new DbusConnection(socket);
    // Who we are is what the kernel says of this socket. A message that systemd reads together with the greeting waits
    // there until another one comes: nothing is sent until the greeting is answered.
    const uid = Buffer.from(String(process.getuid?.() ?? 0)).toString('hex');
    socket.write(`\0AUTH EXTERNAL ${uid}\r\nBEGIN\r\n`);
    const end = (): void => connection.close(new Error('the greeting was not answered in time'));
    signal.addEventListener('abort', end, { once: true });
    try {
      await connection.#greeted.promise;
    } finally {
      signal.removeEventListener('abort', end);
    }
    return connection;
  }

  /** @throws {DbusError} what the other side has against it */
  async call(call: DbusCall): Promise<DbusValue[]> {
    const serial = ++this.#serial;
    const answered = this.next((message) => message.replySerial === serial);
    this.#socket.write(encodeCall(serial, call));
    const answer = await answered;
    const body = decodeBody(answer);
    if (answer.kind !== 'error') return body;
    const [text] = body;
    throw new DbusError(answer.errorName ?? 'unknown error', typeof text === 'string' ? text : '');
  }

  /** The next message that `isWanted`. */
  next(isWanted: (message: DbusMessage) => boolean): Promise<DbusMessage> {
    const coming = new Promise<DbusMessage>((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      const waiting: Waiting = {
        offer: (message) => {
          if (!isWanted(message)) return false;
          resolve(message);
          return true;
        },
        fail: reject,
      };
      this.#waiting.add(waiting);
    });
    coming.catch(() => {}); // whoever asked may have gone away with an earlier failure
    return coming;
  }

  /** What still waits fails with `reason`. */
  close(reason: Error = new Error('the connection was closed')): void {
    this.#fail(reason);
  }

  #take(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    try {
      if (!this.#isGreeted && !this.#readGreeting()) return;
      for (let read = decodeMessage(this.#bytes); read !== undefined; read = decodeMessage(this.#bytes)) {
        this.#bytes = this.#bytes.subarray(read.length);
        for (const waiting of this.#waiting) {
          if (waiting.offer(read.message)) this.#waiting.delete(waiting);
        }
      }
    } catch (err) {
      this.#fail(err instanceof Error ? err : new Error(String(err)));
    }
  }

  /** Lines until the one that takes us in. */
  #readGreeting(): boolean {
    for (;;) {
      const end = this.#bytes.indexOf('\r\n');
      if (end < 0) {
        if (this.#bytes.length > greetingMax) throw new Error('the other side does not speak D-Bus');
        return false;
      }
      const line = this.#bytes.toString('latin1', 0, end);
      this.#bytes = this.#bytes.subarray(end + 2);
      if (line.startsWith('OK ')) {
        this.#isGreeted = true;
        this.#greeted.resolve();
        return true;
      }
      if (line.startsWith('REJECTED')) throw new Error('the other side does not accept this user');
    }
  }

  #fail(err: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = err;
    this.#socket.destroy();
    this.#greeted.reject(err);
    for (const { fail } of this.#waiting) fail(err);
    this.#waiting.clear();
  }
}
