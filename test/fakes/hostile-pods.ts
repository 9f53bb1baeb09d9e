/**
 * Pods that nobody should write: a valid pod, changed in ways that break it, or try to. Seeded: the same seed and number
 * give the same object.
 */

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type JsonMap = { [key: string]: Json };

/** Small, fast, good enough: mulberry32. */
export function makeRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export interface HostilePod {
  /** As it goes over the wire; JSON that `JSON.stringify` would not write is possible. */
  text: string;
  /** What was done, for messages. */
  changes: string[];
}

/** @param uid,name the pod's, unless they are changed, too */
export function hostilePod(seed: number, index: number, { uid, name }: { uid: string; name: string }): HostilePod {
  const random = makeRandom(seed * 1_000_003 + index);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T; // never past the end
  const pod = validPod(pick, name, uid);
  const changes: string[] = [];
  const count = pick([1, 1, 1, 2, 3]);
  for (let i = 0; i < count; i++) changes.push(change(pod, pick, random));
  // keys that JSON.stringify cannot be told to write
  const text = JSON.stringify(pod).replaceAll('"~proto~"', '"__proto__"');
  return { text, changes };
}

const nasty: readonly Json[] = [
  null,
  true,
  false,
  0,
  -1,
  1,
  3.7,
  65_536,
  -2_147_483_649,
  2_147_483_648,
  1e300,
  9_007_199_254_740_994,
  '',
  ' ',
  'x',
  '0',
  '-1',
  'null',
  'true',
  '\0',
  'a\0b',
  '../../../../tmp/gantry-hostile',
  '..',
  '.',
  '/',
  '/etc/../etc/shadow',
  '~',
  'a/b',
  'UPPER_case',
  '-dash-',
  'constructor',
  'toString',
  'hasOwnProperty',
  '~proto~',
  '\ud800',
  '‮evil',
  '😀'.repeat(20),
  'é́́́',
  '$(A)',
  '$(A)$(B)$$(C)$(',
  '%s%n%d',
  '{{.}}',
  '`id`',
  '; rm -rf x',
  '1e9999',
  '1Ei',
  '-5Gi',
  '0.0000000001',
  'NaN',
  'Infinity',
  '9999999999999999999999',
  '2020-13-45T99:99:99Z',
  '2020-01-01T00:00:00Z',
  'Always',
  'localhost/x',
  '127.0.0.1',
  '::1',
  '256.256.256.256',
  'x'.repeat(64),
  'x'.repeat(300),
  'y/'.repeat(200),
  [],
  {},
  [null],
  [[]],
  [{}],
  [''],
  [1],
  { '~proto~': { polluted: true } },
  { constructor: { prototype: { polluted: true } } },
  { '': '' },
  { a: { b: { c: { d: 1 } } } },
];

/** Changes one thing at a random place, or does one of the rare big things. */
function change(pod: JsonMap, pick: <T>(list: readonly T[]) => T, random: () => number): string {
  if (random() < 0.12) return special(pod, pick, random);
  const places = allPlaces(pod, '', []);
  const { parent, key, path } = pick(places);
  const value = (parent as JsonMap)[key] as Json; // lists are addressed by their index
  switch (
    pick(['replace', 'replace', 'replace', 'remove', 'replace', 'remove', 'twice', 'many', 'add', 'wrap'] as const)
  ) {
    case 'replace': {
      const isFitting = random() < 0.75; // what has the right type gets further
      const fitting = isFitting ? nasty.filter((one) => kindOf(one) === kindOf(value)) : nasty;
      const nastyValue = structuredClone(pick(fitting.length > 0 ? fitting : nasty));
      put(parent, key, nastyValue);
      return `${path} = ${JSON.stringify(nastyValue).slice(0, 60)}`;
    }
    case 'remove':
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else delete parent[key];
      return `${path} removed`;
    case 'twice':
      if (Array.isArray(value)) value.push(...structuredClone(value));
      else if (Array.isArray(parent)) parent.push(structuredClone(value));
      else put(parent, `${key}2`, structuredClone(value));
      return `${path} twice`;
    case 'many': {
      if (!Array.isArray(value)) put(parent, key, [value, structuredClone(value)]);
      else
        for (let i = value.length; i > 0 && value.length < 40; i = value.length)
          value.push(structuredClone(value[0] ?? null));
      return `${path} many times`;
    }
    case 'add': {
      const odd = pick(['~proto~', 'constructor', '', 'a/b', '$patch', 'unknown', '..']);
      if (Array.isArray(value)) value.push(structuredClone(pick(nasty)));
      else if (typeof value === 'object' && value !== null) value[odd] = structuredClone(pick(nasty));
      else put(parent, key, { [odd]: value });
      return `${path} with "${odd}"`;
    }
    case 'wrap':
      put(parent, key, [value]);
      return `${path} in a list`;
  }
}

