/** Subresources that do something to a pod: binding, eviction, ephemeral containers, resize. */
import { rfc3339Seconds } from '../../base/clock.ts';
import { setCondition } from '../../objects/conditions.ts';
import type { Binding, Node, Pod } from '../../objects/generated/core-v1.ts';
import type { Eviction, PodDisruptionBudget } from '../../objects/generated/policy-v1.ts';
import { matchesLabelSelector } from '../../objects/label-selector.ts';
import { type ApiObject, isSameMeaning } from '../resources/api-object.ts';
import { type FieldError, forbiddenField } from '../resources/field-errors.ts';
import { defaultContainer } from '../resources/pod-defaults.ts';
import type { Resource } from '../resources/resource.ts';
import { typed } from '../resources/resource.ts';
import { nodeResizeProblem, resizePod } from '../resources/pod-resize.ts';
import { StatusError, badRequest, conflict, forbidden, invalid, methodNotAllowed } from '../resources/status-error.ts';
import { decodeBody, decodeKind, fieldValidationOf, parseBody } from './decode-body.ts';
import { applyPatch, patchKind } from '../resources/patch/apply-patch.ts';
import { type HandlerNeed, type ResourceCall, placeOf, sendObject, writeContext } from './resource-handlers.ts';

const success = JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });

/** POST `pods/NAME/binding`, and the old `bindings`, where the name is in the body. */
export async function handleBinding(need: HandlerNeed, call: ResourceCall, pods: Resource): Promise<void> {
  const { request, exchange } = call;
  if (request.verb !== 'create') throw methodNotAllowed();
  const context = writeContext(call);
  const value = parseBody(await exchange.body(), exchange.header('content-type'), 'Binding');
  const decoding = { fieldValidation: fieldValidationOf(exchange.query), warn: context.warn };
  const { target, metadata } = typed<Binding>(decodeKind(value, 'v1', 'Binding', decoding));
  const name = request.resource === 'pods' ? request.name : metadata.name;
  if (target?.kind && target.kind !== 'Node') {
    throw invalid({ group: '', kind: 'Binding' }, name, [
      {
        reason: 'FieldValueNotSupported',
        field: 'target.kind',
        phrase: `Unsupported value: ${JSON.stringify(target.kind)}: supported values: "Node", "<empty>"`,
      },
    ]);
  }
  const nodeName = target?.name ?? '';
  if (nodeName === '') {
    throw invalid({ group: '', kind: 'Binding' }, name, [
      { reason: 'FieldValueRequired', field: 'target.name', phrase: 'Required value' },
    ]);
  }
  const of = { group: '', resource: 'pods/binding' };
  const now = rfc3339Seconds(need.clock.nowMs());
  await need.registry.update(
    pods,
    { namespace: request.namespace, name },
    {
      subresource: 'binding',
      compute: (old) => {
        const pod = typed<Pod>(old);
        if (pod.metadata.deletionTimestamp !== undefined) {
          throw conflict(of, name, `pod ${name} is being deleted, cannot be assigned to a host`);
        }
        if (pod.spec.nodeName)
          throw conflict(of, name, `pod ${name} is already assigned to node "${pod.spec.nodeName}"`);
        if ((pod.spec.schedulingGates ?? []).length > 0) {
          throw conflict(of, name, `pod ${name} has non-empty .spec.schedulingGates`);
        }
        pod.spec.nodeName = nodeName;
        if (metadata.annotations !== undefined) {
          pod.metadata.annotations = { ...pod.metadata.annotations, ...metadata.annotations };
        }
        if (metadata.uid) pod.metadata.uid = metadata.uid;
        if (metadata.resourceVersion) pod.metadata.resourceVersion = metadata.resourceVersion;
        const { nominatedNodeName: _nominated, ...status } = pod.status ?? {};
        const condition = { type: 'PodScheduled', status: 'True', lastTransitionTime: now };
        pod.status = { ...status, conditions: setCondition(pod.status?.conditions, condition, now) };
        return old;
      },
    },
    context,
  );
  await exchange.sendJson(201, success);
}

interface EvictionNeed extends HandlerNeed {
  budgets: Resource;
}

