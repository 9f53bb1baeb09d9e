/** Names of phases in words. Pure. */
import { splitSpanName } from './timeline-model.ts';

/** What a step does, as the subject of a sentence. */
const doings: Record<string, (subject: string) => string> = {
  sandbox: () => "The runtime's call to make the sandbox and its network",
  look: () => "The runtime's answer to how the pod stands",
  volumes: () => 'Setting up the volumes',
  volume: (name) => `Setting up volume "${name}"`,
  cgroup: () => 'Making the control group of the pod',
  image: (name) => `Getting the image of container "${name}"`,
  'volume-image': (image) => `Getting image "${image}" for a volume`,
  pull: (what) => what.replace(/^\S+/, (image) => `Pulling image "${image}"`),
  wait: (what) => `Waiting for its turn ${what}`,
  create: (name) => `The runtime's call to create container "${name}"`,
  start: (name) => `The runtime's call to start container "${name}"`,
  postStart: (name) => `The postStart hook of container "${name}"`,
  preStop: (name) => `The preStop hook of container "${name}"`,
  stop: (name) => `The runtime's call to stop ${name === 'sandbox' ? 'the sandbox' : `container "${name}"`}`,
  messages: () => 'Reading what ended containers left as their message',
};

export function doingText(name: string): string {
  const { kind, subject } = splitSpanName(name);
  return doings[kind]?.(subject) ?? `The step "${name}"`;
}

export const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
