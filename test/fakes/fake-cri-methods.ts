/** The CRI methods that the fake has, each a translation between messages and the runtime in memory. */
import { dirname } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { ContainerEventResponse } from '../../src/adapters/cri/generated/runtime/v1/ContainerEventResponse.ts';
import type { ContainerStats } from '../../src/adapters/cri/generated/runtime/v1/ContainerStats.ts';
import type { ImageServiceDefinition } from '../../src/adapters/cri/generated/runtime/v1/ImageService.ts';
import type { RuntimeServiceDefinition } from '../../src/adapters/cri/generated/runtime/v1/RuntimeService.ts';
import {
  type GrpcServer,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  grpcStatus,
} from '../../src/base/grpc.ts';
import {
  type FakeContainer,
  hasLabels,
  toContainer,
  toContainerStatus,
  toSandbox,
  toSandboxStatus,
} from './fake-containers.ts';
import type { FakeCri } from './fake-cri.ts';
import { FakeRpcError } from './fake-faults.ts';
import { toCriImage } from './fake-images.ts';

/** What a method gets and gives, read off the generated service definition. */
type Unary<Method> = Method extends {
  requestDeserialize: (bytes: Buffer) => infer Req;
  responseSerialize: (value: infer Res) => Buffer;
}
  ? (request: Req) => Res | Promise<Res>
  : never;
type Methods<Definition> = { [Name in keyof Definition]?: Unary<Definition[Name]> };

type Handlers = Parameters<InstanceType<typeof GrpcServer>['addService']>[1];

