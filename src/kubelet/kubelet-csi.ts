/** Volumes of CSI drivers, plugged together: drivers found by their sockets, called over them, made known to the API. */
import { existsSync } from 'node:fs';
import { Csi } from '../adapters/csi/csi.ts';
import type { Mounts } from '../adapters/mounts/mounts.ts';
import { PluginConnection } from '../adapters/plugin-registration/plugin-registration.ts';
import type { Clock } from '../base/clock.ts';
import { NotFoundError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { ApiClient } from '../client/api-client.ts';
import type { KubeletApi } from './kubelet-api.ts';
import type { PodEvents } from './pod-model.ts';
import type { CsiApi } from './support/csi/csi-need.ts';
import { NodeCsi } from './support/csi/csi-volumes.ts';
import { Plugins } from './support/plugins/plugins.ts';
import { ServiceAccountTokens } from './support/volumes/service-account-tokens.ts';

interface CsiContext {
  rootDir: string;
  nodeName: string;
  client: ApiClient | undefined;
  /** Undefined: standalone. */
  api: KubeletApi | undefined;
  mounts: Mounts;
  events: PodEvents;
  /** A driver has come. */
  onDriver(name: string): void;
  /** Whether the node is ready may have changed. */
  onProblems(): void;
  clock: Clock;
  room(name: string): Logger;
}

export function makeCsi(context: CsiContext): { csi: NodeCsi; plugins: Plugins } {
  const { rootDir, nodeName, client, api, mounts, events, onDriver, onProblems, clock, room } = context;
  const tokens = new ServiceAccountTokens({
    requestToken: async (wish, signal) => {
      if (api === undefined) throw new NotFoundError('Cannot request a token: this kubelet has no API server');
      return await api.requestToken(wish, signal);
    },
    clock,
  });
  const csi = new NodeCsi({
    rootDir,
    nodeName,
    api: client === undefined || api === undefined ? undefined : csiApi(client, api),
    csi: new Csi(),
    mounts,
    token: (question, signal) => tokens.issued(question, signal),
    forgetTokens: (podUid) => tokens.forget(podUid),
    hasLabels: existsSync('/sys/fs/selinux/enforce'),
    event: events.pod,
    onDriver,
    onProblems,
    clock,
    log: room('csi'),
  });
  const plugins = new Plugins({
    rootDir,
    connect: (socket, signal) => PluginConnection.open(socket, clock, signal),
    handlers: { CSIPlugin: csi.drivers },
    clock,
    log: room('plugins'),
  });
  return { csi, plugins };
}

function csiApi(client: ApiClient, api: KubeletApi): CsiApi {
  return {
    cachedDriver: (name) => api.csiDrivers.get({ name }),
    driver: (name, signal) => api.csiDriver(name, signal),
    secret: (namespace, name, signal) => api.secret(namespace, name, signal),
    attachment: (name, signal) => api.volumeAttachment(name, signal),
    readNode: (signal) => api.readNode(signal),
    objects: client,
  };
}
