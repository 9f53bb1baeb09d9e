/**
 * gRPC as all of our clients and test servers use it: the loader's options, the call, and the kinds of failure.
 * The only file that imports grpc-js and proto-loader.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  type ChannelOptions,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ServiceClientConstructor,
  type ServiceError,
  credentials,
  loadPackageDefinition,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ConflictError, DeadlineError, NotFoundError, UnavailableError, UnimplementedError } from './errors.ts';

export { Server as GrpcServer, ServerCredentials, Metadata, status as grpcStatus } from '@grpc/grpc-js';
export type {
  Client as GrpcClient,
  ServiceClientConstructor,
  ServiceError,
  ServerUnaryCall,
  sendUnaryData,
  ServerWritableStream,
  ClientDuplexStream,
} from '@grpc/grpc-js';

/** 64-bit numbers and enum values arrive as strings; adapters turn them into ours. The type generator uses the same. */
const loaderOptions = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true } as const;

/** `proto/` beside the sources, or beside `dist/` for the bundle. */
export function protoDirectory(): string {
  for (let dir = import.meta.dirname; ; dir = dirname(dir)) {
    if (existsSync(join(dir, 'proto', 'cri-v1.proto'))) return join(dir, 'proto');
    if (dir === dirname(dir)) throw new Error(`Cannot find the "proto" directory above "${import.meta.dirname}"`);
  }
}

/** The constructor of a service's client, e.g. `loadService('cri-v1.proto', 'runtime.v1.RuntimeService')`. */
export function loadService(file: string, service: string): ServiceClientConstructor {
  const loaded = loadPackageDefinition(loadSync(file, { ...loaderOptions, includeDirs: [protoDirectory()] }));
  let at: unknown = loaded;
  for (const part of service.split('.')) at = (at as Record<string, unknown>)[part];
  if (typeof at !== 'function') throw new Error(`Cannot find service "${service}" in "${file}"`);
  return at as unknown as ServiceClientConstructor;
}

export const insecure = credentials.createInsecure();
export const tls = (ca: Buffer, key: Buffer, cert: Buffer): ReturnType<typeof credentials.createSsl> =>
  credentials.createSsl(ca, key, cert);

/** No proxy, no message limit below the runtime's own 16 MiB, reconnect within a second when the server comes back. */
export const channelOptions: ChannelOptions = {
  'grpc.enable_http_proxy': 0,
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  'grpc.max_send_message_length': 16 * 1024 * 1024,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 3000,
};

/** What the other side answered, as Go clients print it. Always the `cause` of the errors that calls throw. */
export class RpcError extends Error {
  override name = 'RpcError';
  /** The code's name as Go writes it: `NotFound`. */
  readonly code: string;
  /** The description alone. */
  readonly details: string;
  constructor(code: string, details: string) {
    super(`rpc error: code = ${code} desc = ${details}`);
    this.code = code;
    this.details = details;
  }
}

/** The remote side's own description, for messages that upstream prints without the code. */
export function rpcDetails(error: unknown): string {
  return rpcError(error)?.details ?? (error instanceof Error ? error.message : String(error));
}

/** The remote side's answer as Go prints it, for messages that upstream prints whole. */
export function rpcText(error: unknown): string {
  return rpcError(error)?.message ?? (error instanceof Error ? error.message : String(error));
}

/** What the other side answered, looked for through the `cause` chain. */
export function rpcError(error: unknown): RpcError | undefined {
  let e = error;
  while (e instanceof Error) {
    if (e instanceof RpcError) return e;
    e = (e as Error).cause;
  }
  return undefined;
}

export interface CallOptions {
  /** Undefined: no deadline of our own (image pulls). */
  timeoutMs?: number | undefined;
  signal: AbortSignal;
}

type UnaryMethod = (
  request: unknown,
  options: { deadline?: Date },
  done: (err: ServiceError | null, response: unknown) => void,
) => { cancel(): void };

/**
 * One unary call.
 * @throws {NotFoundError | ConflictError | UnavailableError | DeadlineError | UnimplementedError | Error} with an `RpcError` as cause
 */
export function unaryCall<Res>(client: Client, method: string, request: unknown, options: CallOptions): Promise<Res> {
  const fn = (client as unknown as Record<string, UnaryMethod>)[method];
  if (fn === undefined) throw new Error(`No such method "${method}"`);
  return callUnary<Res>(method, options, (callOptions, done) =>
    fn.call(client, request, callOptions, done as (err: ServiceError | null, response: unknown) => void),
  );
}

type StartCall<Res> = (
  options: { deadline?: Date },
  done: (err: ServiceError | null, response?: Res) => void,
) => { cancel(): void };

function callUnary<Res>(method: string, { timeoutMs, signal }: CallOptions, start: StartCall<Res>): Promise<Res> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    // grpc-js needs an absolute wall-clock date; nothing is decided by it
    const options = timeoutMs === undefined ? {} : { deadline: new Date(Date.now() + timeoutMs) };
    const call = start(options, (err, response) => {
      signal.removeEventListener('abort', cancel);
      if (err === null) resolve(response as Res);
      else if (signal.aborted) reject(signal.reason);
      else reject(translate(method, err));
    });
    const cancel = (): void => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
  });
}

interface MethodDefinition {
  path: string;
  requestSerialize(request: unknown): Buffer;
  responseDeserialize(message: Buffer): unknown;
}

