/**
 * A gRPC server on a Unix socket that passes CRI calls on to a runtime behind it, fake or real, through a gate:
 *
 *     const middleman = await CriMiddleman.open(runtime.endpoint, '/tmp/x/middle.sock', new FaultGate());
 *     const held = middleman.gate.hold((step) => step.method === 'StartContainer', 'after');
 *     await held.whenHeld;                      // the container runs, and the kubelet does not know
 *     middleman.gate.shut(); …; await middleman.close();
 *
 * Messages pass as bytes; they are read only for the record. Which pod and container a call is about is learnt from
 * the configurations and lists that went through.
 */
import { rm } from 'node:fs/promises';
import {
  type GrpcClient,
  GrpcServer,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  channelOptions,
  grpcStatus,
  insecure,
  loadService,
  type sendUnaryData,
} from '../../src/base/grpc.ts';
import { FakeRpcError } from './fake-faults.ts';
import type { FaultGate, GateStep } from './fault-gate.ts';

const services = ['runtime.v1.RuntimeService', 'runtime.v1.ImageService'];
const podUidLabel = 'io.kubernetes.pod.uid';

/** As much of any request or response as names a pod or a container. */
interface Named {
  pod_sandbox_id?: string;
  container_id?: string;
  config?: { metadata?: { uid?: string; name?: string } | null } | null;
  sandbox_config?: { metadata?: { uid?: string } | null } | null;
  filter?: { label_selector?: Record<string, string>; id?: string } | null;
  items?: Array<{ id: string; metadata?: { uid?: string } | null }>;
  containers?: Array<{ id: string; labels?: Record<string, string>; metadata?: { name?: string } | null }>;
}

export class CriMiddleman {
  readonly gate: FaultGate;
  readonly socketPath: string;
  readonly #server: InstanceType<typeof GrpcServer>;
  readonly #clients: GrpcClient[] = [];
  readonly #podOfSandbox = new Map<string, string>();
  readonly #containers = new Map<string, { podUid: string | undefined; name: string | undefined }>();

  private constructor(socketPath: string, gate: FaultGate) {
    this.socketPath = socketPath;
    this.gate = gate;
    this.#server = new GrpcServer({ 'grpc.max_receive_message_length': 16 * 1024 * 1024 });
  }

