/**
 * etcd's v3 API as the API server uses it: 64-bit numbers become ours here (revisions stay far below 2^53), keys and
 * values are UTF-8 text, and failures are the kinds of `base/errors.ts`.
 */
import { readFileSync } from 'node:fs';
import {
  type GrpcClient,
  channelOptions,
  duplexCall,
  insecure,
  loadService,
  rpcDetails,
  tls,
  unaryCall,
} from '../../base/grpc.ts';
import type { LeaseGrantResponse__Output } from './generated/etcdserverpb/LeaseGrantResponse.ts';
import type { RangeResponse__Output } from './generated/etcdserverpb/RangeResponse.ts';
import type { StatusResponse__Output } from './generated/etcdserverpb/StatusResponse.ts';
import type { TxnResponse__Output } from './generated/etcdserverpb/TxnResponse.ts';
import type { WatchResponse__Output } from './generated/etcdserverpb/WatchResponse.ts';
import type { KeyValue__Output } from './generated/mvccpb/KeyValue.ts';

export interface EtcdOptions {
  /** `http://127.0.0.1:2379` …; the scheme decides on TLS. */
  endpoints: readonly string[];
  caFile?: string | undefined;
  certFile?: string | undefined;
  keyFile?: string | undefined;
  /** For one call; 5 s when undefined. */
  timeoutMs?: number | undefined;
}

export interface EtcdKeyValue {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
}

export interface EtcdRangeRequest {
  key: string;
  /** Exclusive end; undefined reads the one key. */
  rangeEnd?: string | undefined;
  limit?: number | undefined;
  revision?: number | undefined;
  keysOnly?: boolean | undefined;
  /** Only keys written at or after this revision; `count` still counts all. */
  minModRevision?: number | undefined;
}

/** A put or delete that happens only when the key's last write was at `expectedRevision`; 0 means that there is none. */
export interface EtcdConditionalWrite {
  key: string;
  expectedRevision: number;
  /** Undefined deletes. */
  value: string | undefined;
  lease?: string | undefined;
}

export interface EtcdEvent {
  readonly type: 'put' | 'delete';
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
}

export type EtcdWatchMessage =
  | { readonly kind: 'events'; readonly events: readonly EtcdEvent[]; readonly revision: number }
  | { readonly kind: 'compacted'; readonly compactRevision: number };

export class Etcd {
  readonly #kv: GrpcClient;
  readonly #watch: GrpcClient;
  readonly #lease: GrpcClient;
  readonly #maintenance: GrpcClient;
  readonly #timeoutMs: number;

  constructor({ endpoints, caFile, certFile, keyFile, timeoutMs = 5000 }: EtcdOptions) {
    const urls = endpoints.map((endpoint) => new URL(endpoint));
    const addresses = urls.map(({ hostname, port }) => `${hostname}:${port === '' ? '2379' : port}`);
    const isTls = urls.some(({ protocol }) => protocol === 'https:');
    const credentials =
      isTls && caFile !== undefined && certFile !== undefined && keyFile !== undefined
        ? tls(readFileSync(caFile), readFileSync(keyFile), readFileSync(certFile))
        : insecure;
    // one member is the common case; several share one channel that takes the first that answers
    const target = addresses.length === 1 ? (addresses[0] ?? '') : `ipv4:${addresses.join(',')}`;
    const open = (service: string): GrpcClient =>
      new (loadService('etcd-v3.proto', `etcdserverpb.${service}`))(target, credentials, channelOptions);
    this.#kv = open('KV');
    this.#watch = open('Watch');
    this.#lease = open('Lease');
    this.#maintenance = open('Maintenance');
    this.#timeoutMs = timeoutMs;
  }

