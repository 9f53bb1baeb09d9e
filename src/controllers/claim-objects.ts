/**
 * Which objects belong to an owner: those that it controls and that its selector matches, and orphans that match, which
 * are adopted. Those that match no more are released.
 */
import { isNotFound } from '../base/errors.ts';
import { type ApiClient, type KubeObject, type ResourceType, apiStatus } from '../client/api-client.ts';
import { type LabelRequirement, labelSelectorRequirements, matchesRequirements } from '../objects/label-selector.ts';
import type { LabelSelector } from '../objects/generated/meta-v1.ts';
import { controllerOf, controllerReference } from './owner-references.ts';

export type Claim = 'keep' | 'adopt' | 'release' | 'ignore';

/** Pure: what to do about one candidate of the same namespace. */
export function decideClaim(owner: KubeObject, selector: readonly LabelRequirement[], object: KubeObject): Claim {
  const controller = controllerOf(object);
  const matches = matchesRequirements(selector, object.metadata.labels);
  const ownerIsGoing = owner.metadata.deletionTimestamp !== undefined;
  if (controller !== undefined) {
    if (controller.uid !== owner.metadata.uid) return 'ignore';
    if (matches) return 'keep';
    return ownerIsGoing ? 'ignore' : 'release';
  }
  const isFree = matches && selector.length > 0 && object.metadata.deletionTimestamp === undefined;
  return isFree && !ownerIsGoing ? 'adopt' : 'ignore';
}

/** Keeps, adopts and releases, and returns what belongs to the owner now. */
export async function claimObjects<O extends KubeObject, T extends KubeObject>(
  client: Pick<ApiClient, 'get' | 'patch'>,
  ownerType: ResourceType<O>,
  owner: O,
  selector: LabelSelector,
  type: ResourceType<T>,
  candidates: readonly T[],
  signal: AbortSignal,
): Promise<T[]> {
  const requirements = labelSelectorRequirements(selector) ?? [];
  const claimed: T[] = [];
  let mayAdopt = false;
  for (const object of candidates) {
    const { name, namespace, uid } = object.metadata;
    switch (decideClaim(owner, requirements, object)) {
      case 'keep':
        claimed.push(object);
        break;
      case 'adopt': {
        if (!mayAdopt) await assertAlive(client, ownerType, owner, type, signal);
        mayAdopt = true;
        const ownerReferences = [controllerReference(ownerType, owner)];
        const adopted = await client.patch(
          type,
          { namespace, name },
          'strategic',
          { metadata: { uid, ownerReferences } },
          signal,
        );
        claimed.push(adopted);
        break;
      }
      case 'release':
        await release(client, type, object, owner.metadata.uid ?? '', signal);
        break;
      case 'ignore':
        break;
    }
  }
  return claimed;
}

/** What we know of the owner may be old: one look at the live one before its first adoption. */
async function assertAlive<O extends KubeObject>(
  client: Pick<ApiClient, 'get'>,
  ownerType: ResourceType<O>,
  owner: O,
  type: ResourceType<KubeObject>,
  signal: AbortSignal,
): Promise<void> {
  const live = await client.get(ownerType, owner.metadata, signal);
  if (live.metadata.uid !== owner.metadata.uid || live.metadata.deletionTimestamp !== undefined) {
    throw new Error(`Cannot adopt ${type.plural} for ${ownerType.kind} "${owner.metadata.name}": it is gone or going`);
  }
}

async function release<T extends KubeObject>(
  client: Pick<ApiClient, 'patch'>,
  type: ResourceType<T>,
  { metadata }: T,
  ownerUid: string,
  signal: AbortSignal,
): Promise<void> {
  const body = { metadata: { uid: metadata.uid, ownerReferences: [{ $patch: 'delete', uid: ownerUid }] } };
  try {
    await client.patch(type, metadata, 'strategic', body, signal);
  } catch (err) {
    if (!isNotFound(err) && apiStatus(err)?.reason !== 'Invalid') throw err; // gone, or somebody was faster
  }
}
