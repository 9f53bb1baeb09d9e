/** POST `serviceaccounts/NAME/token`. */
import { rfc3339Seconds } from '../../base/clock.ts';
import type { TokenRequest } from '../../objects/generated/authentication-v1.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { textAt } from '../resources/api-object.ts';
import { type FieldError, invalidValue } from '../resources/field-errors.ts';
import type { ResourceTable } from '../resources/resource-table.ts';
import { typed } from '../resources/resource.ts';
import { badRequest, conflict, invalid, methodNotAllowed } from '../resources/status-error.ts';
import type { BoundObject, ServiceAccountTokens, TokenSubject } from '../access/service-account-tokens.ts';
import { decodeKind, fieldValidationOf, parseBody } from './decode-body.ts';
import { type HandlerNeed, type ResourceCall, placeOf, writeContext } from './resource-handlers.ts';

const minSeconds = 600;
const maxSeconds = 2 ** 32;

export interface TokenRequestNeed extends HandlerNeed {
  table: ResourceTable;
  tokens: ServiceAccountTokens;
}

export async function handleTokenRequest(need: TokenRequestNeed, call: ResourceCall): Promise<void> {
  const { request, resource, exchange } = call;
  if (request.verb !== 'create') throw methodNotAllowed();
  const context = writeContext(call);
  const value = parseBody(await exchange.body(), exchange.header('content-type'), 'TokenRequest');
  const decoding = { fieldValidation: fieldValidationOf(exchange.query), warn: context.warn };
  const asked = typed<TokenRequest>(decodeKind(value, 'authentication.k8s.io/v1', 'TokenRequest', decoding));
  const audiences = asked.spec?.audiences?.length ? asked.spec.audiences : [...need.tokens.audiences];
  const seconds = asked.spec?.expirationSeconds ?? 3600;
  const errors: FieldError[] = [];
  const field = 'spec.expirationSeconds';
  if (seconds < minSeconds)
    errors.push(invalidValue(field, seconds, 'may not specify a duration less than 10 minutes'));
  if (seconds > maxSeconds) {
    errors.push(invalidValue(field, seconds, 'may not specify a duration larger than 2^32 seconds'));
  }
  if (errors.length > 0) throw invalid({ group: 'authentication.k8s.io', kind: 'TokenRequest' }, '', errors);

  const account = await need.registry.get(resource, placeOf(call), exchange.signal);
  const { name, namespace = '', uid = '', creationTimestamp } = account.metadata;
  const subject: TokenSubject = { namespace, serviceAccount: { name, uid }, ...(await bound(need, call, asked)) };
  const { token, expirationMs } = await need.tokens.make(subject, audiences, seconds);
  const answer = {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace, uid, creationTimestamp },
    spec: { ...asked.spec, audiences, expirationSeconds: seconds, boundObjectRef: asked.spec?.boundObjectRef ?? null },
    status: { token, expirationTimestamp: rfc3339Seconds(expirationMs) },
  };
  await exchange.sendJson(201, JSON.stringify(answer));
}

/** What the token lives and dies with; a pod's token names the node, too. */
async function bound(
  { registry, table }: TokenRequestNeed,
  { request, exchange }: ResourceCall,
  { spec }: TokenRequest,
): Promise<Partial<TokenSubject>> {
  const reference = spec?.boundObjectRef;
  if (reference === undefined) return {};
  const { kind = '', apiVersion = '', name = '', uid } = reference;
  const find = async (
    resource: 'pods' | 'secrets' | 'nodes',
    at: string,
  ): Promise<{ object: object; bound: BoundObject }> => {
    const of = table.must('v1', resource);
    const object = await registry.get(of, { namespace: at, name }, exchange.signal);
    const found = object.metadata.uid ?? '';
    if (uid !== undefined && uid !== '' && uid !== found) {
      throw conflict(
        of,
        name,
        `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
      );
    }
    return { object, bound: { name, uid: found } };
  };
  switch (kind) {
    case 'Pod': {
      const { object, bound: pod } = await find('pods', request.namespace);
      const { spec: podSpec } = object as Pod; // read from the store
      if (podSpec.serviceAccountName !== request.name) {
        throw badRequest(
          `cannot bind token for serviceaccount "${request.name}" to pod running with different serviceaccount name.`,
        );
      }
      const nodeName = podSpec.nodeName ?? '';
      if (nodeName === '') return { pod };
      const node = await registry.find(table.must('v1', 'nodes'), { namespace: '', name: nodeName }, exchange.signal);
      return { pod, node: { name: nodeName, uid: textAt(node, 'metadata', 'uid') } };
    }
    case 'Secret':
      return { secret: (await find('secrets', request.namespace)).bound };
    case 'Node':
      return { node: (await find('nodes', '')).bound };
    default:
      throw badRequest(
        `cannot bind token to object of type ${apiVersion === 'v1' ? '' : apiVersion}/v1, Kind=${kind}`.replace(
          '//',
          '/',
        ),
      );
  }
}