  /** @param target `unix:///…`, the runtime */
  static async open(target: string, socketPath: string, gate: FaultGate): Promise<CriMiddleman> {
    const middleman = new CriMiddleman(socketPath, gate);
    for (const name of services) middleman.#serve(name, target);
    await rm(socketPath, { force: true });
    await new Promise<void>((resolve, reject) =>
      middleman.#server.bindAsync(`unix://${socketPath}`, ServerCredentials.createInsecure(), (err) =>
        err === null ? resolve() : reject(err),
      ),
    );
    return middleman;
  }

  get endpoint(): string {
    return `unix://${this.socketPath}`;
  }

  async close(): Promise<void> {
    this.#server.forceShutdown();
    for (const client of this.#clients) client.close();
    await rm(this.socketPath, { force: true });
  }

  #serve(name: string, target: string): void {
    const Service = loadService('cri-v1.proto', name);
    const client = new Service(target, insecure, channelOptions);
    this.#clients.push(client);
    const definition: Record<string, unknown> = {};
    const handlers: Parameters<InstanceType<typeof GrpcServer>['addService']>[1] = {};
    for (const [method, def] of Object.entries(Service.service)) {
      definition[method] = { ...def, requestDeserialize: asIs, responseSerialize: asIs };
      handlers[method] = def.responseStream
        ? (call: ServerWritableStream<Buffer, Buffer>) => this.#stream(client, def.path, method, call)
        : (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
            const read = (bytes: Buffer): Named => def.requestDeserialize(bytes) as Named; // a message of CRI
            const readAnswer = (bytes: Buffer): Named => def.responseDeserialize(bytes) as Named;
            void this.#unary(client, def.path, method, { read, readAnswer }, call, done); // answers failures, too
          };
    }
    this.#server.addService(definition as typeof Service.service, handlers); // the same methods, on bytes
  }

  async #unary(
    client: GrpcClient,
    path: string,
    method: string,
    { read, readAnswer }: { read: (bytes: Buffer) => Named; readAnswer: (bytes: Buffer) => Named },
    call: ServerUnaryCall<Buffer, Buffer>,
    done: sendUnaryData<Buffer>,
  ): Promise<void> {
    const request = read(call.request);
    const step: GateStep = { method, ...this.#about(request), request, state: 'asked' };
    const gone = Promise.withResolvers<never>();
    gone.promise.catch(() => {}); // the gate may not wait for it
    let cancel = (): void => {};
    call.on('cancelled', () => {
      gone.reject(new FakeRpcError('CANCELLED', 'context canceled'));
      cancel();
    });
    try {
      const answer = await this.gate.pass(step, gone.promise, async () => {
        const bytes = await new Promise<Buffer>((resolve, reject) => {
          const passed = client.makeUnaryRequest<Buffer, Buffer>(
            path,
            asIs,
            asIs,
            call.request,
            { deadline: call.getDeadline() },
            (err, value) => {
              if (err !== null) reject(err);
              else resolve(value ?? Buffer.alloc(0));
            },
          );
          cancel = () => passed.cancel();
        });
        this.#learn(step, request, readAnswer(bytes));
        return bytes;
      });
      done(null, answer);
    } catch (err) {
      done(toStatus(err));
    }
  }

  #stream(client: GrpcClient, path: string, method: string, call: ServerWritableStream<Buffer, Buffer>): void {
    const step: GateStep = { method, podUid: undefined, container: undefined, request: {}, state: 'asked' };
    const never = new Promise<never>(() => {});
    this.gate
      .pass(step, never, () => Promise.resolve(client.makeServerStreamRequest(path, asIs, asIs, call.request)))
      .then(
        (from) => {
          from.on('data', (bytes: Buffer) => {
            if (!this.gate.isShut) call.write(bytes);
          });
          from.on('error', (err: Error) => call.emit('error', toStatus(err)));
          from.on('end', () => call.end());
          call.on('cancelled', () => from.cancel());
        },
        (err: unknown) => call.emit('error', toStatus(err)),
      );
  }

  #about(request: Named): Pick<GateStep, 'podUid' | 'container'> {
    const { pod_sandbox_id: sandboxId = '', container_id: containerId = '', config, sandbox_config: of } = request;
    const known = this.#containers.get(containerId);
    const podUid =
      of?.metadata?.uid ??
      known?.podUid ??
      this.#podOfSandbox.get(sandboxId) ??
      config?.metadata?.uid ??
      request.filter?.label_selector?.[podUidLabel];
    const container = known?.name ?? (sandboxId !== '' ? config?.metadata?.name : undefined);
    return { podUid: podUid === '' ? undefined : podUid, container };
  }

  #learn({ method, podUid, container }: GateStep, request: Named, answer: Named): void {
    if (method === 'RunPodSandbox' && podUid !== undefined) {
      this.#podOfSandbox.set(answer.pod_sandbox_id ?? '', podUid);
    }
    if (method === 'CreateContainer') this.#containers.set(answer.container_id ?? '', { podUid, name: container });
    if (method === 'ListPodSandbox') {
      for (const { id, metadata } of answer.items ?? []) this.#podOfSandbox.set(id, metadata?.uid ?? '');
    }
    if (method === 'ListContainers') {
      for (const { id, labels, metadata } of answer.containers ?? []) {
        this.#containers.set(id, { podUid: labels?.[podUidLabel], name: metadata?.name });
      }
    }
  }
}

const asIs = (bytes: Buffer): Buffer => bytes;

function toStatus(err: unknown): { code: number; details: string } {
  if (err instanceof FakeRpcError) return { code: err.code, details: err.message };
  if (err instanceof Error && 'code' in err && 'details' in err) {
    const { code, details } = err as ServiceError; // what the runtime answered
    return { code, details };
  }
  return { code: grpcStatus.INTERNAL, details: String(err) };
}
