/**
 * The files `allocated_pods_state` and `actuated_pods_state` as text: entries by pod uid in a JSON string, beside a
 * checksum of that string. Upstream's format, so that either agent takes over from the other. Pure.
 */
import { fnv1a32 } from '../../../base/fnv.ts';
import type { ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import type { PodResources } from './pod-resources.ts';

export type CheckpointEntries = ReadonlyMap<string, PodResources>;

export function formatCheckpoint(entries: CheckpointEntries): string {
  const data = JSON.stringify({
    entries: Object.fromEntries(
      [...entries].map(([uid, { containers, pod }]) => [
        uid,
        { ContainerResources: containers, ...(pod === undefined ? {} : { PodLevelResources: pod }) },
      ]),
    ),
  });
  return JSON.stringify({ data, checksum: checksumOf(data) });
}

/** @throws {Error} saying what is wrong with the text */
export function parseCheckpoint(text: string): Map<string, PodResources> {
  const { data, checksum } = asRecord(JSON.parse(text), 'the file');
  if (typeof data !== 'string') throw new Error('it has no "data"');
  if (checksum !== checksumOf(data)) {
    throw new Error(`its checksum is ${String(checksum)}, but its data gives ${checksumOf(data)}`);
  }
  const entries = asRecord(asRecord(JSON.parse(data), 'its data')['entries'] ?? {}, '"entries"');
  return new Map(Object.entries(entries).map(([uid, entry]) => [uid, parseEntry(uid, entry)]));
}

/** The hash is taken over the string as Go prints it with its type. */
const checksumOf = (data: string): number => fnv1a32(Buffer.from(`(string)${data}`).toString('latin1'));

function parseEntry(uid: string, entry: unknown): PodResources {
  const { ContainerResources, PodLevelResources } = asRecord(entry, `the entry of pod "${uid}"`);
  const containers = Object.entries(asRecord(ContainerResources ?? {}, `"ContainerResources" of pod "${uid}"`));
  return {
    containers: Object.fromEntries(containers.map(([name, value]) => [name, parseRequirements(name, value)])),
    ...(PodLevelResources === undefined || PodLevelResources === null
      ? {}
      : { pod: parseRequirements(uid, PodLevelResources) }),
  };
}

function parseRequirements(name: string, value: unknown): ResourceRequirements {
  const { limits, requests } = asRecord(value, `the resources of "${name}"`);
  return {
    ...(limits === undefined ? {} : { limits: parseList(name, limits) }),
    ...(requests === undefined ? {} : { requests: parseList(name, requests) }),
  };
}

function parseList(name: string, list: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(asRecord(list, `the amounts of "${name}"`)).map(([resource, amount]) => {
      if (typeof amount !== 'string') throw new Error(`the amount of ${resource} of "${name}" is no text`);
      return [resource, amount];
    }),
  );
}

function asRecord(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is no object`);
  return Object.fromEntries(Object.entries(value));
}
