/** Whether a pod may use an image that is present, or has to show at the registry that it may. Pure. */
import { parseImageName } from './image-name.ts';
import type { AccountOrigin, Origin, SecretOrigin } from './keyring.ts';

export type VerificationPolicy =
  | 'NeverVerify'
  | 'NeverVerifyPreloadedImages'
  | 'NeverVerifyAllowlistedImages'
  | 'AlwaysVerify';

export const verificationPolicies: readonly VerificationPolicy[] = [
  'NeverVerify',
  'NeverVerifyPreloadedImages',
  'NeverVerifyAllowlistedImages',
  'AlwaysVerify',
];

/** Who has shown for one repository that they may have an image. */
export interface ImageAccess {
  kubernetesSecrets?: SecretOrigin[] | undefined;
  kubernetesServiceAccounts?: AccountOrigin[] | undefined;
  /** It came without credentials or with the node's: every pod of the node may use it. */
  nodePodsAccessible?: boolean | undefined;
}

/** A record of an image that this node's kubelet pulled. */
export interface PulledRecord {
  /** RFC 3339. */
  lastUpdatedTime: string;
  imageRef: string;
  /** By `registry/path`. */
  credentialMapping?: Record<string, ImageAccess> | undefined;
}

export interface VerificationRules {
  /** Off: who has an image on the node may use it, and events say nothing of access. */
  isOn: boolean;
  policy: VerificationPolicy;
  /** Whole names, or `prefix/*`, without tag and digest. */
  allowlist: readonly string[];
}

/** `learned`: the pod shows something that is new to the record but proves the same. */
export type AccessDecision = { kind: 'granted'; learned?: Origin } | { kind: 'pull' };

export function decideAccess(
  rules: VerificationRules,
  repository: string,
  { record, wasPulledByKubelet }: { record: PulledRecord | undefined; wasPulledByKubelet: boolean },
  origins: readonly Origin[],
): AccessDecision {
  if (!rules.isOn || !needsVerification(rules, repository, wasPulledByKubelet)) return { kind: 'granted' };
  const access = record?.credentialMapping?.[repository];
  if (access === undefined) return { kind: 'pull' };
  if (access.nodePodsAccessible === true) return { kind: 'granted' };
  for (const origin of origins) {
    if (origin.kind === 'account') {
      if (access.kubernetesServiceAccounts?.some((known) => isSameObject(known, origin.account)) === true) {
        return { kind: 'granted' };
      }
    } else if (origin.kind === 'secret') {
      for (const known of access.kubernetesSecrets ?? []) {
        const hasSameHash = known.credentialHash !== '' && known.credentialHash === origin.secret.credentialHash;
        const isSame = isSameObject(known, origin.secret);
        if (isSame && hasSameHash) return { kind: 'granted' };
        if (isSame || hasSameHash) return { kind: 'granted', learned: origin };
      }
    }
  }
  return { kind: 'pull' };
}

function needsVerification({ policy, allowlist }: VerificationRules, repository: string, wasPulled: boolean): boolean {
  switch (policy) {
    case 'NeverVerify':
      return false;
    case 'NeverVerifyPreloadedImages':
      return wasPulled;
    case 'NeverVerifyAllowlistedImages':
      return wasPulled || !allowlist.some((pattern) => isListed(pattern, repository));
    case 'AlwaysVerify':
      return true;
  }
}

function isListed(pattern: string, repository: string): boolean {
  if (pattern.endsWith('/*')) return repository.startsWith(pattern.slice(0, -1));
  return pattern === repository;
}

const isSameObject = (a: AccountOrigin, b: AccountOrigin): boolean =>
  a.uid === b.uid && a.namespace === b.namespace && a.name === b.name;

/** What is wrong with the configured rules; texts for the user. */
export function verificationProblems(policy: string, allowlist: readonly string[]): string[] {
  const known: readonly string[] = verificationPolicies;
  const problems = known.includes(policy)
    ? []
    : [
        `option "${policy}" specified for imagePullCredentialsVerificationPolicy. Valid options are ${known.map((one) => `"${one}"`).join(', ')}`,
      ];
  if (allowlist.length > 0 && policy !== 'NeverVerifyAllowlistedImages') {
    problems.push(
      'can\'t set `preloadedImagesVerificationAllowlist` if `imagePullCredentialsVerificationPolicy` is not "NeverVerifyAllowlistedImages"',
    );
  }
  for (const pattern of allowlist) {
    const bare = pattern.replace(/\/\*$/, '');
    const parsed = parseImageName(bare);
    const isWhole = parsed.kind === 'image' && parsed.name === `${bare}:latest`;
    // a prefix may be a registry alone, which is no image
    const isPrefix = pattern.endsWith('/*') && !/[\s@*]/.test(bare) && bare !== '' && !bare.endsWith('/');
    if (pattern.endsWith('/*') ? !isPrefix : !isWhole || parsed.repository !== bare) {
      problems.push(
        `preloadedImagesVerificationAllowlist: "${pattern}" must be a whole name with its registry, or a prefix that ends in /*, without tag and digest`,
      );
    }
  }
  return problems;
}

/** Secrets that one record remembers at most: the newest. */
const secretsMax = 100;
const accountsMax = 100;

/** The record after a pull with `origin`'s credential (undefined: without any); `undefined` when nothing is new. */
export function withAccess(
  record: PulledRecord | undefined,
  { imageRef, repository, nowText }: { imageRef: string; repository: string; nowText: string },
  origin: Origin | undefined,
): PulledRecord | undefined {
  const before = record?.credentialMapping?.[repository];
  const access = mergeAccess(before ?? {}, origin);
  if (record !== undefined && before !== undefined && access === before) return undefined;
  return {
    lastUpdatedTime: nowText,
    imageRef,
    credentialMapping: { ...record?.credentialMapping, [repository]: access },
  };
}

function mergeAccess(before: ImageAccess, origin: Origin | undefined): ImageAccess {
  if (before.nodePodsAccessible === true) return before;
  if (origin === undefined || origin.kind === 'node') return { nodePodsAccessible: true };
  if (origin.kind === 'account') {
    const known = before.kubernetesServiceAccounts ?? [];
    if (known.some((one) => isSameObject(one, origin.account))) return before;
    return { ...before, kubernetesServiceAccounts: [...known, origin.account].slice(-accountsMax) };
  }
  const known = before.kubernetesSecrets ?? [];
  const { secret } = origin;
  if (known.some((one) => isSameObject(one, secret) && one.credentialHash === secret.credentialHash)) return before;
  const others = known.filter((one) => !isSameObject(one, secret));
  return { ...before, kubernetesSecrets: [...others, secret].slice(-secretsMax) };
}
