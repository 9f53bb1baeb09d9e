/**
 * Tokens of service accounts, bound to pods. One request per pod and kind of token; renewed in time; a token that is
 * still good is used on while the API server does not answer.
 */
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';

export interface TokenWish {
  namespace: string;
  serviceAccount: string;
  /** The API server's own audience when undefined. */
  audience: string | undefined;
  expirationSeconds: number;
  podName: string;
  podUid: string;
}

/** The answer to a TokenRequest: its `status`, and the life time from its `spec`. */
export interface IssuedToken {
  token: string;
  /** RFC 3339. */
  expirationTimestamp: string;
  /** The life time that the server granted. */
  expirationSeconds: number;
}

interface TokensNeed {
  requestToken(wish: TokenWish, signal: AbortSignal): Promise<IssuedToken>;
  clock: Clock;
}

export class ServiceAccountTokens {
  readonly #need: TokensNeed;
  readonly #tokens = new Map<string, { podUid: string; issued: IssuedToken }>();

  constructor(need: TokensNeed) {
    this.#need = need;
  }

  /** A token with enough life left. @throws {Error} when there is none and none can be had */
  async get(wish: TokenWish, signal: AbortSignal): Promise<string> {
    return (await this.issued(wish, signal)).token;
  }

  /** As `get`, with how long it lives. */
  async issued(wish: TokenWish, signal: AbortSignal): Promise<IssuedToken> {
    const { clock } = this.#need;
    const { namespace, serviceAccount, audience = '', expirationSeconds, podUid } = wish;
    const key = JSON.stringify([serviceAccount, namespace, audience, expirationSeconds, podUid]);
    const known = this.#tokens.get(key)?.issued;
    const jitterMs = Math.floor(Math.random() * 10) * 1000;
    if (known !== undefined && !isTokenDue(known, clock.nowMs(), jitterMs)) return known;
    try {
      const issued = await this.#need.requestToken(wish, signal);
      this.#tokens.set(key, { podUid, issued });
      return issued;
    } catch (cause) {
      if (known === undefined) throw new Error(`failed to fetch token: ${describeError(cause)}`, { cause });
      // A renewal that failed is tried again at the next refresh of the volume, until the token is dead.
      if (clock.nowMs() < Date.parse(known.expirationTimestamp)) return known;
      throw new Error(`token ${key} expired and refresh failed: ${describeError(cause)}`, { cause });
    }
  }

  /** Forgets the tokens of a pod. */
  forget(podUid: string): void {
    for (const [key, token] of this.#tokens) if (token.podUid === podUid) this.#tokens.delete(key);
  }
}

const dayMs = 24 * 60 * 60 * 1000;

/** Whether a token should be renewed: it is a day old, or four fifths of its life are over. `jitterMs` makes it earlier. */
export function isTokenDue(
  { expirationTimestamp, expirationSeconds }: Omit<IssuedToken, 'token'>,
  nowMs: number,
  jitterMs: number,
): boolean {
  const expiresMs = Date.parse(expirationTimestamp);
  const lifeMs = expirationSeconds * 1000;
  const issuedMs = expiresMs - lifeMs;
  return nowMs > issuedMs + dayMs - jitterMs || nowMs > expiresMs - 0.2 * lifeMs - jitterMs;
}
