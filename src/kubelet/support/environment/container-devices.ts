/** Block devices that a container gets of its pod's volumes. */
import { lstat } from 'node:fs/promises';
import type { Device } from '../../../adapters/cri/generated/runtime/v1/Device.ts';
import type { Container } from '../../../objects/generated/core-v1.ts';

/**
 * @param volumes what the pod's volumes are on the host: of a block volume the link to its device
 * @throws {Error} in upstream's words
 */
export async function makeContainerDevices(
  { name, volumeDevices = [] }: Pick<Container, 'name' | 'volumeDevices'>,
  volumes: ReadonlyMap<string, { hostPath: string; readOnly: boolean; isBlock?: boolean }>,
): Promise<Device[]> {
  const devices: Device[] = [];
  for (const device of volumeDevices) {
    if (!device.devicePath.startsWith('/'))
      throw new Error(`error DevicePath \`${device.devicePath}\` must be an absolute path`);
    const volume = volumes.get(device.name);
    if (volume?.isBlock !== true)
      throw new Error(`cannot find volume "${device.name}" to pass into container "${name}"`);
    // as upstream: a link that somebody has removed is no reason not to start
    const isThere = await lstat(volume.hostPath).then(
      () => true,
      () => false,
    );
    if (!isThere) continue;
    devices.push({
      container_path: device.devicePath,
      host_path: volume.hostPath,
      permissions: volume.readOnly ? 'r' : 'mrw',
    });
  }
  return devices;
}
