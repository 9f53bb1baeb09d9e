import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type GrpcClient,
  GrpcServer,
  RpcError,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  channelOptions,
  grpcStatus,
  insecure,
  loadService,
  rpcDetails,
  rpcText,
  type sendUnaryData,
  streamCall,
  unaryCall,
} from './grpc.ts';
import { isConflict, isDeadline, isNotFound, isUnavailable, isUnimplemented } from './errors.ts';

const never = new AbortController().signal;
const Runtime = loadService('cri-v1.proto', 'runtime.v1.RuntimeService');

describe('rpcText and rpcDetails', () => {
  const rpc = new RpcError('NotFound', 'no such pod');
  it.each([
    { name: 'an answer', error: rpc, text: 'rpc error: code = NotFound desc = no such pod', details: 'no such pod' },
    {
      name: 'an answer inside',
      error: new Error('a', { cause: new Error('b', { cause: rpc }) }),
      text: 'rpc error: code = NotFound desc = no such pod',
      details: 'no such pod',
    },
    { name: 'another error', error: new Error('broken'), text: 'broken', details: 'broken' },
    { name: 'no error', error: 'words', text: 'words', details: 'words' },
  ])('$name', ({ error, text, details }) => {
    expect(rpcText(error)).toBe(text);
    expect(rpcDetails(error)).toBe(details);
  });
});

describe('loadService', () => {
  it('names what it cannot find', () => {
    expect(() => loadService('grpc-health-v1.proto', 'grpc.health.v1.Wealth')).toThrow('"grpc.health.v1.Wealth"');
  });
});

describe('calls over a socket', () => {
  let directory: string;
  let server: InstanceType<typeof GrpcServer>;
  let client: GrpcClient;
  /** What `Version` answers with; undefined never answers. */
  let answer: { code: number; details: string } | 'fine' | undefined;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'gantry-grpc-'));
    server = new GrpcServer();
    server.addService(Runtime.service, {
      Version: (_: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>) => {
        if (answer === 'fine') done(null, { runtime_name: 'fine' });
        else if (answer !== undefined) done(answer);
      },
      GetContainerEvents: (call: ServerWritableStream<unknown, unknown>) => {
        call.write({ container_id: 'a' });
        call.write({ container_id: 'b' });
      },
    });
    const address = `unix://${join(directory, 's')}`;
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(address, ServerCredentials.createInsecure(), (err) => (err === null ? resolve() : reject(err))),
    );
    client = new Runtime(address, insecure, channelOptions);
  });
  afterEach(async () => {
    client.close();
    server.forceShutdown();
    await rm(directory, { recursive: true });
  });

  const check = (signal = never, timeoutMs?: number): Promise<unknown> =>
    unaryCall(client, 'Version', {}, { timeoutMs, signal });

  it('gives the answer', async () => {
    answer = 'fine';
    expect(await check()).toMatchObject({ runtime_name: 'fine' });
  });

  it.each([
    { code: grpcStatus.NOT_FOUND, is: isNotFound, goName: 'NotFound' },
    { code: grpcStatus.ALREADY_EXISTS, is: isConflict, goName: 'AlreadyExists' },
    { code: grpcStatus.ABORTED, is: isConflict, goName: 'Aborted' },
    { code: grpcStatus.UNAVAILABLE, is: isUnavailable, goName: 'Unavailable' },
    { code: grpcStatus.DEADLINE_EXCEEDED, is: isDeadline, goName: 'DeadlineExceeded' },
    { code: grpcStatus.UNIMPLEMENTED, is: isUnimplemented, goName: 'Unimplemented' },
    { code: grpcStatus.UNKNOWN, is: undefined, goName: 'Unknown' },
  ])('turns $goName into its kind and keeps its words', async ({ code, is, goName }) => {
    answer = { code, details: 'the words' };
    const failure = await check().then(
      () => undefined,
      (err: unknown) => err,
    );
    const kinds = [isNotFound, isConflict, isUnavailable, isDeadline, isUnimplemented].filter((kind) => kind(failure));
    expect(kinds).toEqual(is === undefined ? [] : [is]);
    expect(rpcText(failure)).toBe(`rpc error: code = ${goName} desc = the words`);
  });

  it('ends at its deadline', async () => {
    answer = undefined;
    expect(isDeadline(await check(never, 50).catch((err: unknown) => err))).toBe(true);
  });

  it('ends with its signal, for its reason', async () => {
    answer = undefined;
    const stop = new AbortController();
    const call = check(stop.signal);
    stop.abort(new Error('enough'));
    await expect(call).rejects.toThrow('enough');
    await expect(check(stop.signal)).rejects.toThrow('enough');
  });

  it('streams until its signal aborts', async () => {
    const stop = new AbortController();
    const seen: unknown[] = [];
    for await (const message of streamCall<{ container_id: string }>(client, 'GetContainerEvents', {}, stop.signal)) {
      seen.push(message.container_id);
      if (seen.length === 2) stop.abort();
    }
    expect(seen).toEqual(['a', 'b']);
  });

  it('says that a server is away', async () => {
    server.forceShutdown();
    answer = 'fine';
    const failure = await check(never, 2000).catch((err: unknown) => err);
    expect(isUnavailable(failure)).toBe(true);
  });

  it('says that there is no server, as Go does', async () => {
    const path = join(directory, 'none.sock');
    const nobody = new Runtime(`unix:${path}`, insecure, channelOptions);
    const failure = await unaryCall(nobody, 'Version', {}, { signal: never }).catch((err: unknown) => err);
    nobody.close();
    const why = `dial unix ${path}: connect: no such file or directory`;
    expect(rpcText(failure)).toBe(
      `rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: ${why}"`,
    );
  });
});
