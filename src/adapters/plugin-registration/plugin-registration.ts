/** Plugins of the node on their registration sockets. Owns one connection for as long as a registration takes. */
import { type GrpcClient, channelOptions, insecure, loadService, unaryCall } from '../../base/grpc.ts';
import type { Clock } from '../../base/clock.ts';
import { closedByDeadline } from '../../base/deadline.ts';
import type { PluginInfo__Output } from './generated/pluginregistration/PluginInfo.ts';

export interface PluginInfo {
  /** `CSIPlugin` … */
  type: string;
  name: string;
  /** The socket of the plugin's services; empty: the registration socket itself. */
  endpoint: string;
  versions: readonly string[];
}

const dialMs = 10_000;
const getInfoMs = 1000;
const notifyMs = 5000;

/** What a plugin says of itself is short; a longer answer is no answer. */
const ownChannel = {
  ...channelOptions,
  'grpc.max_receive_message_length': 256 * 1024,
  'grpc.use_local_subchannel_pool': 1,
};

export class PluginConnection implements Disposable {
  readonly #client: GrpcClient;

  private constructor(client: GrpcClient) {
    this.#client = client;
  }

  /** @throws {DeadlineError} when nobody listens on the socket */
  static async open(socket: string, clock: Clock, signal: AbortSignal): Promise<PluginConnection> {
    const Registration = loadService('plugin-registration.proto', 'pluginregistration.Registration');
    const client = new Registration(`unix:${socket}`, insecure, ownChannel);
    try {
      await closedByDeadline<void>(`connecting to "${socket}"`, dialMs, clock, signal, (resolve, reject) => {
        // our own clock says when it is enough
        client.waitForReady(Infinity, (err) => (err === undefined ? resolve() : reject(err)));
        return () => {};
      });
      return new PluginConnection(client);
    } catch (err) {
      client.close();
      throw err;
    }
  }

  async info(signal: AbortSignal): Promise<PluginInfo> {
    const answer = await unaryCall<PluginInfo__Output>(this.#client, 'GetInfo', {}, { timeoutMs: getInfoMs, signal });
    return { type: answer.type, name: answer.name, endpoint: answer.endpoint, versions: answer.supported_versions };
  }

  /** @param error why it was not registered; undefined: it was */
  async notify(error: string | undefined, signal: AbortSignal): Promise<void> {
    const status = { plugin_registered: error === undefined, error: error ?? '' };
    await unaryCall(this.#client, 'NotifyRegistrationStatus', status, { timeoutMs: notifyMs, signal });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
