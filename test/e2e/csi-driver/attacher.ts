import type { KubeObject } from './kube-api.ts';
import { type RoleContext, core, storage, volumeSpec } from './role.ts';

interface Attachment {
  attacher: string;
  nodeName: string;
  source: { persistentVolumeName?: string };
}

/** Attaches volumes of this driver to nodes, and detaches them, as VolumeAttachments say. */
export async function runAttacher(context: RoleContext): Promise<never> {
  const { api, config } = context;
  const path = `${storage}/volumeattachments`;
  await api.follow([path], async () => {
    for (const attachment of await api.list(path)) {
      const spec = attachment.spec as unknown as Attachment; // the server has checked it
      if (spec.attacher !== config.name) continue;
      const isAttached = attachment.status?.['attached'] === true;
      if (attachment.metadata.deletionTimestamp !== undefined) await detach(context, attachment, spec);
      else if (!isAttached) await attach(context, attachment, spec);
    }
  });
  throw new Error('follow does not end');
}

const finalizerOf = (name: string): string => `external-attacher/${name.replaceAll('.', '-')}`;

async function nodeIdOf({ api, config }: RoleContext, nodeName: string): Promise<string | undefined> {
  const csiNode = await api.get(`${storage}/csinodes/${nodeName}`);
  const drivers = (csiNode?.spec?.['drivers'] ?? []) as Array<{ name: string; nodeID: string }>;
  return drivers.find(({ name }) => name === config.name)?.nodeID;
}

async function attach(context: RoleContext, { metadata }: KubeObject, spec: Attachment): Promise<void> {
  const { api, config, controller, log } = context;
  const path = `${storage}/volumeattachments/${metadata.name}`;
  const volume = await api.get(`${core}/persistentvolumes/${spec.source.persistentVolumeName ?? ''}`);
  const handle = volume === undefined ? undefined : volumeSpec(volume).csi?.volumeHandle;
  const nodeId = await nodeIdOf(context, spec.nodeName);
  if (handle === undefined || nodeId === undefined) return;
  const finalizers = metadata.finalizers ?? [];
  if (!finalizers.includes(finalizerOf(config.name))) {
    await api.patch(path, { metadata: { finalizers: [...finalizers, finalizerOf(config.name)] } });
  }
  const request = { volume_id: handle, node_id: nodeId };
  log.write({ method: 'ControllerPublishVolume', request });
  try {
    const { publish_context } = await controller.ControllerPublishVolume(request);
    await api.patch(`${path}/status`, {
      status: { attached: true, attachmentMetadata: publish_context, attachError: null },
    });
  } catch (err) {
    const attachError = { message: String(err), time: new Date().toISOString() };
    await api.patch(`${path}/status`, { status: { attached: false, attachError } });
  }
}

async function detach(context: RoleContext, { metadata }: KubeObject, spec: Attachment): Promise<void> {
  const { api, config, controller, log } = context;
  const mine = finalizerOf(config.name);
  const finalizers = metadata.finalizers ?? [];
  if (!finalizers.includes(mine)) return;
  const path = `${storage}/volumeattachments/${metadata.name}`;
  const volume = await api.get(`${core}/persistentvolumes/${spec.source.persistentVolumeName ?? ''}`);
  const request = {
    volume_id: volume === undefined ? '' : (volumeSpec(volume).csi?.volumeHandle ?? ''),
    node_id: (await nodeIdOf(context, spec.nodeName)) ?? '',
  };
  log.write({ method: 'ControllerUnpublishVolume', request });
  await controller.ControllerUnpublishVolume();
  await api.patch(`${path}/status`, { status: { attached: false } });
  await api.patch(path, { metadata: { finalizers: finalizers.filter((one) => one !== mine) } });
}