  close(): void {
    for (const client of [this.#kv, this.#watch, this.#lease, this.#maintenance]) client.close();
  }

  async range(
    request: EtcdRangeRequest,
    signal: AbortSignal,
  ): Promise<{ items: EtcdKeyValue[]; revision: number; more: boolean; count: number }> {
    const answer = await this.#call<RangeResponse__Output>(
      this.#kv,
      'range',
      {
        key: Buffer.from(request.key),
        range_end: request.rangeEnd === undefined ? undefined : Buffer.from(request.rangeEnd),
        limit: request.limit,
        revision: request.revision,
        keys_only: request.keysOnly,
        min_mod_revision: request.minModRevision,
      },
      signal,
    );
    return {
      items: answer.kvs.map(keyValue),
      revision: Number(answer.header?.revision ?? 0),
      more: answer.more,
      count: Number(answer.count),
    };
  }

  /** Writes when the condition holds; otherwise reads what is there, in the same transaction. */
  async writeIf(
    { key, expectedRevision, value, lease }: EtcdConditionalWrite,
    signal: AbortSignal,
  ): Promise<{ written: boolean; revision: number; current: EtcdKeyValue | undefined }> {
    const bytes = Buffer.from(key);
    const write =
      value === undefined
        ? { request_delete_range: { key: bytes } }
        : { request_put: { key: bytes, value: Buffer.from(value), lease: lease ?? 0 } };
    const answer = await this.#call<TxnResponse__Output>(
      this.#kv,
      'txn',
      {
        compare: [{ result: 'EQUAL', target: 'MOD', key: bytes, mod_revision: expectedRevision }],
        success: [write],
        failure: [{ request_range: { key: bytes } }],
      },
      signal,
    );
    const found = answer.responses[0]?.response_range?.kvs[0];
    return {
      written: answer.succeeded,
      revision: Number(answer.header?.revision ?? 0),
      current: answer.succeeded || found === undefined ? undefined : keyValue(found),
    };
  }

  /** Changes of [key, rangeEnd) from `startRevision` on. Ends with `signal`; a broken stream throws `UnavailableError`. */
  async *watch(
    key: string,
    rangeEnd: string,
    startRevision: number,
    signal: AbortSignal,
  ): AsyncGenerator<EtcdWatchMessage> {
    const create_request = {
      key: Buffer.from(key),
      range_end: Buffer.from(rangeEnd),
      start_revision: startRevision,
      progress_notify: true,
    };
    for await (const message of duplexCall<WatchResponse__Output>(this.#watch, 'watch', { create_request }, signal)) {
      if (message.canceled) {
        const compactRevision = Number(message.compact_revision);
        if (compactRevision > 0) {
          yield { kind: 'compacted', compactRevision };
          return;
        }
        throw new Error(`Cannot watch "${key}" in etcd: ${message.cancel_reason}`);
      }
      if (message.created) continue;
      yield {
        kind: 'events',
        revision: Number(message.header?.revision ?? 0),
        events: message.events.map(({ type, kv }) => ({
          type: type === 'DELETE' ? ('delete' as const) : ('put' as const),
          ...(kv === null ? { key: '', value: '', modRevision: 0 } : keyValue(kv)),
        })),
      };
    }
  }

  async grantLease(ttlSeconds: number, signal: AbortSignal): Promise<string> {
    const answer = await this.#call<LeaseGrantResponse__Output>(this.#lease, 'leaseGrant', { TTL: ttlSeconds }, signal);
    return answer.ID;
  }

  async compact(revision: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#call(this.#kv, 'compact', { revision }, signal);
    } catch (err) {
      if (!isCompacted(err)) throw err; // somebody compacted further already
    }
  }

  async version(signal: AbortSignal): Promise<string> {
    const answer = await this.#call<StatusResponse__Output>(this.#maintenance, 'status', {}, signal);
    return answer.version;
  }

  #call<Res>(client: GrpcClient, method: string, request: unknown, signal: AbortSignal): Promise<Res> {
    return unaryCall<Res>(client, method, request, { timeoutMs: this.#timeoutMs, signal });
  }
}

/** Whether etcd refused a revision because it has been compacted. */
export function isCompacted(error: unknown): boolean {
  return rpcDetails(error).includes('required revision has been compacted');
}

/** Whether etcd refused a revision because it is yet to come. */
export function isFutureRevision(error: unknown): boolean {
  return rpcDetails(error).includes('required revision is a future revision');
}

function keyValue({ key, value, mod_revision }: KeyValue__Output): EtcdKeyValue {
  return { key: key.toString('utf8'), value: value.toString('utf8'), modRevision: Number(mod_revision) };
}
