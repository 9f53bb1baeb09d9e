/** Columns of everything but pods. */
import type { DaemonSet, Deployment, ReplicaSet, StatefulSet } from '../../objects/generated/apps-v1.ts';
import type { CronJob, Job } from '../../objects/generated/batch-v1.ts';
import type {
  ConfigMap,
  Endpoints,
  Event,
  Namespace,
  Node,
  PodSpec,
  PodTemplateSpec,
  Secret,
  Service,
} from '../../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import type { LabelSelector } from '../../objects/generated/meta-v1.ts';
import type { NetworkPolicy } from '../../objects/generated/networking-v1.ts';
import { findCondition, isConditionTrue } from '../../objects/conditions.ts';
import { formatLabelSelector } from '../../objects/label-selector.ts';
import { listAt, textAt, valueAt } from './api-object.ts';
import { typed } from './resource.ts';
import { type TableColumns, age, columns, humanDuration } from './print-table.ts';

const none = '<none>';
const orNone = (text: string | undefined): string => text || none;

function mapText(map: Record<string, string> | undefined): string {
  const entries = Object.entries(map ?? {});
  return entries.length === 0
    ? none
    : entries
        .map(([key, value]) => `${key}=${value}`)
        .toSorted()
        .join(',');
}

function selectorText(selector: LabelSelector | undefined): string {
  return selector === undefined ? none : formatLabelSelector(selector) || none;
}

function containersAndImages(spec: PodSpec | undefined): [string, string] {
  const containers = spec?.containers ?? [];
  return [containers.map(({ name }) => name).join(','), containers.map(({ image }) => image).join(',')];
}

export const nodeColumns: TableColumns = {
  columns: columns(
    'Name',
    'Status',
    'Roles',
    'Age',
    'Version',
    'Internal-IP*',
    'External-IP*',
    'OS-Image*',
    'Kernel-Version*',
    'Container-Runtime*',
  ),
  cells(object, nowMs) {
    const node = typed<Node>(object);
    const ready = findCondition(node.status?.conditions, 'Ready');
    const word = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
    const address = (type: string): string => orNone(node.status?.addresses?.find((one) => one.type === type)?.address);
    const info = node.status?.nodeInfo;
    return [
      node.metadata.name,
      node.spec.unschedulable === true ? `${word},SchedulingDisabled` : word,
      nodeRoles(node),
      age(node.metadata.creationTimestamp, nowMs),
      info?.kubeletVersion ?? '',
      address('InternalIP'),
      address('ExternalIP'),
      info?.osImage || '<unknown>',
      info?.kernelVersion || '<unknown>',
      info?.containerRuntimeVersion || '<unknown>',
    ];
  },
};

function nodeRoles(node: Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    if (key.startsWith('node-role.kubernetes.io/')) roles.add(key.slice('node-role.kubernetes.io/'.length));
    else if (key === 'kubernetes.io/role' && value !== '') roles.add(value);
  }
  return roles.size === 0
    ? none
    : [...roles]
        .filter((role) => role !== '')
        .toSorted()
        .join(',') || none;
}

