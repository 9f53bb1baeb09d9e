import { createHash } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { UserInfo } from '../../objects/generated/authentication-v1.ts';
import { tokenInRequest } from './parse-credentials.ts';
import { ReviewCache } from './review-cache.ts';
import type { AuthenticationSettings } from './serve-need.ts';

/** What a client's certificate says, and whether its chain leads to our CA. */
export interface ClientCertificate {
  isTrusted: boolean;
  commonName: string;
  organizations: readonly string[];
  /** Wall clock. */
  validToMs: number;
}

export interface Credentials {
  certificate: ClientCertificate | undefined;
  authorization: string | undefined;
  /** `Sec-WebSocket-Protocol` */
  protocols: string | undefined;
}

const authenticatedGroup = 'system:authenticated';
const anonymous: UserInfo = { username: 'system:anonymous', groups: ['system:unauthenticated'] };

/** Who asks: by client certificate, else by bearer token, else anonymous when that is allowed and nothing was shown. */
export class Authenticator {
  readonly #settings: Omit<AuthenticationSettings, 'clientCa'>;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #tokens: ReviewCache<UserInfo | undefined>;

  constructor(settings: Omit<AuthenticationSettings, 'clientCa'>, clock: Clock, log: Logger) {
    this.#settings = settings;
    this.#clock = clock;
    this.#log = log;
    this.#tokens = new ReviewCache(clock, () => settings.webhook?.cacheTtlMs ?? 0);
  }

  /** Undefined: nobody that we know. `signal` outlives the request, since others may wait for the same answer. */
  async authenticate(
    { certificate, authorization, protocols }: Credentials,
    signal: AbortSignal,
  ): Promise<UserInfo | undefined> {
    const isGood = certificate?.isTrusted === true && this.#clock.nowMs() < certificate.validToMs;
    if (isGood && certificate.commonName !== '') {
      return authenticated({ username: certificate.commonName, groups: [...certificate.organizations] });
    }
    let hasFailed = certificate !== undefined && !isGood;
    if (this.#settings.webhook !== undefined) {
      const found = tokenInRequest(authorization, protocols);
      if (found.kind === 'token') {
        const user = await this.#review(found.token, signal);
        if (user !== undefined) return authenticated(user);
      }
      hasFailed ||= found.kind !== 'none';
    }
    return this.#settings.isAnonymousAllowed && !hasFailed ? anonymous : undefined;
  }

  async #review(token: string, signal: AbortSignal): Promise<UserInfo | undefined> {
    const { webhook } = this.#settings;
    if (webhook === undefined) return undefined;
    const key = createHash('sha256').update(token).digest('base64'); // no tokens in memory longer than needed
    try {
      return await this.#tokens.get(key, () => webhook.reviewToken(token, signal), signal);
    } catch (err) {
      this.#log.warn({ err }, 'cannot have a token reviewed');
      return undefined;
    }
  }
}

function authenticated(user: UserInfo): UserInfo {
  const groups = user.groups ?? [];
  return groups.includes(authenticatedGroup) ? user : { ...user, groups: [...groups, authenticatedGroup] };
}
