/**
 * CSI drivers of the node, over CSI v1. Keeps nothing: each call has a connection of its own, so that a driver that is
 * replaced behind its socket is found at once. Turns 64-bit strings and nested messages into our own shapes. Decides
 * nothing, and puts nothing of a request into an error: requests carry secrets.
 */
import { channelOptions, insecure, loadService, unaryCall } from '../../base/grpc.ts';
import type { NodeExpandVolumeRequest } from './generated/csi/v1/NodeExpandVolumeRequest.ts';
import type { NodeGetCapabilitiesResponse__Output } from './generated/csi/v1/NodeGetCapabilitiesResponse.ts';
import type { NodeGetInfoResponse__Output } from './generated/csi/v1/NodeGetInfoResponse.ts';
import type { NodeGetVolumeStatsRequest } from './generated/csi/v1/NodeGetVolumeStatsRequest.ts';
import type { NodeGetVolumeStatsResponse__Output } from './generated/csi/v1/NodeGetVolumeStatsResponse.ts';
import type { NodePublishVolumeRequest } from './generated/csi/v1/NodePublishVolumeRequest.ts';
import type { NodeStageVolumeRequest } from './generated/csi/v1/NodeStageVolumeRequest.ts';
import type { NodeUnpublishVolumeRequest } from './generated/csi/v1/NodeUnpublishVolumeRequest.ts';
import type { NodeUnstageVolumeRequest } from './generated/csi/v1/NodeUnstageVolumeRequest.ts';
import type { VolumeCapability } from './generated/csi/v1/VolumeCapability.ts';
import type { VolumeUsage__Output } from './generated/csi/v1/VolumeUsage.ts';

export type CsiCapability = VolumeCapability;
export type CsiAccessMode = NonNullable<NonNullable<VolumeCapability['access_mode']>['mode']>;

/** What a driver's node service says that it can do, by CSI's names: `STAGE_UNSTAGE_VOLUME` … */
export type CsiNodeCapabilities = ReadonlySet<string>;

export interface CsiNodeInfo {
  nodeId: string;
  /** 0 and less: the driver does not limit it. */
  maxVolumes: number;
  topology: Record<string, string>;
}

export interface CsiUsage {
  unit: string;
  available: number;
  total: number;
  used: number;
}

/** A driver is given this long for everything that it is asked. */
const callTimeoutMs = 120_000;

/** What a driver says is small; a longer answer is no answer. Channels of other calls to the same socket are not shared. */
const ownChannel = {
  ...channelOptions,
  'grpc.max_receive_message_length': 4 * 1024 * 1024,
  'grpc.use_local_subchannel_pool': 1,
};

export class Csi {
  readonly #timeoutMs: number;
  #Node: ReturnType<typeof loadService> | undefined;

  constructor({ timeoutMs = callTimeoutMs }: { timeoutMs?: number } = {}) {
    this.#timeoutMs = timeoutMs;
  }

  async nodeInfo(socket: string, signal: AbortSignal): Promise<CsiNodeInfo> {
    const answer = await this.#call<NodeGetInfoResponse__Output>(socket, 'NodeGetInfo', {}, signal);
    return {
      nodeId: answer.node_id,
      maxVolumes: toNumber(answer.max_volumes_per_node),
      topology: answer.accessible_topology?.segments ?? {},
    };
  }

  async nodeCapabilities(socket: string, signal: AbortSignal): Promise<CsiNodeCapabilities> {
    const answer = await this.#call<NodeGetCapabilitiesResponse__Output>(socket, 'NodeGetCapabilities', {}, signal);
    return new Set(answer.capabilities.map(({ rpc }) => rpc?.type ?? 'UNKNOWN'));
  }

  async stage(socket: string, request: NodeStageVolumeRequest, signal: AbortSignal): Promise<void> {
    await this.#call(socket, 'NodeStageVolume', request, signal);
  }

  async unstage(socket: string, request: NodeUnstageVolumeRequest, signal: AbortSignal): Promise<void> {
    await this.#call(socket, 'NodeUnstageVolume', request, signal);
  }

  async publish(socket: string, request: NodePublishVolumeRequest, signal: AbortSignal): Promise<void> {
    await this.#call(socket, 'NodePublishVolume', request, signal);
  }

  async unpublish(socket: string, request: NodeUnpublishVolumeRequest, signal: AbortSignal): Promise<void> {
    await this.#call(socket, 'NodeUnpublishVolume', request, signal);
  }

  async expand(socket: string, request: NodeExpandVolumeRequest, signal: AbortSignal): Promise<void> {
    await this.#call(socket, 'NodeExpandVolume', request, signal);
  }

  async stats(socket: string, request: NodeGetVolumeStatsRequest, signal: AbortSignal): Promise<CsiUsage[]> {
    const answer = await this.#call<NodeGetVolumeStatsResponse__Output>(socket, 'NodeGetVolumeStats', request, signal);
    return answer.usage.map((one) => toUsage(one));
  }

  async #call<Res>(socket: string, method: string, request: unknown, signal: AbortSignal): Promise<Res> {
    this.#Node ??= loadService('csi-v1.proto', 'csi.v1.Node');
    const client = new this.#Node(`unix:${socket}`, insecure, ownChannel);
    try {
      return await unaryCall<Res>(client, method, request, { timeoutMs: this.#timeoutMs, signal });
    } finally {
      client.close();
    }
  }
}

const toUsage = ({ unit, available, total, used }: VolumeUsage__Output): CsiUsage => ({
  unit,
  available: toNumber(available),
  total: toNumber(total),
  used: toNumber(used),
});

/** A number that is too large for us to count is as good as the largest. */
function toNumber(text: string): number {
  const value = Number(text);
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(value, Number.MAX_SAFE_INTEGER));
}
