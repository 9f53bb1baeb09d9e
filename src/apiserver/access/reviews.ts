/** Who am I, who is this token, may they: the review APIs, answered by the code that guards the API itself. */
import type { SelfSubjectReview, TokenReview } from '../../objects/generated/authentication-v1.ts';
import type { ResourceAttributes, SubjectAccessReview } from '../../objects/generated/authorization-v1.ts';
import type { ApiObject, JsonObject } from '../resources/api-object.ts';
import { type FieldError, invalidValue } from '../resources/field-errors.ts';
import type { UserInfo } from '../resources/registry.ts';
import { typed } from '../resources/resource.ts';
import { badRequest, invalid } from '../resources/status-error.ts';
import { type Attributes, authorize } from './authorize.ts';
import { type ServiceAccountTokens, TokenError } from './service-account-tokens.ts';

/** The answer's `status` for a review of this kind; undefined: the kind is no review. */
export async function review(
  object: ApiObject,
  user: UserInfo,
  tokens: ServiceAccountTokens,
  namespace: string,
  signal: AbortSignal,
): Promise<JsonObject | undefined> {
  switch (object.kind) {
    case 'TokenReview':
      return reviewToken(typed<TokenReview>(object), tokens, signal);
    case 'SelfSubjectReview':
      return { userInfo: userInfo(user) } satisfies SelfSubjectReview['status'] & object;
    case 'SubjectAccessReview':
      return reviewAccess(typed<SubjectAccessReview>(object), undefined);
    case 'SelfSubjectAccessReview':
      return reviewAccess(typed<SubjectAccessReview>(object), user);
    case 'LocalSubjectAccessReview': {
      const local = typed<SubjectAccessReview>(object);
      if ((local.spec.resourceAttributes?.namespace ?? '') !== namespace) {
        throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
      }
      return reviewAccess(local, undefined);
    }
    case 'SelfSubjectRulesReview':
      return rulesOf(user);
    default:
      return undefined;
  }
}

function userInfo({ name, uid, groups, extra }: UserInfo): JsonObject {
  return {
    username: name,
    ...(uid === undefined ? {} : { uid }),
    groups: [...groups],
    ...(extra === undefined ? {} : { extra }),
  };
}

async function reviewToken(
  { spec }: TokenReview,
  tokens: ServiceAccountTokens,
  signal: AbortSignal,
): Promise<JsonObject> {
  try {
    const { user, audiences } = await tokens.verify(spec.token ?? '', spec.audiences ?? [], signal);
    return { authenticated: true, user: userInfo(user), audiences };
  } catch (err) {
    if (err instanceof TokenError) return { user: {}, error: err.message };
    throw err;
  }
}

/** @param self the asker, for reviews of oneself */
function reviewAccess({ spec }: SubjectAccessReview, self: UserInfo | undefined): JsonObject {
  const { resourceAttributes, nonResourceAttributes } = spec;
  const errors: FieldError[] = [];
  if ((resourceAttributes === undefined) === (nonResourceAttributes === undefined)) {
    errors.push(
      invalidValue(
        'spec.resourceAttributes',
        resourceAttributes ?? null,
        'exactly one of nonResourceAttributes or resourceAttributes must be specified',
      ),
    );
  }
  if (self === undefined && !spec.user && (spec.groups ?? []).length === 0) {
    errors.push(invalidValue('spec.user', spec.user ?? '', 'at least one of user or group must be specified'));
  }
  if (errors.length > 0) throw invalid({ group: 'authorization.k8s.io', kind: '' }, '', errors);
  const user = self ?? { name: spec.user ?? '', groups: spec.groups ?? [] };
  const { isAllowed, reason } = authorize(user, attributesOf(resourceAttributes, nonResourceAttributes));
  return { allowed: isAllowed, ...(reason === '' ? {} : { reason }) };
}

function attributesOf(
  resource: ResourceAttributes | undefined,
  path: { path?: string | undefined; verb?: string | undefined } | undefined,
): Attributes {
  if (resource === undefined) return { kind: 'path', verb: path?.verb ?? '', path: path?.path ?? '' };
  return {
    kind: 'resource',
    verb: resource.verb ?? '',
    group: resource.group ?? '',
    version: resource.version ?? '',
    namespace: resource.namespace ?? '',
    resource: resource.resource ?? '',
    subresource: resource.subresource ?? '',
    name: resource.name ?? '',
  };
}

/** Only what the rules say in general: the list is marked incomplete. */
function rulesOf(user: UserInfo): JsonObject {
  const ask = (verb: string): boolean =>
    authorize(user, {
      kind: 'resource',
      verb,
      group: '*',
      version: '*',
      namespace: '',
      resource: '*',
      subresource: '',
      name: '',
    }).isAllowed;
  const verbs = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'].filter(ask);
  return {
    resourceRules: verbs.length === 0 ? [] : [{ verbs, apiGroups: ['*'], resources: ['*'] }],
    nonResourceRules: [
      { verbs: ['get'], nonResourceURLs: ['/api', '/api/*', '/apis', '/apis/*', '/healthz', '/version'] },
    ],
    incomplete: true,
    evaluationError: 'the rules are not kept as a list',
  };
}
