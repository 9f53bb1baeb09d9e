import type { CallLog } from './call-log.ts';
import type { ControllerCalls } from './controller-calls.ts';
import type { DriverConfig } from './driver-config.ts';
import type { KubeApi, KubeObject } from './kube-api.ts';

export interface RoleContext {
  api: KubeApi;
  config: DriverConfig;
  controller: ControllerCalls;
  log: CallLog;
}

export const core = '/api/v1';
export const storage = '/apis/storage.k8s.io/v1';

export interface ClaimSpec {
  storageClassName?: string;
  volumeName?: string;
  volumeMode?: string;
  accessModes: string[];
  resources: { requests: { storage: string } };
}

export interface VolumeSpec {
  capacity: { storage: string };
  volumeMode?: string;
  persistentVolumeReclaimPolicy?: string;
  csi?: { driver: string; volumeHandle: string; volumeAttributes?: Record<string, string> };
  claimRef?: { namespace: string; name: string; uid: string };
}

export const claimSpec = ({ spec }: KubeObject): ClaimSpec => spec as unknown as ClaimSpec; // the server has checked it
export const volumeSpec = ({ spec }: KubeObject): VolumeSpec => spec as unknown as VolumeSpec;

const units: Record<string, number> = { '': 1, k: 1e3, M: 1e6, G: 1e9, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };

export function bytesOf(quantity: string): number {
  const [, number = '', unit = ''] = /^(\d+)([A-Za-z]*)$/.exec(quantity) ?? [];
  const factor = units[unit];
  if (factor === undefined) throw new Error(`cannot read the quantity ${quantity}`);
  return Number(number) * factor;
}
