import { describe, expect, it } from 'vitest';
import { PodDoor } from './pod-door.ts';

const metadata = { name: 'web', namespace: 'default', uid: 'u1' };
const container = { name: 'c', image: 'i' };
const raw = (more: object, own: object = {}): unknown => ({
  metadata: { ...metadata, ...own },
  spec: { containers: [container], ...more },
});

function readAt(value: unknown) {
  const door = new PodDoor();
  const pod = door.read(value);
  return { pod, problems: door.problemsOf(pod), isNobody: door.isNobody(pod) };
}

describe('PodDoor', () => {
  it('takes a pod as it is, without nulls, unknown fields and managed fields', () => {
    const { pod, problems } = readAt(
      raw({ hostname: null, unknown: 1, overhead: { cpu: 1 } }, { managedFields: [{}], labels: { a: null } }),
    );
    expect(problems).toEqual([]);
    expect(pod.metadata).toEqual({ ...metadata, labels: { a: '' } });
    expect(pod.spec).toMatchObject({ containers: [container], overhead: { cpu: '1' } });
    expect(Object.keys(pod.spec)).not.toContain('unknown');
    expect(pod.spec.hostname).toBeUndefined();
  });

  it('gives the defaults that are missing, but none to a volume', () => {
    const probe = { exec: { command: ['x'] }, periodSeconds: 0 };
    const { pod, problems } = readAt(
      raw({ containers: [{ ...container, livenessProbe: probe }], volumes: [{ name: 'v', newKind: {} }] }),
    );
    expect(problems).toEqual([]);
    expect(pod.spec).toMatchObject({
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      containers: [{ livenessProbe: { periodSeconds: 10, timeoutSeconds: 1 } }],
      volumes: [{ name: 'v' }],
    });
    expect(pod.spec.volumes).toEqual([{ name: 'v' }]);
  });

  it('reads a spec again only when its generation is another', () => {
    const door = new PodDoor();
    const version = (own: object, more: object = {}): unknown => raw({ hostname: 'a', ...more }, own);
    const first = door.read(version({ generation: 1 }));
    const later = door.read(version({ generation: 1, labels: { a: 'b' } }, { hostname: 'ignored' }), first);
    expect(later.spec).toBe(first.spec);
    expect(later.metadata.labels).toEqual({ a: 'b' });
    for (const own of [{ generation: 2 }, { generation: 1, uid: 'u2' }, {}, { generation: null }]) {
      expect(door.read(version(own, { hostname: 'b' }), first).spec.hostname).toBe('b');
    }
    expect(door.read(null, first).spec.containers).toEqual([]);
  });

  it('names what is wrong beside a spec that did not change, and keeps nothing of a pod that was refused', () => {
    const door = new PodDoor();
    const first = door.read(raw({}, { generation: 1 }));
    const bad = door.read(raw({}, { generation: 1, labels: [] }), first);
    expect(door.problemsOf(bad)).toEqual(['metadata.labels: expected an object, found a list']);
    const good = door.read(raw({}, { generation: 1 }), bad);
    expect(good.spec.containers).toHaveLength(1);
    expect(door.problemsOf(good)).toEqual([]);
  });

  it.each([
    { name: 'no object', value: 7, want: /^the object: expected an object, found number 7$/ },
    { name: 'no spec', value: { metadata }, want: /^spec.containers: Required value$/ },
    {
      name: 'a list as map',
      value: raw({}, { labels: [] }),
      want: /^metadata.labels: expected an object, found a list$/,
    },
    {
      name: 'a text as number',
      value: raw({ priority: '1' }),
      want: /^spec.priority: expected a whole number, found string "1"$/,
    },
    { name: 'a number too large', value: raw({ priority: 2 ** 31 }), want: /^spec.priority: expected a whole number/ },
    { name: 'a fraction', value: raw({ activeDeadlineSeconds: 1.5 }), want: /^spec.activeDeadlineSeconds/ },
    {
      name: 'a bad quantity',
      value: raw({ overhead: { cpu: 'x' } }),
      want: /^spec.overhead\[cpu\]: expected a quantity/,
    },
    { name: 'a null in a list', value: raw({ tolerations: [null] }), want: /^spec.tolerations\[0\]: expected a value/ },
    {
      name: 'a container that is none',
      value: raw({ containers: [[]] }),
      want: /^spec.containers\[0\]: expected an object/,
    },
    {
      name: 'two containers of a name',
      value: raw({ containers: [container, container] }),
      want: /Duplicate value: "c"/,
    },
    {
      name: 'a name that climbs',
      value: raw({ containers: [{ ...container, name: '../x' }] }),
      want: /containers\[0\].name: Invalid/,
    },
    {
      name: 'a probe before its time',
      value: raw({ containers: [{ ...container, livenessProbe: { exec: {}, periodSeconds: -1 } }] }),
      want: /periodSeconds: Invalid value: -1: must be greater than or equal to 0/,
    },
    {
      name: 'a probe of nothing',
      value: raw({ containers: [{ ...container, startupProbe: {} }] }),
      want: /startupProbe: Required value: must specify a handler type/,
    },
    {
      name: 'a restart policy that is none',
      value: raw({ containers: [{ ...container, restartPolicy: 'x' }] }),
      want: /Unsupported value: "x"/,
    },
  ])('refuses $name, and keeps nothing of its spec', ({ value, want }) => {
    const { pod, problems } = readAt(value);
    expect(problems[0]).toMatch(want);
    expect(pod.spec).toEqual({ containers: [] });
  });

  it.each([
    { own: { uid: '../../x' }, want: true },
    { own: { uid: undefined }, want: true },
    { own: { name: 'a/b' }, want: true },
    { own: { namespace: undefined }, want: true },
    { own: {}, want: false },
  ])('knows whether somebody can answer for $own', ({ own, want }) => {
    const { isNobody, problems } = readAt(raw({ priority: 'x' }, own));
    expect(isNobody).toBe(want);
    expect(problems.length).toBeGreaterThan(0);
  });

  it('takes keys for keys, whatever JavaScript means by them', () => {
    const value: unknown = JSON.parse(
      '{"metadata":{"name":"web","namespace":"default","uid":"u1","labels":{"__proto__":"x","constructor":"y"}},"spec":{"containers":[{"name":"constructor","image":"i"}],"__proto__":{"hostPID":true}}}',
    );
    const { pod, problems } = readAt(value);
    expect(problems).toEqual([]);
    expect(pod.spec.hostPID).toBeUndefined();
    expect(Object.entries(pod.metadata.labels ?? {})).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
  });
});
