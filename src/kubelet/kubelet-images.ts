/** The room of images with what it needs of the machine and the API: credentials, tokens, plugins, limits. */
import type { Cri } from '../adapters/cri/cri.ts';
import type { Host } from '../adapters/host/host.ts';
import { CommandError, runCommand } from '../adapters/processes/processes.ts';
import type { Clock } from '../base/clock.ts';
import { NotFoundError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { aborted } from '../base/run-together.ts';
import { TokenBucket } from '../client/token-bucket.ts';
import type { Pod, Secret } from '../objects/generated/core-v1.ts';
import type { KubeletConfig } from './config.ts';
import { parseDurationMs } from './config-values.ts';
import type { KubeletApi } from './kubelet-api.ts';
import type { Observe } from './observe/observe.ts';
import { type ObservedPod, type PodEvents, type PodPhases, uidOf } from './pod-model.ts';
import { CredentialProviders } from './support/images/credential-providers.ts';
import { ImageCollector } from './support/images/image-collector.ts';
import { type ImageCounts, Images } from './support/images/images.ts';
import { NodeCredentials } from './support/images/node-credentials.ts';
import { ServiceAccountTokens } from './support/volumes/service-account-tokens.ts';

export interface ImagesContext {
  config: KubeletConfig;
  cri: Cri;
  host: Host;
  /** Undefined: standalone. */
  api: KubeletApi | undefined;
  events: PodEvents;
  phases: PodPhases;
  counts: ImageCounts;
  clock: Clock;
  log: Logger;
}

const tokenLifeSeconds = 3600;

export function makeImages({ config, cri, host, api, events, phases, counts, clock, log }: ImagesContext): Images {
  const places = {
    rootDir: config.rootDir,
    workingDirectory: process.cwd(),
    home: process.env['HOME'],
    top: '/',
  };
  const withApi = (): KubeletApi => {
    if (api === undefined) throw new NotFoundError('this kubelet has no API server to ask about service accounts');
    return api;
  };
  const tokens = new ServiceAccountTokens({ requestToken: (wish, s) => withApi().requestToken(wish, s), clock });
  const nodeCredentials = new NodeCredentials({ places, clock, log });
  const providers = new CredentialProviders({
    providers: config.imageCredentialProviders,
    binDir: config.imageCredentialProviderBinDir,
    run: runPlugin,
    serviceAccount: (namespace, name, s) => withApi().serviceAccount(namespace, name, s),
    requestToken: (pod, audience, s) =>
      tokens.get(
        {
          namespace: pod.metadata.namespace ?? 'default',
          serviceAccount: pod.spec.serviceAccountName ?? '',
          audience,
          expirationSeconds: tokenLifeSeconds,
          podName: pod.metadata.name,
          podUid: uidOf(pod),
        },
        s,
      ),
    forgetTokens: (uid) => tokens.forget(uid),
    parseDurationMs,
    clock,
    log,
  });
  const { registryPullQps: qps, registryBurst: burst } = config;
  const rate = qps > 0 ? new TokenBucket({ qps, burst, clock }) : undefined;
  return new Images({
    cri,
    events,
    phases,
    rootDir: config.rootDir,
    nodeCredentials: () => nodeCredentials.entries(),
    providers,
    verification: config.imageVerification,
    space: (path) => host.filesystem(path),
    mayPull: () => rate?.tryTake() ?? true,
    counts,
    parallelPullsMax: config.serializeImagePulls ? 1 : (config.maxParallelImagePulls ?? Infinity),
    clock,
    log,
  });
}

export interface CollectorContext {
  config: KubeletConfig;
  cri: Cri;
  host: Host;
  observe: Observe;
  nodeEvent: (type: 'Normal' | 'Warning', reason: string, message: string) => void;
  counts: { imageRemoved(reason: 'age' | 'space'): void };
  clock: Clock;
  log: Logger;
}

export function makeImageCollector(context: CollectorContext): ImageCollector {
  const { config, cri, host, observe, nodeEvent, counts, clock, log } = context;
  return new ImageCollector({
    cri,
    usedImages: () => imagesInUse(observe.list()),
    whenUseIsKnown: (s) => Promise.race([observe.firstLook, aborted(s)]),
    space: (path) => host.filesystem(path),
    limits: config.imageGarbage,
    nodeEvent,
    counts,
    clock,
    log,
  });
}

/** Every name and id of an image that a container has or mounts, also one that has ended. */
export function imagesInUse(pods: Iterable<ObservedPod>): ReadonlySet<string> {
  const used = new Set<string>();
  for (const { containers } of pods) {
    for (const { image, imageId, imageRef, mounts } of containers) {
      for (const name of [image, imageId, imageRef]) used.add(name);
      for (const mount of mounts) if (mount.image !== undefined) used.add(mount.image);
    }
  }
  return used;
}

type RunPlugin = ConstructorParameters<typeof CredentialProviders>[0]['run'];

/** What a plugin says on its standard output is secret, also when it fails. */
const runPlugin: RunPlugin = async (file, args, options) => {
  try {
    return await runCommand(file, args, options);
  } catch (err) {
    if (!(err instanceof CommandError)) throw err;
    const how = err.exitCode === undefined ? 'could not be run to its end' : `exited with code ${err.exitCode}`;
    throw new Error(`"${file}" ${how}${err.stderr.trim() === '' ? '' : `: ${err.stderr.trim().slice(-1000)}`}`);
  }
};

interface PullSecretsNeed {
  objects: { secret(namespace: string, name: string, signal: AbortSignal): Promise<Secret> };
  events: PodEvents;
}

/** The pull secrets of a pod that can be had; those that cannot are named in an event. */
export async function readPullSecrets(
  { objects, events }: PullSecretsNeed,
  pod: Pod,
  signal: AbortSignal,
): Promise<Secret[]> {
  const names = (pod.spec.imagePullSecrets ?? []).flatMap(({ name }) =>
    name === undefined || name === '' ? [] : [name],
  );
  const namespace = pod.metadata.namespace ?? 'default';
  const found = await Promise.allSettled(names.map((name) => objects.secret(namespace, name, signal)));
  const missing = names.filter((_, i) => found[i]?.status === 'rejected');
  if (missing.length > 0) {
    const message = `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`;
    events.pod(pod, 'Warning', 'FailedToRetrieveImagePullSecret', message);
  }
  return found.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}
