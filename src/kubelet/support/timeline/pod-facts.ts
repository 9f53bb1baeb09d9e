/** A pod's facts from what the line knows of it. Pure. */
import type { ContainerStatus, Pod, PodStatus } from '../../../objects/generated/core-v1.ts';
import { isConditionTrue } from '../../../objects/conditions.ts';
import { podContainers } from '../../pod-model.ts';
import { cutText } from './fold-span.ts';
import type { ContainerFacts, PodFacts } from './timeline-model.ts';

export interface PodKnowledge {
  pod: Pod;
  status: PodStatus | undefined;
  /** The lane's phase; undefined without a lane. */
  lane: 'sync' | 'terminating' | 'terminated' | 'finished' | undefined;
  isRejected: boolean;
  graceSeconds: number;
  failure: string | undefined;
  /** Wall clock. */
  retryMs: number | undefined;
}

export function podFacts({ pod, status, lane, isRejected, graceSeconds, failure, retryMs }: PodKnowledge): PodFacts {
  const { phase, reason, message } = status ?? {};
  return {
    life: lane ?? (isRejected ? 'rejected' : 'waiting'),
    isDeleted: pod.metadata.deletionTimestamp !== undefined,
    ...defined({ phase, reason, message }),
    isReady: isConditionTrue(status?.conditions, 'Ready'),
    graceSeconds,
    containers: containerFacts(pod, status),
    gates: (pod.spec.readinessGates ?? [])
      .map(({ conditionType }) => conditionType)
      .filter((type) => !isConditionTrue(status?.conditions, type)),
    ...(failure === undefined ? {} : { failure: cutText(failure), ...defined({ retryMs }) }),
  };
}

function containerFacts(pod: Pod, status: PodStatus | undefined): ContainerFacts[] {
  const statuses = new Map(
    [
      ...(status?.initContainerStatuses ?? []),
      ...(status?.containerStatuses ?? []),
      ...(status?.ephemeralContainerStatuses ?? []),
    ].map((one) => [one.name, one]),
  );
  return podContainers(pod).flatMap(({ kind, spec: { name } }) => {
    const one = statuses.get(name);
    return one === undefined ? [] : [{ name, kind, ...stateFacts(one) }];
  });
}

function stateFacts({
  state,
  lastState,
  restartCount,
  ready,
  started,
}: ContainerStatus): Omit<ContainerFacts, 'name' | 'kind'> {
  const { waiting, running, terminated } = state ?? {};
  const last = lastState?.terminated;
  return {
    state: running !== undefined ? 'running' : terminated !== undefined ? 'terminated' : 'waiting',
    ...defined({
      reason: terminated?.reason ?? waiting?.reason,
      message: cutDefined(terminated?.message ?? waiting?.message),
    }),
    ...defined({ exitCode: terminated?.exitCode }),
    restartCount,
    isReady: ready,
    isStarted: started === true,
    ...(last === undefined
      ? {}
      : {
          lastExit: { exitCode: last.exitCode, ...defined({ reason: last.reason, message: cutDefined(last.message) }) },
        }),
  };
}

const cutDefined = (text: string | undefined): string | undefined => (text === undefined ? undefined : cutText(text));

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as Defined<T>;
}