function definitionOf(Service: ServiceClientConstructor, method: string): MethodDefinition {
  const found = Service.service[method];
  if (found === undefined) throw new Error(`No such method "${method}"`);
  return found as MethodDefinition;
}

/** Decodes an answer that `rawCall` left as it came, or a part of one that is a message by itself. */
export function decodeAnswer<Res>(Service: ServiceClientConstructor, method: string, message: Buffer): Res {
  return definitionOf(Service, method).responseDeserialize(message) as Res;
}

/** One unary call whose answer is left undecoded. @throws as `unaryCall` */
export function rawCall(
  client: Client,
  Service: ServiceClientConstructor,
  method: string,
  request: unknown,
  options: CallOptions,
): Promise<Buffer> {
  const { path, requestSerialize } = definitionOf(Service, method);
  const asItCame = (message: Buffer): Buffer => message;
  return callUnary<Buffer>(method, options, (callOptions, done) =>
    client.makeUnaryRequest(path, requestSerialize, asItCame, request, callOptions, done),
  );
}

/** One server stream, as an async iterable; ends quietly when `signal` aborts. */
export async function* streamCall<Res>(
  client: Client,
  method: string,
  request: unknown,
  signal: AbortSignal,
): AsyncGenerator<Res> {
  const fn = (client as unknown as Record<string, (request: unknown) => ClientReadableStream<Res>>)[method];
  if (fn === undefined) throw new Error(`No such method "${method}"`);
  const stream = fn.call(client, request);
  const cancel = (): void => stream.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    for await (const message of stream) yield message as Res;
  } catch (err) {
    if (!signal.aborted) throw translate(method, err as ServiceError);
  } finally {
    signal.removeEventListener('abort', cancel);
    stream.cancel();
  }
}

/** A bidirectional stream on which we write `request` and then only read; ends quietly when `signal` aborts. */
export async function* duplexCall<Res>(
  client: Client,
  method: string,
  request: unknown,
  signal: AbortSignal,
): AsyncGenerator<Res> {
  const fn = (client as unknown as Record<string, () => ClientDuplexStream<unknown, Res>>)[method];
  if (fn === undefined) throw new Error(`No such method "${method}"`);
  const stream = fn.call(client);
  const cancel = (): void => stream.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    stream.write(request);
    for await (const message of stream) yield message as Res;
  } catch (err) {
    if (!signal.aborted) throw translate(method, err as ServiceError);
  } finally {
    signal.removeEventListener('abort', cancel);
    stream.cancel();
  }
}

const goNames: Record<number, string> = {
  [status.CANCELLED]: 'Canceled',
  [status.UNKNOWN]: 'Unknown',
  [status.INVALID_ARGUMENT]: 'InvalidArgument',
  [status.DEADLINE_EXCEEDED]: 'DeadlineExceeded',
  [status.NOT_FOUND]: 'NotFound',
  [status.ALREADY_EXISTS]: 'AlreadyExists',
  [status.PERMISSION_DENIED]: 'PermissionDenied',
  [status.RESOURCE_EXHAUSTED]: 'ResourceExhausted',
  [status.FAILED_PRECONDITION]: 'FailedPrecondition',
  [status.ABORTED]: 'Aborted',
  [status.OUT_OF_RANGE]: 'OutOfRange',
  [status.UNIMPLEMENTED]: 'Unimplemented',
  [status.INTERNAL]: 'Internal',
  [status.UNAVAILABLE]: 'Unavailable',
  [status.DATA_LOSS]: 'DataLoss',
  [status.UNAUTHENTICATED]: 'Unauthenticated',
};

const kinds: Record<number, new (message: string, options: ErrorOptions) => Error> = {
  [status.NOT_FOUND]: NotFoundError,
  [status.ALREADY_EXISTS]: ConflictError,
  [status.ABORTED]: ConflictError,
  [status.UNAVAILABLE]: UnavailableError,
  [status.DEADLINE_EXCEEDED]: DeadlineError,
  [status.UNIMPLEMENTED]: UnimplementedError,
};

const dialFailures: Record<string, string> = {
  ENOENT: 'no such file or directory',
  ECONNREFUSED: 'connection refused',
  EACCES: 'permission denied',
};

/** When nobody listens on a Unix socket, our side says so; in Go's words, for they end in events. */
function dialWords(details: string): string | undefined {
  const [, code = '', path] =
    /^No connection established\. Last error: Error: connect (E[A-Z]+) (\/.*?)\. /.exec(details) ?? [];
  if (path === undefined) return undefined;
  const why = `dial unix ${path}: connect: ${dialFailures[code] ?? code}`;
  return `connection error: desc = "transport: Error while dialing: ${why}"`;
}

function translate(method: string, err: ServiceError): Error {
  // when the time is up, nobody has answered: these are words of our own side, in Go's form
  const isOurs = err.code === status.DEADLINE_EXCEEDED && err.details.startsWith('Deadline exceeded after');
  const details = isOurs ? 'context deadline exceeded' : (dialWords(err.details) ?? (err.details || err.message));
  const cause = new RpcError(goNames[err.code] ?? 'Unknown', details);
  const message = `${method} failed`;
  const Kind = kinds[err.code] ?? Error;
  return new Kind(message, { cause });
}
