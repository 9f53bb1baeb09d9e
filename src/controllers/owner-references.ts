/** Who controls an object. Pure. */
import type { KubeObject, ResourceType } from '../client/api-client.ts';
import type { OwnerReference } from '../objects/generated/meta-v1.ts';

export function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true);
}

/** The reference that a controller writes into what it makes for `owner`. */
export function controllerReference<T extends KubeObject>(type: ResourceType<T>, { metadata }: T): OwnerReference {
  return {
    apiVersion: type.prefix.replace(/^\/(?:apis|api)\//, ''),
    kind: type.kind,
    name: metadata.name,
    uid: metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Index function: the uid of the controller, or `orphan:<namespace>`. */
export function byController(object: KubeObject): string[] {
  const controller = controllerOf(object);
  return [controller === undefined ? orphansOf(object.metadata.namespace) : controller.uid];
}

export function orphansOf(namespace: string | undefined): string {
  return `orphan:${namespace ?? ''}`;
}
