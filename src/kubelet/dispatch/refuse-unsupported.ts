/** Features of pods that this version does not have: refused at the door rather than ignored. Pure. */
import type { Container, EphemeralContainer, Pod } from '../../objects/generated/core-v1.ts';
import { isSidecar } from '../pod-model.ts';
import type { Rejection } from './admit-pod.ts';

interface Gates {
  ContainerStopSignals: boolean;
}

const refusal = (who: 'Pod' | 'Container', what: string): Rejection => ({
  reason: 'PodFeatureUnsupported',
  message: `${who} requires node features that are not available: ${what}`,
});

/** Ephemeral containers have a door of their own: their pod may run already when they come. */
export function refuseUnsupported({ spec }: Pod, gates: Gates): Rejection | undefined {
  const inits = spec.initContainers ?? [];
  const what =
    podFeature({ spec }) ??
    firstOf(inits, probesOfInit) ??
    firstOf([...inits, ...spec.containers], (container) => containerFeature(container, gates));
  return what === undefined ? undefined : refusal('Pod', what);
}

/** For an ephemeral container of a pod that is here. The container alone is refused. */
export function refuseEphemeral(container: EphemeralContainer, gates: Gates): Rejection | undefined {
  const { name } = container;
  const field = notForEphemeral.find((one) => isSet(container[one]));
  const what =
    field === undefined
      ? containerFeature({ ...container, image: container.image ?? '' }, gates)
      : `${field} for ephemeral containers (${field} of container "${name}")`;
  return what === undefined ? undefined : refusal('Container', what);
}

function podFeature({ spec }: Pick<Pod, 'spec'>): string | undefined {
  if ((spec.resourceClaims ?? []).length > 0) return 'dynamic resource allocation (spec.resourceClaims)';
  if (spec.hostNetwork === true && isSet(spec.hostnameOverride)) {
    return "another host name in the host's network (spec.hostnameOverride with spec.hostNetwork)";
  }
  return undefined;
}

/** An ordinary init container is to end: nobody asks it how it is. */
function probesOfInit(container: Container): string | undefined {
  if (isSidecar(container)) return undefined;
  const probe = (['livenessProbe', 'readinessProbe', 'startupProbe'] as const).find((one) => isSet(container[one]));
  return probe === undefined
    ? undefined
    : `probes of init containers that do not restart always (${probe} of container "${container.name}")`;
}

function containerFeature(container: Container, gates: Gates): string | undefined {
  const { name, resources, lifecycle, restartPolicy, restartPolicyRules } = container;
  if (isSet(resources?.claims)) return `dynamic resource allocation (resources.claims of container "${name}")`;
  if (isSet(restartPolicyRules) && !isSet(restartPolicy)) {
    return `restart rules without a restart policy (restartPolicyRules of container "${name}")`;
  }
  if (lifecycle?.stopSignal !== undefined && !gates.ContainerStopSignals) {
    const field = `lifecycle.stopSignal of container "${name}"`;
    return `a stop signal (${field}; this node has the feature gate ContainerStopSignals off)`;
  }
  return undefined;
}

/** They never restart, nobody asks them how they are, and they run beside a network that is set up already. */
const notForEphemeral = [
  'ports',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
  'resizePolicy',
  'restartPolicy',
  'restartPolicyRules',
] as const;

/** Lists and names that are empty ask for nothing. */
const isSet = (value: object | string | undefined): boolean =>
  value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0);

function firstOf(
  containers: readonly Container[],
  ask: (container: Container) => string | undefined,
): string | undefined {
  for (const container of containers) {
    const what = ask(container);
    if (what !== undefined) return what;
  }
  return undefined;
}