export const serviceColumns: TableColumns = {
  columns: columns('Name', 'Type', 'Cluster-IP', 'External-IP', 'Port(s)', 'Age', 'Selector*'),
  cells(object, nowMs) {
    const service = typed<Service>(object);
    const { type = 'ClusterIP', ports = [], clusterIP, selector } = service.spec;
    return [
      service.metadata.name,
      type,
      orNone(clusterIP),
      externalIp(service),
      ports.length === 0
        ? none
        : ports
            .map(({ port, nodePort, protocol = 'TCP' }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol}`)
            .join(','),
      age(service.metadata.creationTimestamp, nowMs),
      mapText(selector),
    ];
  },
};

function externalIp({ spec, status }: Service): string {
  const external = spec.externalIPs ?? [];
  switch (spec.type) {
    case 'ExternalName':
      return spec.externalName ?? '';
    case 'LoadBalancer': {
      const found = [
        ...(status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || ''),
        ...external,
      ];
      return found.length === 0 ? '<pending>' : found.join(',');
    }
    case undefined:
    default:
      return external.length === 0 ? none : external.join(',');
  }
}

export const namespaceColumns: TableColumns = {
  columns: columns('Name', 'Status', 'Age'),
  cells(object, nowMs) {
    const { metadata, status } = typed<Namespace>(object);
    return [metadata.name, status?.phase ?? '', age(metadata.creationTimestamp, nowMs)];
  },
};

export const configMapColumns: TableColumns = {
  columns: columns('Name', '(integer)Data', 'Age').map((column) => ({ ...column, type: 'string' as const })),
  cells(object, nowMs) {
    const { metadata, data, binaryData } = typed<ConfigMap>(object);
    const count = Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length;
    return [metadata.name, count, age(metadata.creationTimestamp, nowMs)];
  },
};

export const secretColumns: TableColumns = {
  columns: columns('Name', 'Type', 'Data', 'Age'),
  cells(object, nowMs) {
    const { metadata, type, data } = typed<Secret>(object);
    return [metadata.name, type ?? '', Object.keys(data ?? {}).length, age(metadata.creationTimestamp, nowMs)];
  },
};

export const eventColumns: TableColumns = {
  columns: columns(
    'Last Seen',
    'Type',
    'Reason',
    'Object',
    'Subobject*',
    'Source*',
    'Message',
    'First Seen*',
    'Count*',
    'Name*',
  ).map((column) => (column.name === 'Name' ? { ...column, format: 'name' } : { ...column, format: '' })),
  cells(object, nowMs) {
    const event = typed<Event>(object);
    const { involvedObject, series } = event;
    const first = event.firstTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;
    const last = series?.lastObservedTime ?? event.lastTimestamp ?? first;
    const kind = (involvedObject?.kind ?? '').toLowerCase();
    const source = [
      event.source?.component || event.reportingComponent || '',
      event.source?.host || event.reportingInstance || '',
    ];
    return [
      age(last, nowMs),
      event.type ?? '',
      event.reason ?? '',
      involvedObject?.name ? `${kind}/${involvedObject.name}` : kind,
      involvedObject?.fieldPath ?? '',
      source.filter((part) => part !== '').join(', '),
      (event.message ?? '').trim(),
      age(first, nowMs),
      series?.count ?? event.count ?? 1,
      event.metadata.name,
    ];
  },
};

export const endpointsColumns: TableColumns = {
  columns: columns('Name', 'Endpoints', 'Age'),
  cells(object, nowMs) {
    const { metadata, subsets } = typed<Endpoints>(object);
    const all = (subsets ?? []).flatMap(({ addresses = [], ports }) =>
      ports === undefined
        ? addresses.map(({ ip }) => ip)
        : ports.flatMap(({ port }) =>
            addresses.map(({ ip }) => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`)),
          ),
    );
    return [metadata.name, firstOf(all), age(metadata.creationTimestamp, nowMs)];
  },
};

function firstOf(texts: readonly string[], max = 3): string {
  if (texts.length === 0) return none;
  return texts.length > max ? `${texts.slice(0, max).join(',')} + ${texts.length - max} more...` : texts.join(',');
}

export const endpointSliceColumns: TableColumns = {
  columns: columns('Name', 'AddressType', 'Ports', 'Endpoints', 'Age'),
  cells(object, nowMs) {
    const { metadata, addressType, ports, endpoints } = typed<EndpointSlice>(object);
    const portTexts = (ports ?? []).map(({ port, name }) => (port === undefined ? name || '*' : String(port)));
    const addresses = (endpoints ?? []).flatMap((endpoint) => endpoint.addresses);
    return [
      metadata.name,
      addressType,
      ports === undefined || ports.length === 0 ? '<unset>' : firstOf(portTexts),
      addresses.length === 0 ? '<unset>' : firstOf(addresses),
      age(metadata.creationTimestamp, nowMs),
    ];
  },
};

export const networkPolicyColumns: TableColumns = {
  columns: columns('Name', 'Pod-Selector', 'Age'),
  cells(object, nowMs) {
    const { metadata, spec } = typed<NetworkPolicy>(object);
    return [metadata.name, selectorText(spec?.podSelector ?? {}), age(metadata.creationTimestamp, nowMs)];
  },
};