const kindOf = (value: Json): string => (value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value);

function special(pod: JsonMap, pick: <T>(list: readonly T[]) => T, random: () => number): string {
  const spec = mapAt(pod, 'spec');
  const metadata = mapAt(pod, 'metadata');
  const first = Array.isArray(spec['containers']) ? spec['containers'][0] : undefined;
  const container = typeof first === 'object' && first !== null && !Array.isArray(first) ? first : {};
  const many = random() < 0.05 ? 2000 : 60;
  const range = Array.from({ length: many }, (_, i) => i);
  switch (
    pick([
      'containers',
      'env',
      'volumes',
      'mounts',
      'cycle',
      'annotation',
      'deep',
      'sysctls',
      'aliases',
      'labels',
      'ports',
      'prototype',
      'nulls',
    ] as const)
  ) {
    case 'containers':
      spec['containers'] = range.slice(0, many > 60 ? 300 : 12).map((i) => ({ name: `c${i}`, image: 'web:1' }));
      return `${many} containers`;
    case 'env':
      container['env'] = range.map((i) => ({ name: `E${i}`, value: `$(E${i - 1})`.repeat(2) }));
      return `${many} variables, each twice the one before`;
    case 'volumes':
      spec['volumes'] = range.map((i) => ({ name: `v${i}`, emptyDir: {} }));
      return `${many} volumes`;
    case 'mounts':
      container['volumeMounts'] = range.map((i) => ({ name: 'data', mountPath: `/m${i}` }));
      return `${many} mounts`;
    case 'cycle':
      container['env'] = [
        { name: 'A', value: '$(B)' },
        { name: 'B', value: '$(A)$(B)' },
        { name: 'A', value: '$(A)$(A)' },
      ];
      return 'variables in a cycle';
    case 'annotation':
      mapAt(metadata, 'annotations')['big'] = 'z'.repeat(random() < 0.1 ? 700_000 : 5000);
      return 'a big annotation';
    case 'deep': {
      let nested: Json = 1;
      for (let i = 0; i < 500; i++) nested = i % 2 === 0 ? [nested] : { d: nested };
      put(pick([pod, spec, container, metadata]), pick(['affinity', 'resources', 'securityContext', 'x']), nested);
      return 'deep nesting';
    }
    case 'sysctls':
      mapAt(spec, 'securityContext')['sysctls'] = [
        {
          name: pick(['kernel/../x', '', 'net..ipv4', 'vm.overcommit_memory', 'net.ipv4.tcp_syncookies']),
          value: pick(['', '\0', '1']),
        },
      ];
      return 'odd sysctls';
    case 'aliases':
      spec['hostAliases'] = range.map((i) => ({ ip: `10.0.${i % 256}.1\n6.6.6.6`, hostnames: ['x\ny', ''] }));
      return 'aliases with line breaks';
    case 'labels':
      metadata['labels'] = Object.fromEntries(range.map((i) => [`k${i}/${'l'.repeat(i % 70)}`, 'v'.repeat(i % 80)]));
      return 'many labels';
    case 'ports':
      container['ports'] = range.map((i) => ({
        containerPort: i * 1000,
        hostPort: i - 1,
        protocol: pick(['TCP', 'x', '']),
      }));
      return 'odd ports';
    case 'prototype':
      pod['~proto~'] = { polluted: 1 };
      container['~proto~'] = { image: 'web:1' };
      mapAt(metadata, 'labels')['~proto~'] = 'x';
      mapAt(container, 'resources')['limits'] = { '~proto~': '1', constructor: '1' };
      return '__proto__ keys';
    case 'nulls':
      for (const key of Object.keys(spec)) if (random() < 0.5) spec[key] = null;
      return 'many nulls';
  }
}

function mapAt(parent: JsonMap, key: string): JsonMap {
  const value = parent[key];
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  const made: JsonMap = {};
  parent[key] = made;
  return made;
}

function put(parent: JsonMap | Json[], key: string, value: Json): void {
  if (Array.isArray(parent)) parent[Number(key)] = value;
  else parent[key] = value;
}

interface Place {
  parent: JsonMap | Json[];
  key: string;
  path: string;
}