export function runtimeMethods(cri: FakeCri): Handlers {
  const { runtime } = cri;
  const methods: Methods<Omit<RuntimeServiceDefinition, 'GetContainerEvents'>> = {
    Version: () => ({
      version: '0.1.0',
      runtime_name: 'fake-containerd',
      runtime_version: '1.6.20',
      runtime_api_version: 'v1',
    }),
    Status: () => ({
      status: {
        conditions: [
          cri.isRuntimeReady
            ? { type: 'RuntimeReady', status: true }
            : { type: 'RuntimeReady', status: false, reason: 'RuntimeDown', message: 'the runtime is not ready' },
          cri.isNetworkReady
            ? { type: 'NetworkReady', status: true }
            : {
                type: 'NetworkReady',
                status: false,
                reason: 'NetworkPluginNotReady',
                message: 'Network plugin returns error: cni plugin not initialized',
              },
        ],
      },
      runtime_handlers: (cri.options.handlers ?? []).map(
        ({ name, userNamespaces = false, recursiveReadOnlyMounts = false }) => ({
          name,
          features: { user_namespaces: userNamespaces, recursive_read_only_mounts: recursiveReadOnlyMounts },
        }),
      ),
    }),
    UpdateRuntimeConfig: ({ runtime_config: config }) => {
      cri.setPodCidr(config?.network_config?.pod_cidr ?? '');
      return {};
    },
    RuntimeConfig: () => {
      if (cri.options.cgroupDriver === undefined) throw unknownMethod('RuntimeConfig');
      return { linux: { cgroup_driver: cri.options.cgroupDriver } };
    },

    RunPodSandbox: ({ config, runtime_handler: handler }) => {
      if (config === null) throw new FakeRpcError('UNKNOWN', 'sandbox config must be set');
      const id = runtime.runSandbox(config, handler);
      if (cri.sandboxFailure === undefined) return { pod_sandbox_id: id };
      runtime.killSandbox(id);
      throw new FakeRpcError('UNKNOWN', cri.sandboxFailure);
    },
    StopPodSandbox: ({ pod_sandbox_id: id }) => {
      runtime.stopSandbox(id);
      return {};
    },
    RemovePodSandbox: ({ pod_sandbox_id: id }) => {
      runtime.removeSandbox(id);
      return {};
    },
    PodSandboxStatus: ({ pod_sandbox_id: id }) => ({ status: toSandboxStatus(runtime.sandbox(id)) }),
    ListPodSandbox: ({ filter }) => ({
      items: [...runtime.sandboxes.values()]
        .map(toSandbox)
        .filter(
          (item) =>
            (!filter?.id || item.id === filter.id) &&
            (!filter?.state || item.state === filter.state.state) &&
            hasLabels(item.labels ?? {}, filter?.label_selector ?? {}),
        ),
    }),

    CreateContainer: ({ pod_sandbox_id: sandboxId, config }) => {
      if (config === null) throw new FakeRpcError('UNKNOWN', 'container config must be set');
      return { container_id: runtime.createContainer(sandboxId, config) };
    },
    StartContainer: async ({ container_id: id }) => {
      await runtime.startContainer(id);
      return {};
    },
    StopContainer: async ({ container_id: id, timeout }) => {
      await runtime.stopContainer(id, Number(timeout));
      return {};
    },
    RemoveContainer: ({ container_id: id }) => {
      runtime.removeContainer(id);
      return {};
    },
    ListContainers: ({ filter }) => ({
      containers: [...runtime.containers.values()]
        .map(toContainer)
        .filter(
          (item) =>
            (!filter?.id || item.id === filter.id) &&
            (!filter?.state || item.state === filter.state.state) &&
            (!filter?.pod_sandbox_id || item.pod_sandbox_id === filter.pod_sandbox_id) &&
            hasLabels(item.labels ?? {}, filter?.label_selector ?? {}),
        ),
    }),
    ContainerStatus: ({ container_id: id }) => ({ status: toContainerStatus(runtime.container(id), cri.fields) }),
    UpdateContainerResources: ({ container_id: id }) => {
      runtime.container(id);
      return {};
    },
    ReopenContainerLog: async ({ container_id: id }) => {
      await runtime.reopenLog(id);
      return {};
    },
    ExecSync: async ({ container_id: id, cmd, timeout }) => {
      const result = await cri.exec(id, cmd);
      if (result === undefined) return await neverEnds(cri, id, Number(timeout));
      return {
        exit_code: result.exitCode,
        stdout: Buffer.from(result.stdout ?? ''),
        stderr: Buffer.from(result.stderr ?? ''),
      };
    },
    Exec: ({ container_id: id }) => ({ url: streamUrl(cri, 'exec', runtime.container(id).id) }),
    Attach: ({ container_id: id }) => ({ url: streamUrl(cri, 'attach', runtime.container(id).id) }),
    PortForward: ({ pod_sandbox_id: id }) => ({ url: streamUrl(cri, 'portforward', runtime.sandbox(id).id) }),

    ContainerStats: ({ container_id: id }) => ({ stats: statsOf(cri, runtime.container(id)) }),
    ListContainerStats: ({ filter }) => ({
      stats: [...runtime.containers.values()]
        .filter(
          (container) =>
            container.state === 'running' &&
            (!filter?.id || container.id === filter.id) &&
            (!filter?.pod_sandbox_id || container.sandboxId === filter.pod_sandbox_id) &&
            hasLabels(container.config.labels, filter?.label_selector ?? {}),
        )
        .map((container) => statsOf(cri, container)),
    }),
  };
  return {
    ...handlersOf(cri, methods),
    GetContainerEvents: (call: ServerWritableStream<unknown, ContainerEventResponse>) => {
      cri.faults.pass('GetContainerEvents', call.request, cri.clock.nowMs(), cancellation(call)).then(
        () => {
          if (cri.hasEvents) cri.listen(call);
          else
            call.emit(
              'error',
              toStatus(new FakeRpcError('UNIMPLEMENTED', 'method GetContainerEvents not implemented')),
            );
        },
        (err: unknown) => call.emit('error', toStatus(err)),
      );
    },
  };
}

