/**
 * ServiceAccount tokens: made with the signing key, accepted from any of the known keys as long as what they are bound
 * to is there. Owns the keys and a short memory of tokens that were good.
 */
import { createHash, createPrivateKey, createPublicKey, randomUUID, type KeyObject } from 'node:crypto';
import { SignJWT, decodeProtectedHeader, jwtVerify } from 'jose';
import type { Clock } from '../../base/clock.ts';
import { isJsonObject, textAt } from '../resources/api-object.ts';
import type { UserInfo } from '../resources/registry.ts';

const goodForMs = 10_000;
const rememberedMax = 1000;
/** How long a token outlives what it is bound to once that is being deleted. */
const deletionLeewayMs = 60_000;

export interface TokenKeys {
  /** PEM; undefined: no tokens are made. */
  signingKey: string | undefined;
  /** PEM, public or private. */
  verifyingKeys: readonly string[];
  /** The first one signs; all are accepted. */
  issuers: readonly string[];
  /** What a token must be meant for; the issuers when empty. */
  audiences: readonly string[];
}

export interface BoundObject {
  name: string;
  uid: string;
}

export interface TokenSubject {
  namespace: string;
  serviceAccount: BoundObject;
  pod?: BoundObject | undefined;
  secret?: BoundObject | undefined;
  node?: BoundObject | undefined;
}

/** What a bound object is now: its uid and when it is to be gone. */
export interface ObjectState {
  uid: string;
  deletionMs: number | undefined;
}

export interface TokensNeed {
  keys: TokenKeys;
  clock: Clock;
  /** Undefined: there is no such object. */
  lookUp: (
    resource: 'serviceaccounts' | 'pods' | 'secrets' | 'nodes',
    namespace: string,
    name: string,
    signal: AbortSignal,
  ) => Promise<ObjectState | undefined>;
}

/** A token that is not accepted, and why; the text goes into TokenReviews. */
export class TokenError extends Error {
  override name = 'TokenError';
}

interface VerifyingKey {
  id: string;
  key: KeyObject;
}

export class ServiceAccountTokens {
  readonly #need: TokensNeed;
  readonly #signing: { id: string; key: KeyObject; algorithm: string } | undefined;
  readonly #verifying: VerifyingKey[];
  readonly #good = new Map<string, { user: UserInfo; audiences: string[]; untilMs: number }>();

  constructor(need: TokensNeed) {
    this.#need = need;
    const { signingKey, verifyingKeys } = need.keys;
    if (signingKey !== undefined) {
      const key = createPrivateKey(signingKey);
      this.#signing = { key, id: keyId(createPublicKey(key)), algorithm: algorithmOf(key) };
    }
    const publicKeys = [...verifyingKeys, ...(signingKey === undefined ? [] : [signingKey])].map((pem) =>
      createPublicKey(pem),
    );
    this.#verifying = publicKeys.map((key) => ({ key, id: keyId(key) }));
  }

  get audiences(): readonly string[] {
    const { audiences, issuers } = this.#need.keys;
    return audiences.length > 0 ? audiences : issuers;
  }

  get issuer(): string {
    return this.#need.keys.issuers[0] ?? '';
  }

