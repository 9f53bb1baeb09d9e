/**
 * As much of a pod as one of its containers remembers: what its start wrote into the annotations. For a container that
 * has to be ended when the pod itself is no longer at hand. Pure.
 */
import type { Container, ContainerPort, LifecycleHandler, Pod } from '../../objects/generated/core-v1.ts';
import type { ObservedContainer, ObservedPod } from '../pod-model.ts';
import { annotations } from './pod-names.ts';

/** What somebody else wrote in another form is as if it were not there. */
export function restorePod({ uid, name, namespace }: ObservedPod, container: ObservedContainer): Pod {
  const seconds = (key: string): number | undefined => {
    const text = container.annotations[key] ?? '';
    return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  };
  const deletionGracePeriodSeconds = seconds(annotations.deletionGracePeriod);
  const terminationGracePeriodSeconds = seconds(annotations.terminationGracePeriod);
  const preStop = parseHandler(container.annotations[annotations.preStopHandler]);
  const ports = parsePorts(container.annotations[annotations.ports]);
  const spec: Container = {
    name: container.name,
    image: container.image,
    ...(ports === undefined ? {} : { ports }),
    ...(preStop === undefined ? {} : { lifecycle: { preStop } }),
  };
  return {
    metadata: {
      uid,
      name,
      namespace,
      ...(deletionGracePeriodSeconds === undefined ? {} : { deletionGracePeriodSeconds }),
    },
    spec: {
      containers: [spec],
      ...(terminationGracePeriodSeconds === undefined ? {} : { terminationGracePeriodSeconds }),
    },
  };
}

function parseHandler(json: string | undefined): LifecycleHandler | undefined {
  const value = parse(json);
  return isObject(value) && !Array.isArray(value) ? (value as LifecycleHandler) : undefined;
}

function parsePorts(json: string | undefined): ContainerPort[] | undefined {
  const value = parse(json);
  return Array.isArray(value) && value.every(isObject) ? (value as unknown[] as ContainerPort[]) : undefined;
}

function parse(json: string | undefined): unknown {
  try {
    return json === undefined ? undefined : JSON.parse(json);
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