export function imageMethods(cri: FakeCri): Handlers {
  const { images } = cri;
  const methods: Methods<ImageServiceDefinition> = {
    ListImages: ({ filter }) => ({
      images: images
        .list()
        .filter((image) => !filter?.image?.image || images.find(filter.image.image) === image)
        .map(toCriImage),
    }),
    ImageStatus: ({ image }) => {
      const found = images.find(image?.image ?? '');
      return { image: found === undefined ? null : toCriImage(found) };
    },
    PullImage: ({ image }) => ({ image_ref: images.pull(image?.image ?? '') }),
    RemoveImage: ({ image }) => {
      images.remove(image?.image ?? '');
      return {};
    },
    ImageFsInfo: () => ({
      image_filesystems: [
        {
          timestamp: String(BigInt(Math.round(cri.clock.nowMs())) * 1_000_000n),
          fs_id: { mountpoint: dirname(cri.socketPath) }, // one that is there
          used_bytes: { value: images.list().reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) },
          inodes_used: { value: images.list().length },
        },
      ],
    }),
  };
  return handlersOf(cri, methods);
}

/** Every method notes its call, fails or hangs as planned, and answers with gRPC's codes. */
function handlersOf<Definition>(cri: FakeCri, methods: Methods<Definition>): Handlers {
  const handlers: Handlers = {};
  // the handlers of a service differ in their messages only, which gRPC has checked by the descriptor
  for (const [name, method] of Object.entries(methods) as Array<[string, (request: unknown) => unknown]>) {
    handlers[name] = (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>) => {
      void serve(cri, name, method, call, done); // answers failures, too
    };
  }
  return handlers;
}

async function serve(
  cri: FakeCri,
  name: string,
  method: (request: unknown) => unknown,
  call: ServerUnaryCall<unknown, unknown>,
  done: sendUnaryData<unknown>,
): Promise<void> {
  let response: unknown;
  try {
    await cri.faults.pass(name, call.request, cri.clock.nowMs(), cancellation(call));
    response = await method(call.request);
  } catch (err) {
    done(toStatus(err));
    return;
  }
  done(null, response);
}

function cancellation(call: { on(event: 'cancelled', listener: () => void): unknown }): Promise<void> {
  return new Promise((resolve) => call.on('cancelled', resolve));
}

function toStatus(err: unknown): { code: number; details: string } {
  if (err instanceof FakeRpcError) return { code: err.code, details: err.message };
  return { code: grpcStatus.INTERNAL, details: `the fake runtime is broken: ${String(err)}` };
}

function unknownMethod(method: string): FakeRpcError {
  return new FakeRpcError('UNIMPLEMENTED', `unknown method ${method} for service runtime.v1.RuntimeService`);
}

function streamUrl(cri: FakeCri, kind: string, id: string): string {
  if (cri.options.streamingUrl === undefined) {
    throw new FakeRpcError('UNAVAILABLE', 'the fake runtime has no streaming server: set `streamingUrl`');
  }
  return `${cri.options.streamingUrl}/${kind}/${id}-${randomBytes(4).toString('hex')}`;
}

/** A command that does not end: until its deadline, or with its container. */
async function neverEnds(cri: FakeCri, id: string, timeoutSeconds: number): Promise<never> {
  const { ended } = cri.runtime.container(id);
  if (timeoutSeconds === 0)
    await new Promise<void>((resolve) => ended.signal.addEventListener('abort', () => resolve()));
  else await cri.clock.sleep(timeoutSeconds * 1000, ended.signal);
  if (ended.signal.aborted) throw new FakeRpcError('UNKNOWN', 'failed to exec in container: the container has ended');
  throw new FakeRpcError(
    'DEADLINE_EXCEEDED',
    `failed to exec in container: timeout ${timeoutSeconds}s exceeded: context deadline exceeded`,
  );
}

function statsOf(cri: FakeCri, container: FakeContainer): ContainerStats {
  const timestamp = String(BigInt(Math.round(cri.clock.nowMs())) * 1_000_000n);
  const { cpuCoreNanoSeconds, workingSetBytes } = cri.statsOf(container.id);
  return {
    attributes: {
      id: container.id,
      metadata: container.config.metadata,
      labels: container.config.labels,
      annotations: container.config.annotations,
    },
    cpu: { timestamp, usage_core_nano_seconds: { value: cpuCoreNanoSeconds } },
    memory: { timestamp, working_set_bytes: { value: workingSetBytes } },
    writable_layer: { timestamp, used_bytes: { value: 0 }, inodes_used: { value: 0 } },
  };
}