  /** The public keys, as `/openid/v1/jwks` shows them. */
  publicKeys(): object[] {
    const seen = new Set<string>();
    return this.#verifying.flatMap(({ id, key }) => {
      if (seen.has(id)) return [];
      seen.add(id);
      return [{ use: 'sig', kid: id, alg: algorithmOf(key), ...key.export({ format: 'jwk' }) }];
    });
  }

  /**
   * @param seconds what the client is told; a token for a pod may live longer, marked with `warnafter`
   * @throws {Error} when the server has no signing key
   */
  async make(
    subject: TokenSubject,
    audiences: readonly string[],
    seconds: number,
  ): Promise<{ token: string; expirationMs: number }> {
    const signing = this.#signing;
    if (signing === undefined) {
      throw new Error('Cannot make a token: the server was started without --service-account-signing-key-file');
    }
    const now = Math.floor(this.#need.clock.nowMs() / 1000);
    const isForUs = audiences.some((audience) => this.audiences.includes(audience));
    const isExtended = seconds === extendableSeconds && subject.pod !== undefined && isForUs;
    const { namespace, serviceAccount, pod, secret, node } = subject;
    const claims = {
      aud: [...audiences],
      exp: now + (isExtended ? yearSeconds : seconds),
      iat: now,
      iss: this.issuer,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace,
        ...(node === undefined ? {} : { node }),
        ...(pod === undefined ? {} : { pod }),
        ...(secret === undefined ? {} : { secret }),
        serviceaccount: serviceAccount,
        ...(isExtended ? { warnafter: now + seconds } : {}),
      },
      nbf: now,
      sub: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
    };
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: signing.algorithm, kid: signing.id })
      .sign(signing.key);
    return { token, expirationMs: (now + seconds) * 1000 };
  }

  /**
   * Who the token speaks for.
   * @param audiences what the asker accepts; empty: the API server's own
   * @throws {TokenError} when it is not accepted
   */
  async verify(
    token: string,
    audiences: readonly string[],
    signal: AbortSignal,
  ): Promise<{ user: UserInfo; audiences: string[] }> {
    const accepted = audiences.length > 0 ? audiences : this.audiences;
    const nowMs = this.#need.clock.nowMs();
    const memory = createHash('sha256').update(token).update(accepted.join('\0')).digest('hex');
    const known = this.#good.get(memory);
    if (known !== undefined && nowMs < known.untilMs) return known;
    const payload = await this.#checkSignature(token, nowMs);
    const given = typeof payload['aud'] === 'string' ? [payload['aud']] : payload['aud'];
    const shared = (Array.isArray(given) ? given.map(String) : []).filter((audience) => accepted.includes(audience));
    if (shared.length === 0) throw new TokenError('token audiences do not match');
    const user = await this.#bearer(payload, nowMs, signal);
    this.#good.set(memory, { user, audiences: shared, untilMs: nowMs + goodForMs });
    if (this.#good.size > rememberedMax) {
      for (const [key, { untilMs }] of this.#good)
        if (untilMs <= nowMs || this.#good.size > rememberedMax) this.#good.delete(key);
    }
    return { user, audiences: shared };
  }

  async #checkSignature(token: string, nowMs: number): Promise<Record<string, unknown>> {
    let id: string | undefined;
    try {
      id = decodeProtectedHeader(token).kid;
    } catch (cause) {
      throw new TokenError('invalid bearer token', { cause });
    }
    const candidates = this.#verifying.filter((key) => id === undefined || key.id === id);
    let failure: unknown;
    for (const { key } of candidates) {
      try {
        const { payload } = await jwtVerify(token, key, {
          issuer: [...this.#need.keys.issuers],
          algorithms: ['RS256', 'ES256', 'ES384', 'ES512'],
          currentDate: new Date(nowMs),
        });
        return payload;
      } catch (err) {
        failure = err;
      }
    }
    throw new TokenError('invalid bearer token', { cause: failure });
  }

  async #bearer(payload: Record<string, unknown>, nowMs: number, signal: AbortSignal): Promise<UserInfo> {
    const claims = payload['kubernetes.io'];
    const namespace = textAt(claims, 'namespace');
    const account = boundObject(claims, 'serviceaccount');
    if (account === undefined || namespace === '') throw new TokenError('invalid bearer token');
    if (payload['sub'] !== `system:serviceaccount:${namespace}:${account.name}`) {
      throw new TokenError('invalid bearer token');
    }
    const check = async (resource: Parameters<TokensNeed['lookUp']>[0], bound: BoundObject): Promise<void> => {
      const at = resource === 'nodes' ? '' : namespace;
      const state = await this.#need.lookUp(resource, at, bound.name, signal);
      const isOver = state?.deletionMs !== undefined && nowMs > state.deletionMs + deletionLeewayMs;
      if (state === undefined || state.uid !== bound.uid || isOver) {
        throw new TokenError('service account token has been invalidated');
      }
    };
    await check('serviceaccounts', account);
    const pod = boundObject(claims, 'pod');
    const secret = boundObject(claims, 'secret');
    const node = boundObject(claims, 'node');
    if (pod !== undefined) await check('pods', pod);
    else if (node !== undefined) await check('nodes', node);
    if (secret !== undefined) await check('secrets', secret);
    const jti = typeof payload['jti'] === 'string' ? payload['jti'] : undefined;
    return serviceAccountUser(namespace, account, { pod, node, jti });
  }
}

const extendableSeconds = 3607;
const yearSeconds = 365 * 24 * 3600;

function boundObject(claims: unknown, field: string): BoundObject | undefined {
  if (!isJsonObject(claims) || !isJsonObject(claims[field])) return undefined;
  return { name: textAt(claims, field, 'name'), uid: textAt(claims, field, 'uid') };
}

function serviceAccountUser(
  namespace: string,
  { name, uid }: BoundObject,
  { pod, node, jti }: { pod: BoundObject | undefined; node: BoundObject | undefined; jti: string | undefined },
): UserInfo {
  const prefix = 'authentication.kubernetes.io/';
  return {
    name: `system:serviceaccount:${namespace}:${name}`,
    uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
    extra: {
      ...(jti === undefined ? {} : { [`${prefix}credential-id`]: [`JTI=${jti}`] }),
      ...(pod === undefined ? {} : { [`${prefix}pod-name`]: [pod.name], [`${prefix}pod-uid`]: [pod.uid] }),
      ...(node === undefined ? {} : { [`${prefix}node-name`]: [node.name], [`${prefix}node-uid`]: [node.uid] }),
    },
  };
}

/** The key's name in tokens: a digest of its public form. */
function keyId(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64url');
}

function algorithmOf(key: KeyObject): string {
  if (key.asymmetricKeyType === 'rsa') return 'RS256';
  switch (key.asymmetricKeyDetails?.namedCurve) {
    case 'prime256v1':
      return 'ES256';
    case 'secp384r1':
      return 'ES384';
    case 'secp521r1':
      return 'ES512';
    case undefined:
    default:
      throw new Error(
        `Cannot use a ${key.asymmetricKeyType ?? 'unknown'} key for tokens: expected RSA or an elliptic curve`,
      );
  }
}
