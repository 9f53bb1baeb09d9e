/** What was found out about one Service, as the explanation needs it. Types only; all times in milliseconds. */

export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  /** Undefined: there is none. */
  readonly service: ServiceSummary | undefined;
  /** Services that may have been meant; only when there is none. */
  readonly similar: readonly string[];
  readonly pods: readonly PodFact[];
  /** Pods could not be read: that there are none says nothing. */
  readonly arePodsUnknown?: boolean;
  readonly endpoints: readonly EndpointFact[];
  readonly proxy: ProxyFact;
  readonly frontends: readonly FrontendFact[];
  readonly tries: readonly TryFact[];
  readonly policies: readonly PolicyFact[];
  readonly flows: readonly FlowFact[];
  /** What could not be found out, and why. */
  readonly gaps: readonly string[];
}

export interface ServiceSummary {
  readonly type: string;
  readonly clusterIps: readonly string[];
  readonly externalName: string | undefined;
  /** As a label selector's text; undefined: somebody else makes the endpoints. */
  readonly selector: string | undefined;
  readonly ports: ReadonlyArray<{
    readonly name: string;
    readonly protocol: string;
    readonly port: number;
    /** A number, or the name of a container's port. */
    readonly targetPort: string;
  }>;
  readonly isInternalPolicyLocal: boolean;
  /** Another proxy serves it (label `service.kubernetes.io/service-proxy-name`). */
  readonly otherProxy: string | undefined;
}

/** A pod that the selector matches. */
export interface PodFact {
  readonly name: string;
  readonly node: string;
  readonly ip: string;
  readonly phase: string;
  readonly isReady: boolean;
  readonly isDeleting: boolean;
  /** In the words of its status; empty when it is ready. */
  readonly whyNot: string;
  /** `http 8080/TCP`. */
  readonly ports: readonly string[];
}

/** One address and port of the EndpointSlices. */
export interface EndpointFact {
  readonly address: string;
  readonly portName: string;
  readonly protocol: string;
  readonly node: string;
  readonly pod: string;
  readonly isReady: boolean;
  readonly isServing: boolean;
  readonly isTerminating: boolean;
}

export interface ProxyFact {
  /** Undefined: nothing answers. */
  readonly mode: string | undefined;
  readonly isHealthy: boolean;
  /** Why it does not answer. */
  readonly silence: string | undefined;
}

export interface FrontendFact {
  /** `10.96.0.10:53/udp`. */
  readonly text: string;
  readonly kind: string;
  readonly wanted: string;
  /** Undefined: could not be read. */
  readonly installed: string | undefined;
  readonly isAsWanted: boolean;
}

/** One connection that was really made. */
export interface TryFact {
  /** `this node` or `pod NS/NAME`. */
  readonly from: string;
  readonly to: string;
  readonly isDirect: boolean;
  readonly outcome: 'connected' | 'refused' | 'unreachable' | 'silent' | 'failed';
  readonly tookMs: number;
  /** The endpoint that answered, as the connection table says. */
  readonly reached: string | undefined;
}

export interface PolicyFact {
  readonly from: string;
  readonly to: string;
  readonly isAllowed: boolean;
  /** Which policies say so. */
  readonly words: string;
}

export interface FlowFact {
  readonly text: string;
  /** To an endpoint that the Service does not have any more. */
  readonly isStale: boolean;
}
