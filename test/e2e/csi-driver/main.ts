/**
 * A small CSI driver as a program of its own: `node main.ts CONFIG.json`. It shares nothing with the product but the
 * files in `proto/`. Volumes are directories below `stateDir`, bind-mounted with mount(8); block volumes are files behind
 * loop devices. With `"noMounts": true` nothing is mounted and no root is needed: a published volume is then a directory
 * of its own, with a file `volume-id` in it. Every call is a line of JSON in `callLog`; `controlFile` switches faults on
 * and off while it runs (see faults.ts). With `kubeconfig` and `roles` it is its own provisioner, attacher or resizer.
 *
 * Ends with its standard input, so that nobody has to kill it.
 */
import { readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { runAttacher } from './attacher.ts';
import { CallLog } from './call-log.ts';
import { ControllerCalls } from './controller-calls.ts';
import type { DriverConfig } from './driver-config.ts';
import { Faults } from './faults.ts';
import { KubeApi } from './kube-api.ts';
import { NodeCalls } from './node-calls.ts';
import { runProvisioner } from './provisioner.ts';
import { runResizer } from './resizer.ts';
import { VolumeStore } from './volume-store.ts';

const [configFile = ''] = process.argv.slice(2);
const config = JSON.parse(await readFile(configFile, 'utf8')) as DriverConfig; // the test's
const log = new CallLog(config.callLog);
const faults = new Faults(config.controlFile);
const store = new VolumeStore(config.stateDir);
const node = new NodeCalls(config, store, faults);
const controller = new ControllerCalls(config, store);

const protoDir = join(import.meta.dirname, '..', '..', '..', 'proto');

function serviceOf(file: string, name: string): grpc.ServiceDefinition {
  const options = {
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
    includeDirs: [protoDir],
  };
  const definition = loadSync(file, options)[name];
  if (definition === undefined || 'format' in definition) throw new Error(`no service ${name} in ${file}`);
  return definition;
}

type Call = (request: never) => Promise<object>;

/** Each call is logged before it is carried out, and again when it has been answered. */
function implement(service: grpc.ServiceDefinition, calls: object): grpc.UntypedServiceImplementation {
  const methods = calls as Record<string, Call | undefined>; // their names are the protocol's
  return Object.fromEntries(
    Object.keys(service).map((method) => {
      const handle = async (request: object): Promise<object> => {
        const call = methods[method];
        if (call === undefined)
          throw Object.assign(new Error(`${method} is not here`), { code: grpc.status.UNIMPLEMENTED });
        log.write({ method, request });
        await faults.before(method);
        const answer = await call.call(calls, request as never);
        await faults.after(method);
        log.write({ method, answer });
        return answer;
      };
      const answer = async (request: object, done: grpc.sendUnaryData<object>): Promise<void> => {
        try {
          done(null, await handle(request));
        } catch (err) {
          const { message, code } = err as Error & { code?: number }; // ours, or a command's
          log.write({ method, error: message });
          done({ code: typeof code === 'number' ? code : grpc.status.INTERNAL, details: message });
        }
      };
      const unary: grpc.handleUnaryCall<object, object> = (call, done) => void answer(call.request, done);
      return [method, unary];
    }),
  );
}

const identity = {
  GetPluginInfo: async () => ({ name: config.name, vendor_version: config.versions.at(-1) ?? '1.0.0' }),
  GetPluginCapabilities: async () => ({
    capabilities: [{ service: { type: 'CONTROLLER_SERVICE' } }, { volume_expansion: { type: 'ONLINE' } }],
  }),
  Probe: async () => ({ ready: { value: true } }),
};
const registration = {
  GetInfo: async () => ({
    type: config.pluginType ?? 'CSIPlugin',
    name: config.name,
    endpoint: config.socket,
    supported_versions: config.versions,
  }),
  NotifyRegistrationStatus: async () => ({}),
};

async function serve(
  socket: string,
  parts: ReadonlyArray<[file: string, service: string, calls: object]>,
): Promise<grpc.Server> {
  const server = new grpc.Server();
  for (const [file, name, calls] of parts) {
    const service = serviceOf(file, name);
    server.addService(service, implement(service, calls));
  }
  await rm(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (err) =>
      err === null ? resolve() : reject(err),
    );
  });
  return server;
}

const servers = [
  await serve(config.socket, [
    ['csi-v1.proto', 'csi.v1.Identity', identity],
    ['csi-v1.proto', 'csi.v1.Node', node],
    ['csi-v1.proto', 'csi.v1.Controller', controller],
  ]),
];
if (config.registrationSocket !== undefined) {
  servers.push(
    await serve(config.registrationSocket, [
      ['plugin-registration.proto', 'pluginregistration.Registration', registration],
    ]),
  );
}

const roles = { provisioner: runProvisioner, attacher: runAttacher, resizer: runResizer };
if (config.kubeconfig !== undefined) {
  const api = await KubeApi.open(config.kubeconfig);
  for (const role of config.roles ?? []) {
    void roles[role]({ api, config, controller, log }).catch((err: unknown) => {
      log.write({ method: role, error: String(err) });
      process.exit(1);
    });
  }
}
log.write({ method: 'ready', dir: dirname(config.socket) });

process.stdin.resume();
process.stdin.on('close', () => {
  for (const server of servers) server.forceShutdown();
  process.exit(0);
});