/** POST `pods/NAME/eviction`: a delete that respects disruption budgets. */
export async function handleEviction(need: EvictionNeed, call: ResourceCall): Promise<void> {
  const { request, resource, exchange } = call;
  if (request.verb !== 'create') throw methodNotAllowed();
  const context = writeContext(call);
  const value = parseBody(await exchange.body(), exchange.header('content-type'), 'Eviction');
  const decoding = { fieldValidation: 'Ignore', warn: context.warn } as const;
  const eviction = typed<Eviction>(decodeKind(value, 'policy/v1', 'Eviction', decoding));
  if (eviction.metadata.name !== '' && eviction.metadata.name !== request.name) {
    throw badRequest('name in URL does not match name in Eviction object');
  }
  const isDryRun = context.isDryRun || (eviction.deleteOptions?.dryRun ?? []).includes('All');
  const writing = { ...context, isDryRun };
  const pod = typed<Pod>(await need.registry.get(resource, placeOf(call), exchange.signal));
  const phase = pod.status?.phase;
  const isIdle = phase === 'Succeeded' || phase === 'Failed' || phase === 'Pending';
  if (!isIdle && pod.metadata.deletionTimestamp === undefined) {
    await takeFromBudget(need, pod, writing);
    const now = rfc3339Seconds(need.clock.nowMs());
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'EvictionByEvictionAPI',
      message: 'Eviction API: evicting',
      lastTransitionTime: now,
    };
    const mark = (old: ApiObject): ApiObject => {
      const marked = typed<Pod>(old);
      marked.status = { ...marked.status, conditions: setCondition(marked.status?.conditions, condition, now) };
      return old;
    };
    await need.registry.update(resource, placeOf(call), { subresource: 'eviction', compute: mark }, writing);
  }
  await need.registry.delete(resource, placeOf(call), eviction.deleteOptions ?? {}, writing);
  await exchange.sendJson(201, success);
}

async function takeFromBudget(
  { registry, budgets, clock }: EvictionNeed,
  pod: Pod,
  context: ReturnType<typeof writeContext>,
): Promise<void> {
  const cache = registry.cache(budgets);
  await cache.fresh(context.signal);
  const matching = cache
    .list(registry.prefixOf(budgets, pod.metadata.namespace ?? ''))
    .map(({ object }) => typed<PodDisruptionBudget>(object))
    .filter(({ spec }) => spec?.selector !== undefined && matchesLabelSelector(spec.selector, pod.metadata.labels));
  if (matching.length > 1) {
    throw new StatusError(
      500,
      undefined,
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    );
  }
  const budget = matching[0];
  if (budget === undefined) return;
  const { name, namespace = '' } = budget.metadata;
  await registry.update(
    budgets,
    { namespace, name },
    {
      subresource: 'status',
      compute: (old) => {
        const { status, metadata } = typed<PodDisruptionBudget>(old);
        if (status === undefined || (status.observedGeneration ?? 0) < (metadata.generation ?? 0)) {
          throw tooManyRequests(`The disruption budget ${name} is still being processed by the server.`, 10);
        }
        const allowed = status.disruptionsAllowed ?? 0;
        if (allowed <= 0) {
          throw tooManyRequests(
            `The disruption budget ${name} needs ${status.desiredHealthy} healthy pods and has ${status.currentHealthy} currently`,
          );
        }
        status.disruptionsAllowed = allowed - 1;
        status.disruptedPods = { ...status.disruptedPods, [pod.metadata.name]: rfc3339Seconds(clock.nowMs()) };
        return old;
      },
    },
    context,
  );
}

