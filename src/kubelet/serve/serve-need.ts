/** What the kubelet's HTTPS door asks of everybody else. */
import type { Cri } from '../../adapters/cri/cri.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { UserInfo } from '../../objects/generated/authentication-v1.ts';
import type { SubjectAccessReviewSpec } from '../../objects/generated/authorization-v1.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import type { RequestLabels } from './request-labels.ts';

/** Something that may be replaced while we run, e.g. by a file that changes. */
export interface Changing<T> {
  /** Undefined: not there yet. */
  current(): T | undefined;
  /** Calls back after each change; the returned function ends that. */
  onChange(listener: () => void): () => void;
}

/** PEM: certificate with its chain, and private key. */
export interface KeyPair {
  cert: string;
  key: string;
}

export interface AuthenticationSettings {
  /** `authentication.anonymous.enabled` */
  isAnonymousAllowed: boolean;
  /** PEM bundle of `authentication.x509.clientCAFile`; undefined: no client certificates. */
  clientCa: Changing<string> | undefined;
  /** `authentication.webhook`; undefined: no bearer tokens. */
  webhook: { cacheTtlMs: number; reviewToken: ReviewToken } | undefined;
}

/** TokenReview: undefined when the token is not good. Throws when it can't be told. */
export type ReviewToken = (token: string, signal: AbortSignal) => Promise<UserInfo | undefined>;

/** SubjectAccessReview. Throws when it can't be told. */
export type ReviewAccess = (spec: SubjectAccessReviewSpec, signal: AbortSignal) => Promise<boolean>;

export type AuthorizationSettings =
  | { mode: 'AlwaysAllow' }
  | { mode: 'Webhook'; authorizedTtlMs: number; unauthorizedTtlMs: number; reviewAccess: ReviewAccess };

export interface ReadLogOptions {
  follow: boolean;
  tailLines: number | undefined;
  sinceMs: number | undefined;
  timestamps: boolean;
  limitBytes: number | undefined;
}

/** `ContainerLogs.read` has this shape. */
export type ReadLog = (
  path: string,
  options: ReadLogOptions,
  isRunning: (signal: AbortSignal) => Promise<boolean>,
  signal: AbortSignal,
) => Promise<AsyncIterable<Buffer>>;

export interface RunningPod {
  uid: string;
  name: string;
  namespace: string;
  containers: ReadonlyArray<{ name: string; image: string }>;
}

/** Throws with the reason when something is not well. */
export type HealthCheck = (signal: AbortSignal) => Promise<void>;

/** A page that we have: text of the Prometheus format, or an object for JSON. */
export type Page<T> = (signal: AbortSignal) => Promise<T>;

/** What `/statusz` tells of this process. */
export interface Statusz {
  startedMs: number;
  nowMs: number;
  wakeUpsPerSecond: number;
  cpuPercent: number;
  residentBytes: number;
  eventLoopDelayP99Ms: number;
  /** Pods that wait for one step for too long. */
  fencedPods: ReadonlyArray<{ pod: string; uid: string; step: string; ageSeconds: number; limitSeconds: number }>;
}

export interface ServeNeed {
  /** `address`, an IP; `0.0.0.0` or `::` for all. */
  address: string;
  /** 10250; 0 lets the system choose. */
  port: number;
  nodeName: string;
  tls: {
    /** While there is none, handshakes fail. */
    servingCertificate: Changing<KeyPair>;
    minVersion: 'TLSv1.2' | 'TLSv1.3';
    /** As OpenSSL names them, joined by `:`; undefined: Node's. */
    ciphers: string | undefined;
  };
  authentication: AuthenticationSettings;
  authorization: AuthorizationSettings;
  /** `enableDebuggingHandlers`: logs, exec, attach, port-forward, run, running pods, configz. */
  hasDebuggingHandlers: boolean;

  /** All that should run here, mirror pods too, each with its current status. */
  pods(): readonly Pod[];
  /** One of them; for a static pod its status is the static pod's. */
  podByName(namespace: string, name: string): Pod | undefined;
  /** The id of the newest running instance of a container. */
  runningContainerId(podUid: string, container: string): string | undefined;
  /** The id of the pod's newest ready sandbox. */
  sandboxId(podUid: string): string | undefined;
  /** Pods of which the runtime runs something. */
  runningPods: Page<readonly RunningPod[]>;
  cri: Pick<Cri, 'execUrl' | 'attachUrl' | 'portForwardUrl' | 'execSync' | 'containerStatus'>;
  readLog: ReadLog;

  /** By path: `/metrics`, `/metrics/resource`, `/metrics/cadvisor`, `/metrics/probes`, `/metrics/slis`. Others are 404. */
  metricPages: ReadonlyMap<string, Page<string>>;
  /** `/stats/summary`; undefined: 404. */
  statsSummary: ((onlyCpuAndMemory: boolean, signal: AbortSignal) => Promise<unknown>) | undefined;
  /** `/configz`: the KubeletConfiguration in force, with defaults, kind and apiVersion. */
  configz(): unknown;
  statusz(): Statusz;
  /** Beside `ping`, in this order: `log`, `syncloop`, `device-plugin`. */
  healthChecks: ReadonlyArray<{ name: string; check: HealthCheck }>;
  /** Told of each request; what it returns is called when the request, or the stream that it became, has ended. */
  onRequest?(labels: RequestLabels): () => void;
  clock: Clock;
  log: Logger;
}
