/**
 * What the server adds to objects, or refuses, for the cluster's sake: namespaces must be alive, pods get their service
 * account, tolerations and priority. Each step is a function; the order is upstream's.
 */
import type { Namespace, Node, Pod, ServiceAccount } from '../../objects/generated/core-v1.ts';
import type { PriorityClass } from '../../objects/generated/scheduling-v1.ts';
import type { RuntimeClass } from '../../objects/generated/node-v1.ts';
import type { CertificateSigningRequest } from '../../objects/generated/certificates-v1.ts';
import { isSameMeaning } from '../resources/api-object.ts';
import { type Admission, randomSuffix } from '../resources/registry.ts';
import { type Resource, typed } from '../resources/resource.ts';
import { type StatusError, forbidden, notFound } from '../resources/status-error.ts';
import { checkClaimGrowth, protectStorage, setDefaultStorageClass } from './admit-storage.ts';
import { type AdmissionNeed, type Step, isCreateOf, shownName } from './admission-step.ts';
import { restrictClaimStatus } from './restrict-node.ts';

const keptNamespaces = ['default', 'kube-system', 'kube-public'];
const mirrorAnnotation = 'kubernetes.io/config.mirror';
const tokenMountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
/** How long a pod waits for its service account, which a controller may be about to make. */
const accountWaitMs = 1000;

const steps: readonly Step[] = [
  checkNamespace,
  addServiceAccount,
  restrictClaimStatus,
  taintNewNode,
  setPriority,
  addTolerations,
  setDefaultStorageClass,
  protectStorage,
  checkClaimGrowth,
  addRuntimeOverhead,
  signRequester,
];

/** @throws {StatusError} when a step refuses */
export async function admit(admission: Admission, need: AdmissionNeed): Promise<void> {
  for (const step of steps) await step(admission, need);
}

async function checkNamespace({ operation, resource, object, context }: Admission, need: AdmissionNeed): Promise<void> {
  const namespaces = need.table.must('v1', 'namespaces');
  if (operation === 'delete') {
    const { name } = object.metadata;
    if (resource === namespaces && keptNamespaces.includes(name)) {
      throw forbidden(resource, name, 'this namespace may not be deleted');
    }
    return;
  }
  if (operation !== 'create' || !resource.isNamespaced) return;
  const name = object.metadata.namespace ?? '';
  const registry = need.registry();
  const cached = registry.cache(namespaces).get(registry.keyOf(namespaces, { namespace: '', name }))?.object;
  const found = cached ?? (await registry.find(namespaces, { namespace: '', name }, context.signal));
  if (found === undefined) throw notFound(namespaces, name);
  if (typed<Namespace>(found).status?.phase === 'Terminating' || found.metadata.deletionTimestamp !== undefined) {
    throw forbidden(
      resource,
      shownName(object),
      `unable to create new content in namespace ${name} because it is being terminated`,
      [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${name} is being terminated`,
          field: 'metadata.namespace',
        },
      ],
    );
  }
}

async function addServiceAccount(admission: Admission, need: AdmissionNeed): Promise<void> {
  if (!isCreateOf(admission, 'pods')) return;
  const { object, context } = admission;
  const pod = typed<Pod>(object);
  const { spec, metadata } = pod;
  if (metadata.annotations?.[mirrorAnnotation] !== undefined) {
    if (spec.serviceAccountName) {
      throw forbidden(admission.resource, shownName(object), 'a mirror pod may not reference service accounts');
    }
    return;
  }
  const name = spec.serviceAccountName || 'default';
  spec.serviceAccountName = name;
  spec.serviceAccount = name;
  const namespace = metadata.namespace ?? '';
  const account = await findAccount(namespace, name, context.signal, need);
  if (account === undefined) {
    throw forbidden(
      admission.resource,
      shownName(object),
      `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`,
    );
  }
  if ((spec.imagePullSecrets ?? []).length === 0 && (account.imagePullSecrets ?? []).length > 0) {
    spec.imagePullSecrets = structuredClone(account.imagePullSecrets);
  }
  if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true) mountToken(pod);
}

async function findAccount(
  namespace: string,
  name: string,
  signal: AbortSignal,
  { registry, table, clock }: AdmissionNeed,
): Promise<ServiceAccount | undefined> {
  const accounts = table.must('v1', 'serviceaccounts');
  const endMs = clock.monotonicMs() + accountWaitMs;
  for (;;) {
    const found = await registry().find(accounts, { namespace, name }, signal);
    if (found !== undefined) return typed<ServiceAccount>(found);
    if (clock.monotonicMs() >= endMs || signal.aborted) return undefined;
    await clock.sleep(100, signal);
  }
}

/** The projected volume that every pod has, and its mount in each container that has nothing there yet. */
function mountToken({ spec }: Pod): void {
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  const isMounted = (mounts: ReadonlyArray<{ mountPath: string }> | undefined): boolean =>
    (mounts ?? []).some(({ mountPath }) => mountPath === tokenMountPath);
  const without = containers.filter(({ volumeMounts }) => !isMounted(volumeMounts));
  if (without.length === 0) return;
  // not validated yet: a volume may lack its name
  const existing = (spec.volumes ?? []).find(({ name }) => name?.startsWith('kube-api-access-'));
  const name = existing?.name ?? `kube-api-access-${randomSuffix()}`;
  for (const container of without) {
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath: tokenMountPath }];
  }
  if (existing !== undefined) return;
  spec.volumes = [
    ...(spec.volumes ?? []),
    {
      name,
      projected: {
        defaultMode: 0o644,
        sources: [
          { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
          { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
          {
            downwardAPI: {
              items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
            },
          },
        ],
      },
    },
  ];
}

/** A new node is not scheduled to before a controller has seen it ready. */
function taintNewNode(admission: Admission): void {
  if (!isCreateOf(admission, 'nodes')) return;
  const { spec } = typed<Node>(admission.object);
  const key = 'node.kubernetes.io/not-ready';
  if ((spec.taints ?? []).some((taint) => taint.key === key && taint.effect === 'NoSchedule')) return;
  spec.taints = [...(spec.taints ?? []), { key, effect: 'NoSchedule' }];
}

async function setPriority(admission: Admission, { registry, table }: AdmissionNeed): Promise<void> {
  if (!isCreateOf(admission, 'pods')) return;
  const { object, context } = admission;
  const { spec } = typed<Pod>(object);
  const classes = table.must('scheduling.k8s.io/v1', 'priorityclasses');
  const cache = registry().cache(classes);
  await cache.ready(context.signal);
  let found: PriorityClass | undefined;
  if (spec.priorityClassName) {
    const stored = await registry().find(classes, { namespace: '', name: spec.priorityClassName }, context.signal);
    if (stored === undefined) {
      throw forbidden(
        admission.resource,
        shownName(object),
        `no PriorityClass with name ${spec.priorityClassName} was found`,
      );
    }
    found = typed<PriorityClass>(stored);
  } else {
    for (const { object: candidate } of cache.values()) {
      const one = typed<PriorityClass>(candidate);
      if (one.globalDefault === true && (found === undefined || (one.value ?? 0) < (found.value ?? 0))) found = one;
    }
    if (found !== undefined) spec.priorityClassName = found.metadata.name;
  }
  const priority = found?.value ?? 0;
  if (spec.priority !== undefined && spec.priority !== priority) {
    throw forbidden(
      admission.resource,
      shownName(object),
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${priority} from the given PriorityClass name`,
    );
  }
  spec.priority = priority;
  spec.preemptionPolicy ??= found?.preemptionPolicy ?? 'PreemptLowerPriority';
}

function addTolerations(admission: Admission): void {
  if (!isCreateOf(admission, 'pods')) return;
  const { spec } = typed<Pod>(admission.object);
  for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']) {
    const isTolerated = (spec.tolerations ?? []).some(
      (one) => (!one.key || one.key === key) && (!one.effect || one.effect === 'NoExecute'),
    );
    if (isTolerated) continue;
    const toleration = { key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 };
    spec.tolerations = [...(spec.tolerations ?? []), toleration];
  }
}

