/**
 * Credential provider plugins: programs that give registry credentials. Owns their answers for as long as these are
 * good. Calls for the same image at the same time are one. A plugin that fails gives nothing and is asked again at the
 * next pull: the registry then says what it thinks of the rest.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import type { Pod, ServiceAccount } from '../../../objects/generated/core-v1.ts';
import { podKey } from '../../pod-model.ts';
import type { CredentialProviderConfig } from './credential-provider-config.ts';
import type { RegistryEntry } from './docker-config.ts';
import { type AccountOrigin, type KeyringEntry, type Origin, matchesImage } from './keyring.ts';
import { type CacheKeyType, parseProviderResponse } from './provider-response.ts';

export interface CredentialProvidersNeed {
  providers: readonly CredentialProviderConfig[];
  binDir: string;
  /** Runs a program with `input` on its standard input, and its output is the answer. */
  run(
    file: string,
    args: readonly string[],
    options: { input: string; env: Record<string, string>; timeoutMs: number; signal: AbortSignal },
  ): Promise<{ stdout: string }>;
  serviceAccount(namespace: string, name: string, signal: AbortSignal): Promise<ServiceAccount>;
  /** A token of the pod's account for the audience, the same one while it is good. */
  requestToken(pod: Pod, audience: string, signal: AbortSignal): Promise<string>;
  forgetTokens(podUid: string): void;
  parseDurationMs(text: string): number | undefined;
  clock: Clock;
  log: Logger;
}

/** Whom a plugin is asked for, when it wants to know. */
interface Identity {
  account: AccountOrigin;
  token: string;
  annotations: Record<string, string>;
}

interface Answer {
  entries: readonly RegistryEntry[];
  untilMs: number;
}

const pluginTimeoutMs = 60_000;

export class CredentialProviders {
  readonly #need: CredentialProvidersNeed;
  readonly #answers = new Map<string, Answer>();
  readonly #calls = new Map<string, { call: Promise<readonly RegistryEntry[]>; signal: AbortSignal }>();

  constructor(need: CredentialProvidersNeed) {
    this.#need = need;
  }

