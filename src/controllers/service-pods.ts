/** Which Services care about a pod, and which pods a Service has: shared by the two controllers of endpoints. */
import type { Informer } from '../client/informer.ts';
import type { Pod, Service } from '../objects/generated/core-v1.ts';
import { matchesLabelMap } from '../objects/label-selector.ts';
import { objectKey } from '../objects/object-key.ts';
import { isPodReady, isPodTerminal } from './pod-state.ts';
import { sameJson } from './same-json.ts';

/** Index name and function for pods and services. */
export const byNamespace = ({ metadata }: Pod | Service): string[] => [metadata.namespace ?? ''];

/** Services without a selector are their owner's to fill; ExternalName has no endpoints. */
export function hasSelector({ spec }: Service): boolean {
  return spec?.selector !== undefined && spec.type !== 'ExternalName';
}

export function selectedPods(service: Service, pods: Informer<Pod>): Pod[] {
  const selector = service.spec?.selector ?? {};
  return pods
    .byIndex('namespace', service.metadata.namespace ?? '')
    .filter((pod) => matchesLabelMap(selector, pod.metadata.labels));
}

/** Keys of the Services that have to look again since the pod came, went or changed. */
export function affectedServices(
  services: Informer<Service>,
  before: Pod | undefined,
  after: Pod | undefined,
): string[] {
  if (before !== undefined && after !== undefined && sameJson(endpointSide(before), endpointSide(after))) return [];
  const namespace = (after ?? before)?.metadata.namespace ?? '';
  return services
    .byIndex('namespace', namespace)
    .filter(
      (service) =>
        hasSelector(service) &&
        [before, after].some(
          (pod) => pod !== undefined && matchesLabelMap(service.spec?.selector ?? {}, pod.metadata.labels),
        ),
    )
    .map(objectKey);
}

/** What of a pod shows in endpoints. */
function endpointSide(pod: Pod): unknown {
  const { metadata, spec, status } = pod;
  return [
    metadata.labels,
    metadata.deletionTimestamp !== undefined,
    spec.hostname,
    spec.subdomain,
    spec.nodeName,
    status?.podIP,
    status?.podIPs,
    isPodReady(pod),
    isPodTerminal(pod),
  ];
}

/** A Service's labels for its endpoints, without those that are the controllers' own. */
export function inheritedLabels({ metadata, spec }: Service, reserved: Record<string, string>): Record<string, string> {
  const isHeadless = spec?.clusterIP === undefined || spec.clusterIP === '' || spec.clusterIP === 'None';
  const { [headlessLabel]: _, ...labels } = metadata.labels ?? {};
  return { ...labels, ...reserved, ...(isHeadless ? { [headlessLabel]: '' } : {}) };
}

const headlessLabel = 'service.kubernetes.io/headless';