function tooManyRequests(message: string, retryAfterSeconds?: number): StatusError {
  return new StatusError(429, 'TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
    causes: [{ reason: 'DisruptionBudget', message }],
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}

interface PodPartNeed extends HandlerNeed {
  nodes: Resource;
}

/** `ephemeralcontainers` and `resize`: the pod, of which one part may change. */
export async function handlePodPart(need: PodPartNeed, call: ResourceCall): Promise<void> {
  const { request, resource, exchange } = call;
  if (request.verb === 'get') {
    await sendObject(need, call, 200, await need.registry.get(resource, placeOf(call), exchange.signal));
    return;
  }
  const context = writeContext(call);
  const decoding = { fieldValidation: fieldValidationOf(exchange.query), warn: context.warn };
  const contentType = exchange.header('content-type');
  const body = await exchange.body();
  let wanted: (old: ApiObject) => ApiObject;
  if (request.verb === 'update') {
    const object = decodeBody(parseBody(body, contentType, 'Pod'), resource, decoding);
    wanted = () => structuredClone(object);
  } else if (request.verb === 'patch') {
    const kind = patchKind(contentType);
    if (kind === 'apply')
      throw badRequest(`server-side apply of "${request.subresource}" is not supported by this server`);
    const patch = parseBody(body, contentType, 'Pod');
    wanted = (old) => decodeBody(applyPatch(kind, old, patch, resource), resource, { ...decoding, isPatched: true });
  } else {
    throw methodNotAllowed();
  }
  const isResize = request.subresource === 'resize';
  const node = isResize ? await nodeOf(need, call) : undefined;
  const updated = await need.registry.update(
    resource,
    placeOf(call),
    {
      subresource: request.subresource,
      compute: (old) => {
        const desired = typed<Pod>(wanted(old));
        const pod = structuredClone(typed<Pod>(old));
        if (desired.metadata.resourceVersion) pod.metadata.resourceVersion = desired.metadata.resourceVersion;
        const errors = isResize ? resizePod(pod, desired) : withEphemeralContainers(pod, desired);
        if (errors.length > 0) throw invalid(resource, request.name, errors);
        if (isResize && !isSameMeaning(pod.spec, typed<Pod>(old).spec)) refuseResize(resource, pod, node);
        return { ...old, metadata: pod.metadata, spec: pod.spec };
      },
    },
    context,
  );
  await sendObject(need, call, 200, updated);
}

/** Adds ephemeral containers; those that are there stay as they are. */
function withEphemeralContainers(pod: Pod, desired: Pod): FieldError[] {
  const before = pod.spec.ephemeralContainers ?? [];
  const wanted = desired.spec.ephemeralContainers ?? [];
  const errors: FieldError[] = [];
  for (const old of before) {
    const now = wanted.find(({ name }) => name === old.name);
    if (now !== undefined) defaultContainer(now);
    if (!isSameMeaning(now, old)) {
      const phrase = now === undefined ? 'may not be removed' : 'may not be changed';
      errors.push(
        forbiddenField('spec.ephemeralContainers', `existing ephemeral containers "${old.name}" ${phrase}\n`),
      );
    }
  }
  const names = new Set([...pod.spec.containers, ...(pod.spec.initContainers ?? [])].map(({ name }) => name));
  for (const [i, container] of wanted.entries()) {
    const at = `spec.ephemeralContainers[${i}]`;
    if (before.some(({ name }) => name === container.name)) continue;
    for (const field of ['ports', 'livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle'] as const) {
      if (container[field] !== undefined) {
        errors.push(forbiddenField(`${at}.${field}`, 'cannot be set for an Ephemeral Container'));
      }
    }
    const target = container.targetContainerName;
    if (target && !names.has(target)) {
      errors.push({
        reason: 'FieldValueNotFound',
        field: `${at}.targetContainerName`,
        phrase: `Not found: ${JSON.stringify(target)}`,
      });
    }
    defaultContainer(container);
  }
  pod.spec.ephemeralContainers = wanted;
  return errors;
}

/** The node that the pod runs on; undefined before it has one, and when there is no such node. */
async function nodeOf(need: PodPartNeed, call: ResourceCall): Promise<Node | undefined> {
  const { signal } = call.exchange;
  const pod = typed<Pod>(await need.registry.get(call.resource, placeOf(call), signal));
  const name = pod.spec.nodeName ?? '';
  if (name === '') return undefined;
  const found = await need.registry.find(need.nodes, { namespace: '', name }, signal);
  return found === undefined ? undefined : typed<Node>(found);
}

/** @throws {StatusError} when the pod's node can never give what is asked for */
function refuseResize(resource: Resource, pod: Pod, node: Node | undefined): void {
  const problem = nodeResizeProblem(pod, node);
  if (problem === undefined) return;
  const causes = problem.cause === undefined ? [] : [{ reason: problem.cause, message: '' }];
  throw forbidden(resource, pod.metadata.name, problem.message, causes);
}