  /** What all plugins that are for the image know of it, in their order. */
  async entries(pod: Pod, repository: string, signal: AbortSignal): Promise<KeyringEntry[]> {
    const fitting = this.#need.providers.filter(({ matchImages }) =>
      matchImages.some((pattern) => matchesImage(pattern, repository)),
    );
    const found = await Promise.all(fitting.map((provider) => this.#ask(provider, pod, repository, signal)));
    return found.flat();
  }

  forget(podUid: string): void {
    this.#need.forgetTokens(podUid);
  }

  async #ask(
    provider: CredentialProviderConfig,
    pod: Pod,
    repository: string,
    signal: AbortSignal,
  ): Promise<KeyringEntry[]> {
    try {
      const identity = await this.#identify(provider, pod, signal);
      if (identity === 'none of its business') return [];
      const entries = await this.#answer(provider, repository, identity, signal);
      const origin: Origin = identity === undefined ? { kind: 'node' } : { kind: 'account', account: identity.account };
      return entries.map((entry) => ({ ...entry, origin }));
    } catch (err) {
      signal.throwIfAborted();
      this.#need.log.warn(
        { provider: provider.name, image: repository, pod: podKey(pod), reason: describeError(err) },
        'a credential provider plugin gave no credentials',
      );
      return [];
    }
  }

  /** @throws {Error} when the pod's account lacks what the provider needs to know */
  async #identify(
    { tokens }: CredentialProviderConfig,
    pod: Pod,
    signal: AbortSignal,
  ): Promise<Identity | undefined | 'none of its business'> {
    if (tokens === undefined) return undefined;
    const { namespace = 'default' } = pod.metadata;
    const name = pod.spec.serviceAccountName ?? '';
    if (name === '') return tokens.requireServiceAccount ? 'none of its business' : undefined;
    const { metadata } = await this.#need.serviceAccount(namespace, name, signal);
    const all = metadata.annotations ?? {};
    const missing = tokens.requiredAnnotations.filter((key) => all[key] === undefined);
    if (missing.length > 0) {
      throw new Error(`service account "${namespace}/${name}" lacks the annotations ${missing.join(', ')}`);
    }
    const shown = [...tokens.requiredAnnotations, ...tokens.optionalAnnotations].toSorted();
    const annotations = Object.fromEntries(
      shown.flatMap((key) => {
        const value = all[key];
        return value === undefined ? [] : [[key, value]];
      }),
    );
    const token = await this.#need.requestToken(pod, tokens.audience, signal);
    return { account: { uid: metadata.uid ?? '', namespace, name }, token, annotations };
  }

  async #answer(
    provider: CredentialProviderConfig,
    repository: string,
    identity: Identity | undefined,
    signal: AbortSignal,
  ): Promise<readonly RegistryEntry[]> {
    const nowMs = this.#need.clock.monotonicMs();
    for (const [key, { untilMs }] of this.#answers) if (untilMs <= nowMs) this.#answers.delete(key);
    const keyOf = (type: CacheKeyType): string => cacheKey(provider, type, repository, identity);
    for (const type of ['Image', 'Registry', 'Global'] as const) {
      const known = this.#answers.get(keyOf(type));
      if (known !== undefined) return known.entries;
    }
    const callKey = keyOf('Image');
    for (;;) {
      const running = this.#calls.get(callKey);
      if (running === undefined) break;
      try {
        return await running.call;
      } catch (err) {
        signal.throwIfAborted();
        if (!running.signal.aborted) throw err; // else it was given up by another pod, and is made again for this one
      }
    }
    const call = this.#call(provider, repository, identity, keyOf, signal).finally(() => this.#calls.delete(callKey));
    this.#calls.set(callKey, { call, signal });
    return await call;
  }

  async #call(
    { name, apiVersion, args, env, defaultCacheMs }: CredentialProviderConfig,
    repository: string,
    identity: Identity | undefined,
    keyOf: (type: CacheKeyType) => string,
    signal: AbortSignal,
  ): Promise<readonly RegistryEntry[]> {
    const { binDir, clock, parseDurationMs } = this.#need;
    const request = {
      kind: 'CredentialProviderRequest',
      apiVersion,
      image: repository,
      ...(identity === undefined ? {} : { serviceAccountToken: identity.token }),
      ...(identity === undefined || Object.keys(identity.annotations).length === 0
        ? {}
        : { serviceAccountAnnotations: identity.annotations }),
    };
    const { stdout } = await this.#need.run(join(binDir, name), args, {
      input: JSON.stringify(request),
      env: Object.fromEntries(env.map((variable) => [variable.name, variable.value])),
      timeoutMs: pluginTimeoutMs,
      signal,
    });
    const {
      cacheKeyType,
      cacheMs = defaultCacheMs,
      entries,
    } = parseProviderResponse(stdout, apiVersion, parseDurationMs);
    if (cacheMs > 0) this.#answers.set(keyOf(cacheKeyType), { entries, untilMs: clock.monotonicMs() + cacheMs });
    return entries;
  }
}

/** Answers are kept apart by provider and, when they were given for an account or its token, by that. */
function cacheKey(
  { name, tokens }: CredentialProviderConfig,
  type: CacheKeyType,
  repository: string,
  identity: Identity | undefined,
): string {
  const what = type === 'Image' ? repository : type === 'Registry' ? (repository.split('/')[0] ?? '') : '';
  const who =
    identity === undefined
      ? []
      : [
          identity.account,
          identity.annotations,
          tokens?.cacheType === 'Token' ? createHash('sha256').update(identity.token).digest('hex') : '',
        ];
  return JSON.stringify([name, type, what, ...who]);
}
