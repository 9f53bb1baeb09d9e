import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';

/** One request, and the means to answer it. */
export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  method: string;
  /** Decoded, without query. */
  path: string;
  query: URLSearchParams;
  /** The client wants to leave HTTP: its connection, and what came behind the request. */
  upgrade: { socket: TLSSocket; head: Buffer } | undefined;
  /** Aborts when the client is gone or the server stops. */
  signal: AbortSignal;
  /** Aborts when the server stops. */
  stopSignal: AbortSignal;
}

/** A whole answer of plain text. */
export function answerText(
  { response }: Pick<Exchange, 'response'>,
  status: number,
  text: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'X-Content-Type-Options': 'nosniff',
    'Content-Length': Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

export function answerJson({ response }: Pick<Exchange, 'response'>, status: number, body: string): void {
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'X-Content-Type-Options': 'nosniff',
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
}