export const leaseColumns: TableColumns = {
  columns: columns('Name', 'Holder', 'Age'),
  cells: (object, nowMs) => [
    object.metadata.name,
    textAt(object, 'spec', 'holderIdentity'),
    age(object.metadata.creationTimestamp, nowMs),
  ],
};

export const deploymentColumns: TableColumns = {
  columns: columns('Name', 'Ready', 'Up-to-date', 'Available', 'Age', 'Containers*', 'Images*', 'Selector*'),
  cells(object, nowMs) {
    const { metadata, spec, status } = typed<Deployment>(object);
    return [
      metadata.name,
      `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
      status?.updatedReplicas ?? 0,
      status?.availableReplicas ?? 0,
      age(metadata.creationTimestamp, nowMs),
      ...containersAndImages(spec.template.spec),
      selectorText(spec.selector),
    ];
  },
};

const replicaColumns = columns(
  'Name',
  '(integer)Desired',
  '(integer)Current',
  '(integer)Ready',
  'Age',
  'Containers*',
  'Images*',
  'Selector*',
);

export const replicaSetColumns: TableColumns = {
  columns: replicaColumns,
  cells(object, nowMs) {
    const { metadata, spec, status } = typed<ReplicaSet>(object);
    return [
      metadata.name,
      spec.replicas ?? 0,
      status?.replicas ?? 0,
      status?.readyReplicas ?? 0,
      age(metadata.creationTimestamp, nowMs),
      ...containersAndImages(spec.template?.spec),
      selectorText(spec.selector),
    ];
  },
};

export const replicationControllerColumns: TableColumns = {
  columns: replicaColumns,
  cells(object, nowMs) {
    const template = valueAt(object, 'spec', 'template');
    const pod = template === undefined ? undefined : (template as PodTemplateSpec).spec; // checked when decoded
    const selector = valueAt(object, 'spec', 'selector') as Record<string, string> | undefined; // checked when decoded
    return [
      object.metadata.name,
      valueAt(object, 'spec', 'replicas') ?? 0,
      valueAt(object, 'status', 'replicas') ?? 0,
      valueAt(object, 'status', 'readyReplicas') ?? 0,
      age(object.metadata.creationTimestamp, nowMs),
      ...containersAndImages(pod),
      mapText(selector),
    ];
  },
};

export const statefulSetColumns: TableColumns = {
  columns: columns('Name', 'Ready', 'Age', 'Containers*', 'Images*'),
  cells(object, nowMs) {
    const { metadata, spec, status } = typed<StatefulSet>(object);
    return [
      metadata.name,
      `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`,
      age(metadata.creationTimestamp, nowMs),
      ...containersAndImages(spec?.template.spec),
    ];
  },
};

export const daemonSetColumns: TableColumns = {
  columns: columns(
    'Name',
    '(integer)Desired',
    '(integer)Current',
    '(integer)Ready',
    '(integer)Up-to-date',
    '(integer)Available',
    'Node Selector',
    'Age',
    'Containers*',
    'Images*',
    'Selector*',
  ),
  cells(object, nowMs) {
    const { metadata, spec, status } = typed<DaemonSet>(object);
    return [
      metadata.name,
      status?.desiredNumberScheduled ?? 0,
      status?.currentNumberScheduled ?? 0,
      status?.numberReady ?? 0,
      status?.updatedNumberScheduled ?? 0,
      status?.numberAvailable ?? 0,
      mapText(spec?.template.spec?.nodeSelector),
      age(metadata.creationTimestamp, nowMs),
      ...containersAndImages(spec?.template.spec),
      selectorText(spec?.selector),
    ];
  },
};

export const jobColumns: TableColumns = {
  columns: columns('Name', 'Status', 'Completions', 'Duration', 'Age', 'Containers*', 'Images*', 'Selector*'),
  cells(object, nowMs) {
    const { metadata, spec, status } = typed<Job>(object);
    const words = ['Complete', 'Failed', 'Suspended', 'FailureTarget', 'SuccessCriteriaMet'];
    const word = words.find((type) => isConditionTrue(status?.conditions, type));
    const isTerminating = metadata.deletionTimestamp !== undefined && word !== 'Complete' && word !== 'Failed';
    const done = status?.succeeded ?? 0;
    const parallelism = spec?.parallelism ?? 1;
    const completions =
      spec?.completions !== undefined
        ? `${done}/${spec.completions}`
        : parallelism > 1
          ? `${done}/1 of ${parallelism}`
          : `${done}/1`;
    const startMs = status?.startTime === undefined ? undefined : Date.parse(status.startTime);
    const endMs = status?.completionTime === undefined ? nowMs : Date.parse(status.completionTime);
    return [
      metadata.name,
      isTerminating ? 'Terminating' : (word ?? 'Running'),
      completions,
      startMs === undefined ? '' : humanDuration(endMs - startMs),
      age(metadata.creationTimestamp, nowMs),
      ...containersAndImages(spec?.template.spec),
      selectorText(spec?.selector),
    ];
  },
};

export const cronJobColumns: TableColumns = {
  columns: columns(
    'Name',
    'Schedule',
    'Timezone',
    '(boolean)Suspend',
    '(integer)Active',
    'Last Schedule',
    'Age',
    'Containers*',
    'Images*',
    'Selector*',
  ),
  cells(object, nowMs) {
    const { metadata, spec, status } = typed<CronJob>(object);
    const job = spec?.jobTemplate.spec;
    return [
      metadata.name,
      spec?.schedule ?? '',
      orNone(spec?.timeZone),
      spec?.suspend ?? false,
      status?.active?.length ?? 0,
      status?.lastScheduleTime === undefined ? none : age(status.lastScheduleTime, nowMs),
      age(metadata.creationTimestamp, nowMs),
      ...containersAndImages(job?.template.spec),
      selectorText(job?.selector),
    ];
  },
};

/** Kinds whose cells are plain fields: the column's text, and where it is found. */
function plain(...wanted: Array<[column: string, ...path: string[]]>): TableColumns {
  return {
    columns: columns('Name', ...wanted.map(([column]) => column), 'Age'),
    cells: (object, nowMs) => [
      object.metadata.name,
      ...wanted.map(([, ...path]) => valueAt(object, ...path) ?? ''),
      age(object.metadata.creationTimestamp, nowMs),
    ],
  };
}

export const runtimeClassColumns = plain(['Handler', 'handler']);
export const ingressClassColumns = plain(['Controller', 'spec', 'controller']);

export const priorityClassColumns: TableColumns = {
  columns: columns('Name', '(integer)Value', '(boolean)Global-Default', 'Age', 'PreemptionPolicy'),
  cells: (object, nowMs) => [
    object.metadata.name,
    object['value'] ?? 0,
    object['globalDefault'] ?? false,
    age(object.metadata.creationTimestamp, nowMs),
    textAt(object, 'preemptionPolicy'),
  ],
};

export const podDisruptionBudgetColumns: TableColumns = {
  columns: columns('Name', 'Min Available', 'Max Unavailable', '(integer)Allowed Disruptions', 'Age'),
  cells: (object, nowMs) => [
    object.metadata.name,
    textAt(object, 'spec', 'minAvailable') || 'N/A',
    textAt(object, 'spec', 'maxUnavailable') || 'N/A',
    valueAt(object, 'status', 'disruptionsAllowed') ?? 0,
    age(object.metadata.creationTimestamp, nowMs),
  ],
};

export const certificateSigningRequestColumns: TableColumns = {
  columns: columns('Name', 'Age', 'SignerName', 'Requestor', 'RequestedDuration', 'Condition'),
  cells(object, nowMs) {
    const types = listAt(object, 'status', 'conditions').map((condition) => textAt(condition, 'type'));
    const word = ['Denied', 'Approved', 'Failed'].filter((type) => types.includes(type)).join(',') || 'Pending';
    const seconds = valueAt(object, 'spec', 'expirationSeconds');
    return [
      object.metadata.name,
      age(object.metadata.creationTimestamp, nowMs),
      textAt(object, 'spec', 'signerName'),
      textAt(object, 'spec', 'username'),
      typeof seconds === 'number' ? humanDuration(seconds * 1000) : none,
      textAt(object, 'status', 'certificate') === '' ? word : `${word},Issued`,
    ];
  },
};
