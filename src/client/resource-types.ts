/** The resource types that our components speak of. */
import type {
  ControllerRevision,
  DaemonSet,
  Deployment,
  ReplicaSet,
  StatefulSet,
} from '../objects/generated/apps-v1.ts';
import type { SubjectAccessReview } from '../objects/generated/authorization-v1.ts';
import type { TokenReview } from '../objects/generated/authentication-v1.ts';
import type { CronJob, Job } from '../objects/generated/batch-v1.ts';
import type { CertificateSigningRequest } from '../objects/generated/certificates-v1.ts';
import type { ClusterTrustBundle, PodCertificateRequest } from '../objects/generated/certificates-v1beta1.ts';
import type { Lease } from '../objects/generated/coordination-v1.ts';
import type {
  ConfigMap,
  Endpoints,
  Event,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Secret,
  Service,
  ServiceAccount,
} from '../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../objects/generated/discovery-v1.ts';
import type { RuntimeClass } from '../objects/generated/node-v1.ts';
import type { NetworkPolicy } from '../objects/generated/networking-v1.ts';
import type { PriorityClass } from '../objects/generated/scheduling-v1.ts';
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
} from '../objects/generated/storage-v1.ts';
import type { KubeObject, ResourceType } from './api-client.ts';

function resource<T extends KubeObject>(
  prefix: string,
  plural: string,
  kind: string,
  namespaced: boolean,
): ResourceType<T> {
  return { prefix, plural, kind, namespaced };
}

export const pods = resource<Pod>('/api/v1', 'pods', 'Pod', true);
export const nodes = resource<Node>('/api/v1', 'nodes', 'Node', false);
export const services = resource<Service>('/api/v1', 'services', 'Service', true);
export const endpoints = resource<Endpoints>('/api/v1', 'endpoints', 'Endpoints', true);
export const namespaces = resource<Namespace>('/api/v1', 'namespaces', 'Namespace', false);
export const configMaps = resource<ConfigMap>('/api/v1', 'configmaps', 'ConfigMap', true);
export const secrets = resource<Secret>('/api/v1', 'secrets', 'Secret', true);
export const serviceAccounts = resource<ServiceAccount>('/api/v1', 'serviceaccounts', 'ServiceAccount', true);
export const events = resource<Event>('/api/v1', 'events', 'Event', true);
export const persistentVolumes = resource<PersistentVolume>('/api/v1', 'persistentvolumes', 'PersistentVolume', false);
export const persistentVolumeClaims = resource<PersistentVolumeClaim>(
  '/api/v1',
  'persistentvolumeclaims',
  'PersistentVolumeClaim',
  true,
);
export const deployments = resource<Deployment>('/apis/apps/v1', 'deployments', 'Deployment', true);
export const replicaSets = resource<ReplicaSet>('/apis/apps/v1', 'replicasets', 'ReplicaSet', true);
export const daemonSets = resource<DaemonSet>('/apis/apps/v1', 'daemonsets', 'DaemonSet', true);
export const statefulSets = resource<StatefulSet>('/apis/apps/v1', 'statefulsets', 'StatefulSet', true);
export const controllerRevisions = resource<ControllerRevision>(
  '/apis/apps/v1',
  'controllerrevisions',
  'ControllerRevision',
  true,
);
export const jobs = resource<Job>('/apis/batch/v1', 'jobs', 'Job', true);
export const cronJobs = resource<CronJob>('/apis/batch/v1', 'cronjobs', 'CronJob', true);
export const leases = resource<Lease>('/apis/coordination.k8s.io/v1', 'leases', 'Lease', true);
export const endpointSlices = resource<EndpointSlice>(
  '/apis/discovery.k8s.io/v1',
  'endpointslices',
  'EndpointSlice',
  true,
);
export const networkPolicies = resource<NetworkPolicy>(
  '/apis/networking.k8s.io/v1',
  'networkpolicies',
  'NetworkPolicy',
  true,
);
export const runtimeClasses = resource<RuntimeClass>('/apis/node.k8s.io/v1', 'runtimeclasses', 'RuntimeClass', false);
export const priorityClasses = resource<PriorityClass>(
  '/apis/scheduling.k8s.io/v1',
  'priorityclasses',
  'PriorityClass',
  false,
);
export const csiDrivers = resource<CSIDriver>('/apis/storage.k8s.io/v1', 'csidrivers', 'CSIDriver', false);
export const csiNodes = resource<CSINode>('/apis/storage.k8s.io/v1', 'csinodes', 'CSINode', false);
export const csiStorageCapacities = resource<CSIStorageCapacity>(
  '/apis/storage.k8s.io/v1',
  'csistoragecapacities',
  'CSIStorageCapacity',
  true,
);
export const storageClasses = resource<StorageClass>(
  '/apis/storage.k8s.io/v1',
  'storageclasses',
  'StorageClass',
  false,
);
export const volumeAttachments = resource<VolumeAttachment>(
  '/apis/storage.k8s.io/v1',
  'volumeattachments',
  'VolumeAttachment',
  false,
);
export const volumeAttributesClasses = resource<VolumeAttributesClass>(
  '/apis/storage.k8s.io/v1',
  'volumeattributesclasses',
  'VolumeAttributesClass',
  false,
);
export const certificateSigningRequests = resource<CertificateSigningRequest>(
  '/apis/certificates.k8s.io/v1',
  'certificatesigningrequests',
  'CertificateSigningRequest',
  false,
);
/** Served only where `certificates.k8s.io/v1beta1` is switched on. */
const trustBundles = (version: string): ResourceType<ClusterTrustBundle> =>
  resource(`/apis/certificates.k8s.io/${version}`, 'clustertrustbundles', 'ClusterTrustBundle', false);
export const clusterTrustBundles = trustBundles('v1beta1');
/** The same objects, by servers that have no newer version. */
export const alphaClusterTrustBundles = trustBundles('v1alpha1');
export const podCertificateRequests = resource<PodCertificateRequest>(
  '/apis/certificates.k8s.io/v1beta1',
  'podcertificaterequests',
  'PodCertificateRequest',
  true,
);
export const tokenReviews = resource<TokenReview & KubeObject>(
  '/apis/authentication.k8s.io/v1',
  'tokenreviews',
  'TokenReview',
  false,
);
export const subjectAccessReviews = resource<SubjectAccessReview & KubeObject>(
  '/apis/authorization.k8s.io/v1',
  'subjectaccessreviews',
  'SubjectAccessReview',
  false,
);
