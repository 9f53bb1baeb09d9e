/** Plugs the kubelet's rooms into its HTTPS door. */
import type { Cri } from '../adapters/cri/cri.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import { loadX509 } from '../bootstrap/x509.ts';
import type { ApiClient } from '../client/api-client.ts';
import { subjectAccessReviews, tokenReviews } from '../client/resource-types.ts';
import type { Pod } from '../objects/generated/core-v1.ts';
import type { KubeletConfig } from './config.ts';
import type { PodStore } from './desired/pod-store.ts';
import type { PodWorkers } from './dispatch/pod-workers.ts';
import { KubeletMetrics } from './kubelet-metrics.ts';
import type { KubeletStats } from './kubelet-stats.ts';
import type { Observe } from './observe/observe.ts';
import { latestContainer, readySandbox, uidOf } from './pod-model.ts';
import type { PodWhy } from './pod-why.ts';
import type { ProcessMeter } from './process-figures.ts';
import type { PodStatusWriter } from './report/pod-status-writer.ts';
import { KubeletServer } from './serve/serve.ts';
import type { Page, ReviewAccess, ReviewToken } from './serve/serve-need.ts';
import { clientCaFile } from './support/certificates/client-ca.ts';
import { ServingCertificate } from './support/certificates/serving-certificate.ts';
import type { Counts } from './support/metrics/metrics.ts';
import type { Resizes } from './support/resize/resizes.ts';
import type { ContainerLogs } from './support/logs/logs.ts';
import type { Probes } from './support/probes/probes.ts';

interface ServerParts {
  config: KubeletConfig;
  api: ApiClient | undefined;
  store: PodStore;
  statuses: PodStatusWriter;
  observe: Observe;
  cri: Cri;
  logs: ContainerLogs;
  probes: Probes;
  why: Pick<PodWhy, 'fenced'>;
  counts: Counts;
  workers: Pick<PodWorkers, 'isActive' | 'state' | 'uids'>;
  resizes: Pick<Resizes, 'figures'>;
  stats: KubeletStats;
  cgroupVersion: number;
  meter: ProcessMeter;
  startedMs: number;
  clock: Clock;
  log: Logger;
}

/** Undefined when the configuration says that there is no server. @throws when its certificates cannot be read */
export async function makeServer(parts: ServerParts): Promise<{ run(signal: AbortSignal): Promise<void> } | undefined> {
  const { config, api, store, statuses, observe, cri, logs, probes, why, meter, startedMs, clock, log } = parts;
  const { counts, workers, resizes, stats, cgroupVersion } = parts;
  const { server: settings } = config;
  if (!settings.isEnabled) return undefined;
  const isConfigured = settings.tlsCertFile !== '' && settings.tlsPrivateKeyFile !== '';
  const certificate = new ServingCertificate({
    certDirectory: config.certDir,
    hostName: config.nodeName,
    loadX509,
    configured: isConfigured ? { certFile: settings.tlsCertFile, keyFile: settings.tlsPrivateKeyFile } : undefined,
    clock,
    log,
  });
  await certificate.load();
  const clientCa = settings.clientCaFile === '' ? undefined : clientCaFile(settings.clientCaFile, { clock, log });
  await clientCa?.load();

  const withStatus = (pod: Pod): Pod => {
    const status = statuses.get(uidOf(pod));
    return status === undefined ? pod : { ...pod, status };
  };
  const metrics = new KubeletMetrics({
    nodeName: config.nodeName,
    pods: () => [...observe.list()],
    counts: counts.registry,
    store,
    workers,
    resizes,
    stats,
    cgroupVersion,
    fencedPods: () => why.fenced().length,
    meter,
  });
  const server = new KubeletServer({
    address: settings.address,
    port: settings.port,
    nodeName: config.nodeName,
    tls: { servingCertificate: certificate, minVersion: 'TLSv1.2', ciphers: undefined },
    authentication: {
      isAnonymousAllowed: settings.anonymousEnabled,
      clientCa,
      webhook:
        settings.tokenWebhookEnabled && api !== undefined
          ? { cacheTtlMs: settings.tokenCacheTtlMs, reviewToken: tokenReviewer(api) }
          : undefined,
    },
    authorization:
      settings.authorizationMode === 'AlwaysAllow'
        ? { mode: 'AlwaysAllow' }
        : {
            mode: 'Webhook',
            authorizedTtlMs: settings.authorizedCacheTtlMs,
            unauthorizedTtlMs: settings.unauthorizedCacheTtlMs,
            reviewAccess: accessReviewer(api),
          },
    hasDebuggingHandlers: settings.enableDebuggingHandlers,
    pods: () => [...store.list().map(withStatus), ...store.mirrors()],
    podByName: (namespace, name) => {
      const pod = store.byName(namespace, name);
      return pod === undefined ? undefined : withStatus(pod);
    },
    runningContainerId: (uid, name) => {
      const latest = latestContainer(observe.get(uid), name);
      return latest?.state === 'running' ? latest.id : undefined;
    },
    sandboxId: (uid) => readySandbox(observe.get(uid))?.id,
    runningPods: () =>
      Promise.resolve(
        [...observe.list()]
          .map(({ uid, name, namespace, containers }) => ({
            uid,
            name,
            namespace,
            containers: containers
              .filter(({ state }) => state === 'running')
              .map((c) => ({ name: c.name, image: c.image })),
          }))
          .filter(({ containers }) => containers.length > 0),
      ),
    cri,
    readLog: (path, options, isRunning, signal) => logs.read(path, options, isRunning, signal),
    metricPages: new Map<string, Page<string>>([
      ['/metrics', (signal) => metrics.text(signal)],
      ['/metrics/probes', () => probes.metrics()],
    ]),
    statsSummary: (onlyCpuAndMemory, signal) => stats.summary(onlyCpuAndMemory, signal),
    configz: () => config.upstreamObject,
    statusz: () => ({ startedMs, nowMs: clock.nowMs(), ...meter.figures(), fencedPods: why.fenced() }),
    healthChecks: [
      { name: 'log', check: () => Promise.resolve() },
      {
        name: 'syncloop',
        check: () => {
          const reason = observe.unhealthy();
          return reason === undefined ? Promise.resolve() : Promise.reject(new Error(reason));
        },
      },
    ],
    onRequest: (labels) => counts.request({ ...labels }, clock),
    clock,
    log,
  });
  return {
    run: (signal) =>
      runTogether(signal, [
        (s) => server.run(s),
        (s) => certificate.run(s),
        ...(clientCa === undefined ? [] : [(s: AbortSignal) => clientCa.run(s)]),
      ]),
  };
}

function tokenReviewer(api: ApiClient): ReviewToken {
  return async (token, signal) => {
    const review = await api.create(
      tokenReviews,
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', metadata: { name: '' }, spec: { token } },
      signal,
    );
    return review.status?.authenticated === true ? (review.status.user ?? {}) : undefined;
  };
}

function accessReviewer(api: ApiClient | undefined): ReviewAccess {
  return async (spec, signal) => {
    if (api === undefined)
      throw new Error('Cannot ask who may come in: this kubelet has no API server (authorization.mode Webhook)');
    const review = await api.create(
      subjectAccessReviews,
      { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', metadata: { name: '' }, spec },
      signal,
    );
    return review.status?.allowed === true;
  };
}
