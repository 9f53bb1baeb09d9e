import { describe, expect, it } from 'vitest';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { validatePod } from './validate-pod.ts';

/** Rows hold what a file may hold: anything. */
const pod = (metadata: object, spec: unknown): Partial<Pod> =>
  ({ metadata: { name: 'web', ...metadata }, spec }) as Partial<Pod>;
const web = { name: 'web', image: 'x' };
const spec = (more: object) => pod({}, { containers: [web], ...more });

describe('validatePod', () => {
  it.each([
    { name: 'a plain pod', pod: spec({}), want: [] },
    {
      name: 'all that may stand empty',
      pod: pod({ namespace: '', labels: null }, { containers: [web], initContainers: null, volumes: undefined }),
      want: [],
    },
    {
      name: 'a bad name',
      pod: pod({ name: 'Web_1' }, { containers: [web] }),
      want: ['metadata.name: Invalid value: "Web_1": must be a lowercase RFC 1123 subdomain'],
    },
    {
      name: 'a name too long',
      pod: pod({ name: 'a'.repeat(254) }, { containers: [web] }),
      want: [expect.stringMatching(/^metadata\.name: Invalid value/)],
    },
    {
      name: 'a bad namespace',
      pod: pod({ namespace: 'a.b' }, { containers: [web] }),
      want: ['metadata.namespace: Invalid value: "a.b": must be a lowercase RFC 1123 label'],
    },
    {
      name: 'a label that is no text',
      pod: pod({ labels: { a: 1 } }, { containers: [web] }),
      want: ['metadata.labels[a]: expected a string, found 1'],
    },
    { name: 'no spec', pod: pod({}, 'x'), want: ['spec: Required value'] },
    { name: 'no containers', pod: spec({ containers: [] }), want: ['spec.containers: Required value'] },
    {
      name: 'a container that is none',
      pod: spec({ containers: ['x'] }),
      want: ['spec.containers[0]: expected a container'],
    },
    {
      name: 'a container without name and image',
      pod: spec({ containers: [{}] }),
      want: ['spec.containers[0].name: Required value', 'spec.containers[0].image: Required value'],
    },
    {
      name: 'two containers of one name, in two lists',
      pod: spec({ initContainers: [web] }),
      want: ['spec.initContainers[0].name: Duplicate value: "web"'],
    },
    {
      name: 'a command that is no list',
      pod: spec({ containers: [{ ...web, command: 'sh' }] }),
      want: ['spec.containers[0].command: expected a list of strings'],
    },
    {
      name: 'an environment that is no list',
      pod: spec({ containers: [{ ...web, env: {} }] }),
      want: ['spec.containers[0].env: expected a list of objects'],
    },
    {
      name: 'resources that are no object',
      pod: spec({ containers: [{ ...web, resources: [] }] }),
      want: ['spec.containers[0].resources: expected an object'],
    },
    {
      name: 'an unknown policy',
      pod: spec({ restartPolicy: 'Sometimes' }),
      want: ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
    },
    {
      name: 'a negative grace',
      pod: spec({ terminationGracePeriodSeconds: -1 }),
      want: ['spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0'],
    },
    {
      name: 'a volume of two types',
      pod: spec({ volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/data' }, secret: null }] }),
      want: ['spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type'],
    },
    {
      name: 'volumes of one name',
      pod: spec({ volumes: [{ name: 'v' }, { name: 'v' }] }),
      want: ['spec.volumes[1].name: Duplicate value: "v"'],
    },
    {
      name: 'a mount without a volume',
      pod: spec({ containers: [{ ...web, volumeMounts: [{ name: 'v', mountPath: '/v' }] }] }),
      want: ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
    },
    {
      name: 'several at once',
      pod: pod({ name: '' }, { containers: [{ image: 'x' }], restartPolicy: 1 }),
      want: [
        expect.stringMatching(/^metadata\.name/),
        expect.stringMatching(/containers\[0\]\.name/),
        expect.stringMatching(/restartPolicy/),
      ],
    },
  ])('$name', ({ pod: row, want }) => expect(validatePod(row)).toEqual(want));
});
