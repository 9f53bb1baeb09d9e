/** The `scale` view: replicas and nothing else, alike for all kinds that have them. */
import type { Scale } from '../../objects/generated/autoscaling-v1.ts';
import type { LabelSelector } from '../../objects/generated/meta-v1.ts';
import { formatLabelSelector } from '../../objects/label-selector.ts';
import { type ApiObject, isJsonObject, objectAt, valueAt } from '../resources/api-object.ts';
import { invalidValue } from '../resources/field-errors.ts';
import { applyPatch, patchKind } from '../resources/patch/apply-patch.ts';
import type { Resource } from '../resources/resource.ts';
import { typed } from '../resources/resource.ts';
import { StatusError, invalid, methodNotAllowed, unsupportedMediaType } from '../resources/status-error.ts';
import { type DecodeContext, decodeKind, fieldValidationOf, parseBody } from './decode-body.ts';
import { type HandlerNeed, type ResourceCall, placeOf, writeContext } from './resource-handlers.ts';

export async function handleScale(need: HandlerNeed, call: ResourceCall): Promise<void> {
  const { request, resource, exchange } = call;
  const send = (object: ApiObject): Promise<void> => exchange.sendJson(200, JSON.stringify(scaleOf(object)));
  if (request.verb === 'get') {
    await send(await need.registry.get(resource, placeOf(call), exchange.signal));
    return;
  }
  const context = writeContext(call);
  const decoding: DecodeContext = { fieldValidation: fieldValidationOf(exchange.query), warn: context.warn };
  const contentType = exchange.header('content-type');
  let wanted: (old: ApiObject) => Scale;
  if (request.verb === 'update') {
    const body = parseBody(await exchange.body(), contentType, 'Scale');
    const scale = decodeScale(body, decoding);
    wanted = () => scale;
  } else if (request.verb === 'patch') {
    const kind = patchKind(contentType);
    if (kind === 'apply') throw unsupportedMediaType('server-side apply of "scale" is not supported by this server');
    const patch = parseBody(await exchange.body(), contentType, 'Scale');
    wanted = (old) => decodeScale(applyPatch(kind, { ...scaleOf(old) }, patch, scaleResource(resource)), decoding);
  } else {
    throw methodNotAllowed();
  }
  const updated = await need.registry.update(
    resource,
    placeOf(call),
    {
      subresource: 'scale',
      compute: (old) => {
        const scale = wanted(old);
        const replicas = scale.spec?.replicas ?? 0;
        if (replicas < 0) {
          throw invalid({ group: 'autoscaling', kind: 'Scale' }, request.name, [
            invalidValue('spec.replicas', replicas, 'must be greater than or equal to 0'),
          ]);
        }
        const { resourceVersion, uid } = scale.metadata;
        const metadata = { ...old.metadata, ...(resourceVersion ? { resourceVersion } : {}), ...(uid ? { uid } : {}) };
        return { ...old, metadata, spec: { ...objectAt(old, 'spec'), replicas } };
      },
    },
    context,
  );
  await send(updated);
}

function decodeScale(value: unknown, context: DecodeContext): Scale {
  if (!isJsonObject(value)) throw new StatusError(400, 'BadRequest', 'the body must be a Scale');
  return typed<Scale>(decodeKind(value, 'autoscaling/v1', 'Scale', context));
}

function scaleResource(resource: Resource): Resource {
  return { ...resource, groupVersion: 'autoscaling/v1', kind: 'Scale' };
}

function scaleOf(object: ApiObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = valueAt(object, 'spec', 'selector');
  const replicas = valueAt(object, 'spec', 'replicas');
  const current = valueAt(object, 'status', 'replicas');
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: typeof replicas === 'number' ? replicas : 0 },
    status: { replicas: typeof current === 'number' ? current : 0, selector: selectorText(selector) },
  };
}

/** ReplicationControllers have a plain map, the others a selector object. */
function selectorText(selector: unknown): string {
  if (!isJsonObject(selector)) return '';
  const isObject = 'matchLabels' in selector || 'matchExpressions' in selector;
  const parsed = isObject ? selector : { matchLabels: selector };
  return formatLabelSelector(parsed as LabelSelector); // its fields were checked when it was stored
}
