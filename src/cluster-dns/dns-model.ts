/** The nouns of the cluster's name service. Names are absolute, in lower case, without the dot at their end; '' is the root. */

/** Record types that we make ourselves; others only pass through. */
export type DnsRecord = { name: string; ttl: number } & RecordData;

export type RecordData =
  | { type: 'A' | 'AAAA' | 'CNAME' | 'NS' | 'PTR'; data: string }
  | { type: 'SRV'; data: SrvData }
  | { type: 'TXT'; data: string[] }
  | { type: 'HINFO'; data: { cpu: string; os: string } }
  | { type: 'SOA'; data: SoaData };

export interface SrvData {
  priority: number;
  weight: number;
  port: number;
  target: string;
}

export interface SoaData {
  mname: string;
  rname: string;
  serial: number;
  refresh: number;
  retry: number;
  expire: number;
  minimum: number;
}

export const rcodes = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

export type Rcode = keyof typeof rcodes;

/** Numbers of the record types that somebody here looks at. */
export const recordTypes = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  TKEY: 249,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  MAILB: 253,
  MAILA: 254,
  ANY: 255,
} as const;

export const classIn = 1;

/** What is asked: `type` is a number, since any of 65,536 may be asked for. */
export interface Question {
  name: string;
  type: number;
}

export interface Answer {
  rcode: Rcode;
  isAuthoritative: boolean;
  answers: DnsRecord[];
  authorities: DnsRecord[];
  /** Left out first when there is no room. */
  additionals: DnsRecord[];
  /** The answer ends in an alias whose target is somebody else's to say: addresses of it are wanted as well. */
  target?: string;
}

/** Which names of pods exist: none, any with an address in it, or those of pods. */
export type PodMode = 'disabled' | 'insecure' | 'verified';

export type IpFamily = 'IPv4' | 'IPv6';

/** A Service, as far as its names go. */
export interface ServiceFacts {
  namespace: string;
  name: string;
  kind: 'cluster-ip' | 'headless' | 'external-name';
  /** Of a cluster-ip Service. */
  addresses: readonly string[];
  /** Of an external-name Service: in lower case, without a dot at its end. */
  externalName: string;
  ports: readonly PortFacts[];
}

export interface PortFacts {
  /** '' for one without a name. */
  name: string;
  /** In lower case: `tcp`. */
  protocol: string;
  port: number;
}

/** An EndpointSlice, as far as names go: only endpoints that are ready. */
export interface SliceFacts {
  serviceKey: string;
  name: string;
  family: IpFamily;
  ports: readonly PortFacts[];
  endpoints: readonly EndpointFacts[];
}

export interface EndpointFacts {
  /** Its host name, or one made of its address. */
  label: string;
  hasHostname: boolean;
  address: string;
}

/** What `answerZone` may ask: the cluster as it is now. */
export interface ClusterRecords {
  hasNamespace(name: string): boolean;
  service(namespace: string, name: string): ServiceFacts | undefined;
  slices(namespace: string, name: string): Iterable<SliceFacts>;
  /** The Services that have this cluster address. */
  servicesByAddress(address: AddressKey): readonly ServiceFacts[];
  /** The Services of which this is a ready endpoint's address, each with that endpoint. */
  endpointsByAddress(address: AddressKey): ReadonlyArray<{ service: ServiceFacts; endpoint: EndpointFacts }>;
  hasPod(namespace: string, address: AddressKey): boolean;
  /** Seconds since the epoch of the last change: the zone's serial number. */
  readonly serial: number;
}

/** An address in the one form that equal addresses have: `10.0.0.1`, or 32 hexadecimal digits. */
export type AddressKey = string;
