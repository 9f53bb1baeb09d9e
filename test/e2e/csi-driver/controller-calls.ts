import grpc from '@grpc/grpc-js';
import type { Capability, DriverConfig } from './driver-config.ts';
import type { VolumeStore } from './volume-store.ts';

const smallestBytes = 1024 * 1024;

/** The Controller service. Volume ids are made of the names that volumes are asked for with: asking twice is once. */
export class ControllerCalls {
  readonly #config: DriverConfig;
  readonly #store: VolumeStore;

  constructor(config: DriverConfig, store: VolumeStore) {
    this.#config = config;
    this.#store = store;
  }

  async ControllerGetCapabilities(): Promise<object> {
    const types = ['CREATE_DELETE_VOLUME', 'PUBLISH_UNPUBLISH_VOLUME', 'EXPAND_VOLUME', 'SINGLE_NODE_MULTI_WRITER'];
    return { capabilities: types.map((type) => ({ rpc: { type } })) };
  }

  async CreateVolume({
    name,
    capacity_range,
    volume_capabilities,
    parameters,
  }: {
    name: string;
    capacity_range?: { required_bytes: string } | null;
    volume_capabilities: Capability[];
    parameters: Record<string, string>;
  }): Promise<{ volume: { volume_id: string; capacity_bytes: string; volume_context: Record<string, string> } }> {
    const id = `vol-${name}`;
    const capacityBytes = Math.max(Number(capacity_range?.required_bytes ?? 0), smallestBytes);
    const isBlock = volume_capabilities.some(({ block }) => block !== undefined && block !== null);
    if (this.#store.get(id) === undefined) this.#store.create({ id, capacityBytes, isBlock, isEphemeral: false });
    const { topology } = this.#config;
    return {
      volume: {
        volume_id: id,
        capacity_bytes: String(capacityBytes),
        volume_context: parameters,
        ...(topology === undefined ? {} : { accessible_topology: [{ segments: topology }] }),
      },
    };
  }

  async DeleteVolume({ volume_id }: { volume_id: string }): Promise<object> {
    this.#store.remove(volume_id);
    return {};
  }

  async ControllerPublishVolume({ volume_id, node_id }: { volume_id: string; node_id: string }): Promise<{
    publish_context: Record<string, string>;
  }> {
    if (this.#store.get(volume_id) === undefined)
      throw Object.assign(new Error(`volume ${volume_id} does not exist`), { code: grpc.status.NOT_FOUND });
    return { publish_context: { device: `${node_id}/${volume_id}` } };
  }

  async ControllerUnpublishVolume(): Promise<object> {
    return {};
  }

  async ControllerExpandVolume({
    volume_id,
    capacity_range,
  }: {
    volume_id: string;
    capacity_range: { required_bytes: string };
  }): Promise<{ capacity_bytes: string; node_expansion_required: boolean }> {
    const volume = this.#store.get(volume_id);
    if (volume === undefined)
      throw Object.assign(new Error(`volume ${volume_id} does not exist`), { code: grpc.status.NOT_FOUND });
    // the file system on it grows on the node
    return { capacity_bytes: capacity_range.required_bytes, node_expansion_required: true };
  }
}
