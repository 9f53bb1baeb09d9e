/** One request and its answer, alike for HTTP/1.1 and HTTP/2. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { StatusError } from '../resources/status-error.ts';

/** Bodies above this are refused. */
export const bodyMaxBytes = 3 * 1024 * 1024;
const gzipAboveBytes = 128 * 1024;
const compress = promisify(gzip);

/** HTTP/2's compatible classes have the same shape; the server hands them in as these. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly url: URL;
  readonly method: string;
  readonly auditId: string;
  /** Aborts when the client goes away or the server stops. */
  readonly signal: AbortSignal;
  readonly #response: ServerResponse;
  readonly #warnings = new Set<string>();

  constructor(request: IncomingMessage, response: ServerResponse, auditId: string, stop: AbortSignal) {
    this.request = request;
    this.#response = response;
    this.method = request.method ?? 'GET';
    this.url = new URL(request.url ?? '/', 'https://localhost');
    this.auditId = auditId;
    const closed = new AbortController();
    response.on('close', () => closed.abort(new Error('the client went away')));
    this.signal = AbortSignal.any([closed.signal, stop]);
  }

  get query(): URLSearchParams {
    return this.url.searchParams;
  }

  header(name: string): string {
    const value = this.request.headers[name];
    return Array.isArray(value) ? (value[0] ?? '') : (value ?? '');
  }

  warn(text: string): void {
    this.#warnings.add(text);
  }

  /** @throws {StatusError} 413 */
  async body(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of this.request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bodyMaxBytes) {
        throw new StatusError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${bodyMaxBytes}`);
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  async sendJson(code: number, json: string, headers: Record<string, string> = {}): Promise<void> {
    await this.send(code, json, { 'content-type': 'application/json', ...headers });
  }

  async send(code: number, text: string | Buffer, headers: Record<string, string>): Promise<void> {
    const body = typeof text === 'string' ? Buffer.from(text) : text;
    const isZipped =
      this.method === 'GET' && body.length > gzipAboveBytes && /\bgzip\b/.test(this.header('accept-encoding'));
    const bytes = isZipped ? await compress(body, { level: 1 }) : body;
    if (this.#isGone()) return;
    this.#head(code, {
      ...headers,
      'content-length': String(bytes.length),
      ...(isZipped ? { 'content-encoding': 'gzip', vary: 'Accept-Encoding' } : {}),
    });
    this.#response.end(bytes);
  }

  /** Starts an answer without an end in sight. */
  startStream(code: number, headers: Record<string, string>): void {
    this.#head(code, headers);
    this.#response.flushHeaders();
  }

  /** Waits while the client is slow. False: it is gone. */
  async write(chunk: string | Buffer): Promise<boolean> {
    if (this.#isGone()) return false;
    const isTaken = this.#response.write(chunk);
    if (!isTaken) await this.#drained();
    return !this.#isGone();
  }

  end(): void {
    if (!this.#isGone()) this.#response.end();
  }

  get isStarted(): boolean {
    return this.#response.headersSent;
  }

  #isGone(): boolean {
    return this.#response.writableEnded || this.#response.destroyed;
  }

  #drained(): Promise<void> {
    const response: NodeJS.EventEmitter = this.#response;
    return new Promise((resolve) => {
      const done = (): void => {
        response.off('drain', done);
        response.off('close', done);
        this.signal.removeEventListener('abort', done);
        resolve();
      };
      response.on('drain', done);
      response.on('close', done);
      this.signal.addEventListener('abort', done, { once: true });
    });
  }

  #head(code: number, headers: Record<string, string>): void {
    const all: Record<string, string | string[]> = {
      'audit-id': this.auditId,
      'cache-control': 'no-cache, private',
      ...headers,
    };
    if (this.#warnings.size > 0) {
      all['warning'] = [...this.#warnings].map((text) => `299 - ${JSON.stringify(text.slice(0, 4096))}`);
    }
    this.#response.writeHead(code, all);
  }
}
