import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { UserInfo } from '../../objects/generated/authentication-v1.ts';
import type { SubjectAccessReviewSpec } from '../../objects/generated/authorization-v1.ts';
import type { AccessAttributes } from './access-attributes.ts';
import { ReviewCache } from './review-cache.ts';
import type { AuthorizationSettings } from './serve-need.ts';

/** Undefined: allowed. */
export type Denial = { status: 403 | 500; text: string } | undefined;

/** May they: asks the API server, and keeps its answers. */
export class Authorizer {
  readonly #settings: AuthorizationSettings;
  readonly #nodeName: string;
  readonly #log: Logger;
  readonly #answers: ReviewCache<boolean>;

  constructor(settings: AuthorizationSettings, nodeName: string, clock: Clock, log: Logger) {
    this.#settings = settings;
    this.#nodeName = nodeName;
    this.#log = log;
    this.#answers = new ReviewCache(clock, (isAllowed) => {
      if (settings.mode === 'AlwaysAllow') return 0;
      return isAllowed ? settings.authorizedTtlMs : settings.unauthorizedTtlMs;
    });
  }

  async authorize(user: UserInfo, { verb, subresources }: AccessAttributes, signal: AbortSignal): Promise<Denial> {
    const settings = this.#settings;
    if (settings.mode === 'AlwaysAllow') return undefined;
    for (const subresource of subresources) {
      const spec = reviewSpec(user, verb, subresource, this.#nodeName);
      try {
        if (await this.#answers.get(JSON.stringify(spec), () => settings.reviewAccess(spec, signal), signal)) {
          return undefined;
        }
      } catch (err) {
        this.#log.warn({ err, user: user.username, verb, subresource }, 'cannot have an access reviewed');
        const what = `user=${user.username ?? ''}, verb=${verb}, resource=nodes, subresource=${subresource}`;
        return { status: 500, text: `Authorization error (${what})\n` };
      }
    }
    const what = `user=${user.username ?? ''}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(' ')}]`;
    return { status: 403, text: `Forbidden (${what})\n` };
  }
}

function reviewSpec(
  { username, uid, groups, extra }: UserInfo,
  verb: string,
  subresource: string,
  nodeName: string,
): SubjectAccessReviewSpec {
  return {
    resourceAttributes: { verb, version: 'v1', resource: 'nodes', subresource, name: nodeName },
    user: username,
    groups,
    uid,
    extra,
  };
}
