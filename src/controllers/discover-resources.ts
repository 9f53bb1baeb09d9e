/** The resource types that a server has, in the version of each group that it prefers. */
import { describeError } from '../base/errors.ts';
import type { ApiClient, KubeObject, ResourceType } from '../client/api-client.ts';
import type { APIGroupList, APIResourceList } from '../objects/generated/meta-v1.ts';

export interface DiscoveredResource extends ResourceType<KubeObject> {
  readonly verbs: readonly string[];
  readonly group: string;
}

export interface Discovery {
  resources: DiscoveredResource[];
  /** Groups whose resources could not be asked for, with the reason. */
  failures: Array<{ groupVersion: string; reason: string }>;
}

export async function discoverResources(client: Pick<ApiClient, 'raw'>, signal: AbortSignal): Promise<Discovery> {
  const groups = await client.raw<APIGroupList>('GET', '/apis', undefined, signal);
  const places = [{ prefix: '/api/v1', group: '' }];
  for (const { name, preferredVersion, versions } of groups.groups) {
    const groupVersion = preferredVersion?.groupVersion ?? versions[0]?.groupVersion;
    if (groupVersion !== undefined) places.push({ prefix: `/apis/${groupVersion}`, group: name });
  }
  const discovery: Discovery = { resources: [], failures: [] };
  for (const { prefix, group } of places) {
    try {
      const list = await client.raw<APIResourceList>('GET', prefix, undefined, signal);
      for (const { name, kind, namespaced, verbs } of list.resources) {
        if (name.includes('/')) continue;
        discovery.resources.push({ prefix, group, plural: name, kind, namespaced, verbs: verbs ?? [] });
      }
    } catch (err) {
      if (signal.aborted) throw err;
      discovery.failures.push({ groupVersion: prefix.replace(/^\/apis?\//, ''), reason: describeError(err) });
    }
  }
  return discovery;
}
