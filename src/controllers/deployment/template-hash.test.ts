import { describe, expect, it } from 'vitest';
import type { PodTemplateSpec } from '../../objects/generated/core-v1.ts';
import { newSetAnnotations } from './compute-revision.ts';
import { sameTemplate, templateHash } from './template-hash.ts';

const template = (image: string, labels: Record<string, string> = { app: 'x' }): PodTemplateSpec => ({
  metadata: { name: '', labels },
  spec: { containers: [{ name: 'c', image }] },
});

describe('sameTemplate', () => {
  it.each([
    { name: 'itself', other: template('a'), want: true },
    { name: 'with the hash label', other: template('a', { app: 'x', 'pod-template-hash': 'y' }), want: true },
    { name: 'another image', other: template('b'), want: false },
    { name: 'another label', other: template('a', { app: 'y' }), want: false },
    {
      name: 'empty lists and maps are as absent ones',
      other: { ...template('a'), spec: { ...template('a').spec, tolerations: [], nodeSelector: {} } },
      want: true,
    },
    {
      name: 'what a client writes out though it is the default',
      other: {
        ...template('a'),
        spec: { containers: [{ name: 'c', image: 'a', tty: false, stdin: false, resources: {} }], hostNetwork: false },
      },
      want: true,
    },
    {
      name: 'false where absent means "as the ServiceAccount says"',
      other: { ...template('a'), spec: { ...template('a').spec, automountServiceAccountToken: false } },
      want: false,
    },
    {
      name: 'an empty affinity is not an absent one',
      other: { ...template('a'), spec: { ...template('a').spec, affinity: {} } },
      want: false,
    },
  ])('$name', ({ other, want }) => {
    expect(sameTemplate(template('a'), other)).toBe(want);
  });
});

describe('templateHash', () => {
  it('is stable, safe in names, and differs by template and collision count', () => {
    const hashes = [
      templateHash(template('a'), undefined),
      templateHash(template('b'), undefined),
      templateHash(template('a'), 1),
    ];
    expect(new Set(hashes).size).toBe(3);
    for (const hash of hashes) expect(hash).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]{1,10}$/);
    expect(templateHash(template('a', { app: 'x', 'pod-template-hash': 'z' }), undefined)).toBe(hashes[0]);
    expect(templateHash(template('ü'), undefined)).not.toBe(templateHash(template('ý'), undefined));
  });
});

describe('newSetAnnotations', () => {
  const deployment = {
    metadata: { name: 'd', annotations: { note: 'n', 'kubectl.kubernetes.io/last-applied-configuration': '{}' } },
    spec: { replicas: 3, selector: {}, template: template('a') },
  };
  const existing = (annotations: Record<string, string>) => ({
    metadata: { name: 'rs', annotations },
    spec: { selector: {} },
  });
  it.each([
    {
      name: 'a new one',
      existing: undefined,
      want: {
        note: 'n',
        'deployment.kubernetes.io/revision': '4',
        'deployment.kubernetes.io/desired-replicas': '3',
        'deployment.kubernetes.io/max-replicas': '4',
      },
    },
    {
      name: 'an old one becomes the newest again',
      existing: existing({
        'deployment.kubernetes.io/revision': '1',
        'deployment.kubernetes.io/revision-history': '0',
      }),
      want: {
        note: 'n',
        'deployment.kubernetes.io/revision': '4',
        'deployment.kubernetes.io/revision-history': '0,1',
      },
    },
    {
      name: 'a higher revision stays',
      existing: existing({ 'deployment.kubernetes.io/revision': '7' }),
      want: { note: 'n', 'deployment.kubernetes.io/revision': '7' },
    },
  ])('$name', ({ existing: rs, want }) => {
    expect(newSetAnnotations(deployment, rs, 4)).toEqual(want);
  });
});