async function addRuntimeOverhead(admission: Admission, { registry, table }: AdmissionNeed): Promise<void> {
  if (!isCreateOf(admission, 'pods')) return;
  const { object, resource, context } = admission;
  const { spec } = typed<Pod>(object);
  const refuse = (why: string): StatusError => forbidden(resource, shownName(object), `pod rejected: ${why}`);
  if (!spec.runtimeClassName) {
    if (spec.overhead !== undefined && Object.keys(spec.overhead).length > 0) {
      throw refuse('Pod Overhead set without corresponding RuntimeClass defined Overhead');
    }
    return;
  }
  const name = spec.runtimeClassName;
  const classes: Resource = table.must('node.k8s.io/v1', 'runtimeclasses');
  const stored = await registry().find(classes, { namespace: '', name }, context.signal);
  if (stored === undefined) throw refuse(`RuntimeClass "${name}" not found`);
  const { overhead, scheduling } = typed<RuntimeClass>(stored);
  if (overhead?.podFixed !== undefined) {
    if (spec.overhead !== undefined && !isSameMeaning(spec.overhead, overhead.podFixed)) {
      throw refuse("Pod's Overhead doesn't match RuntimeClass's defined Overhead");
    }
    spec.overhead = { ...overhead.podFixed };
  }
  for (const [key, value] of Object.entries(scheduling?.nodeSelector ?? {})) {
    const own = spec.nodeSelector?.[key];
    if (own !== undefined && own !== value) {
      throw refuse(
        `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
      );
    }
    spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
  }
  for (const toleration of scheduling?.tolerations ?? []) {
    if ((spec.tolerations ?? []).some((one) => isSameMeaning(one, toleration))) continue;
    spec.tolerations = [...(spec.tolerations ?? []), structuredClone(toleration)];
  }
}

/** A signing request says who made it, whatever its body says. */
function signRequester(admission: Admission): void {
  if (!isCreateOf(admission, 'certificatesigningrequests', 'certificates.k8s.io')) return;
  const { spec } = typed<CertificateSigningRequest>(admission.object);
  if (spec === undefined) return;
  const { name, uid, groups, extra } = admission.context.user;
  spec.username = name;
  spec.groups = [...groups];
  if (uid === undefined) delete spec.uid;
  else spec.uid = uid;
  if (extra === undefined) delete spec.extra;
  else spec.extra = Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]]));
}