function allPlaces(value: JsonMap | Json[], path: string, found: Place[]): Place[] {
  for (const [key, item] of Object.entries(value)) {
    const at = Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`;
    found.push({ parent: value, key, path: at });
    if (typeof item === 'object' && item !== null && found.length < 2000) allPlaces(item, at, found);
  }
  return found;
}

/** One of many valid pods that use much of what pods have. */
function validPod(pick: <T>(list: readonly T[]) => T, name: string, uid: string): JsonMap {
  const parts = (list: ReadonlyArray<JsonMap>): JsonMap => Object.assign({}, ...list.filter(() => pick([true, false])));
  const container = (own: string): JsonMap => ({
    name: own,
    image: 'web:1',
    ...parts([
      { command: ['/bin/x'], args: ['$(A)', '$(NOPE)'] },
      { workingDir: '/w', tty: true, stdin: true },
      {
        env: [
          { name: 'A', value: 'a' },
          { name: 'N', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } },
          { name: 'L', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '1m' } } },
        ],
      },
      { envFrom: [{ prefix: 'P_', configMapRef: { name: 'settings', optional: true } }] },
      { resources: { requests: { cpu: '1m', memory: '1Mi' }, limits: { cpu: '100m', memory: '8Mi' } } },
      { ports: [{ name: 'http', containerPort: 80, protocol: 'TCP' }] },
      {
        volumeMounts: [
          { name: 'data', mountPath: '/data', subPath: 'sub' },
          { name: 'info', mountPath: '/info', readOnly: true, recursiveReadOnly: 'IfPossible' },
        ],
      },
      {
        securityContext: {
          runAsUser: 1000,
          capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          seccompProfile: { type: 'RuntimeDefault' },
          procMount: 'Default',
        },
      },
      { readinessProbe: { exec: { command: ['true'] }, periodSeconds: 20, failureThreshold: 1 } },
      { livenessProbe: { tcpSocket: { port: 'http' }, initialDelaySeconds: 60 } },
      { lifecycle: { preStop: { exec: { command: ['true'] } } } },
      { terminationMessagePath: '/dev/log', terminationMessagePolicy: 'FallbackToLogsOnError' },
      { imagePullPolicy: pick(['IfNotPresent', 'Never']) },
    ]),
  });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'default',
      uid,
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...parts([
        { labels: { app: 'web', tier: 'front' } },
        { annotations: { 'container.apparmor.security.beta.kubernetes.io/web': 'unconfined', note: 'x' } },
        {
          ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'rs', uid: 'rs-uid', controller: true }],
        },
      ]),
    },
    spec: {
      nodeName: 'node-1',
      restartPolicy: pick(['Always', 'OnFailure', 'Never']),
      terminationGracePeriodSeconds: pick([0, 1, 30]),
      containers: pick([true, true, true, false]) ? [container('web')] : [container('web'), container('second')],
      volumes: [
        { name: 'data', emptyDir: pick<JsonMap>([{}, { sizeLimit: '1Mi' }]) },
        {
          name: 'info',
          downwardAPI: { defaultMode: 420, items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] },
        },
      ],
      ...parts([
        { initContainers: [{ name: 'setup', image: 'init:1' }] },
        { initContainers: [{ ...container('side'), restartPolicy: 'Always' }] },
        {
          securityContext: {
            fsGroup: 100,
            supplementalGroups: [1, 2],
            sysctls: [{ name: 'net.ipv4.tcp_syncookies', value: '1' }],
          },
        },
        parts([parts([{ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }])]),
        { hostname: 'h', subdomain: 's', setHostnameAsFQDN: false },
        { hostAliases: [{ ip: '10.0.0.1', hostnames: ['a', 'b'] }] },
        { dnsConfig: { nameservers: ['10.0.0.2'], searches: ['x.y'], options: [{ name: 'ndots', value: '2' }] } },
        { tolerations: [{ operator: 'Exists' }] },
        { nodeSelector: { 'kubernetes.io/os': 'linux' } },
        { shareProcessNamespace: true },
        { activeDeadlineSeconds: 600 },
        parts([parts([{ runtimeClassName: 'missing' }])]),
        { readinessGates: [{ conditionType: 'x/y' }] },
        { priority: 0, enableServiceLinks: true, schedulerName: 'default-scheduler', hostUsers: true },
        {
          affinity: {
            nodeAffinity: {
              requiredDuringSchedulingIgnoredDuringExecution: {
                nodeSelectorTerms: [{ matchExpressions: [{ key: 'x', operator: 'DoesNotExist' }] }],
              },
            },
          },
        },
      ]),
    },
    status: { phase: 'Pending' },
  };
}
