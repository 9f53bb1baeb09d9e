import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import { UnavailableError } from '../../../base/errors.ts';
import type { ClusterTrustBundle } from '../../../objects/generated/certificates-v1beta1.ts';
import type { ClusterTrustBundleProjection } from '../../../objects/generated/core-v1.ts';
import { pemBlock, pemBlocks } from './pem-blocks.ts';
import { type BundleWatch, TrustBundles, noTrustAnchors, selectAnchors } from './trust-bundles.ts';

const der = (text: string): Buffer => Buffer.from(text.padEnd(100, '.'));
const pem = (...texts: string[]): string => texts.map((text) => pemBlock('CERTIFICATE', der(text))).join('');
const bundle = (
  name: string,
  trustBundle: string,
  signerName?: string,
  labels?: Record<string, string>,
): ClusterTrustBundle => ({
  metadata: { name, labels },
  spec: { trustBundle, signerName },
});

describe('PEM', () => {
  it('blocks of any type, without headers and what lies between', () => {
    const text = [
      'a comment',
      '-----BEGIN CERTIFICATE-----\r\nAAEC\r\n-----END CERTIFICATE-----',
      '-----BEGIN OLD THING-----\nProc-Type: 4\nX: y\n\nAwQF\n-----END OLD THING-----',
      '-----BEGIN BROKEN-----\n***\n-----END BROKEN-----',
      '-----BEGIN ONE-----\nAAAA\n-----END OTHER-----',
      '-----BEGIN CERTIFICATE-----\nBgc=\n-----END CERTIFICATE-----',
    ].join('\n');
    expect(pemBlocks(text).map((content) => [...content])).toEqual([
      [0, 1, 2],
      [3, 4, 5],
      [6, 7],
    ]);
    expect(pemBlocks('')).toEqual([]);
  });

  it('in lines of 64 characters, and back', () => {
    const text = pemBlock('X', Buffer.alloc(100, 7));
    expect(text.split('\n').map(({ length }) => length)).toEqual([17, 64, 64, 8, 15, 0]);
    expect(pemBlocks(text)).toEqual([Buffer.alloc(100, 7)]);
  });
});

describe('selectAnchors', () => {
  const bundles = [
    bundle('own', pem('a', 'b', 'a')),
    bundle('x:one', pem('b', 'c'), 'x', { live: 'yes' }),
    bundle('x:two', `text\n${pem('c', 'd')}`, 'x', { live: 'no' }),
    bundle('y:one', pem('e'), 'y', { live: 'yes' }),
  ];
  const zero = 'combination of signerName and labelSelector matched zero ClusterTrustBundles';
  it.each<{ name: string; wish: Omit<ClusterTrustBundleProjection, 'path'>; want: string }>([
    { name: 'by name, each once', wish: { name: 'own' }, want: 'ab' },
    { name: 'of a signer, all bundles', wish: { signerName: 'x', labelSelector: {} }, want: 'bcd' },
    {
      name: 'of a signer, by label',
      wish: { signerName: 'x', labelSelector: { matchLabels: { live: 'no' } } },
      want: 'cd',
    },
    { name: 'no selector fits nothing', wish: { signerName: 'x' }, want: zero },
    { name: 'nothing, optional', wish: { signerName: 'x', optional: true }, want: '' },
    { name: 'another signer’s labels do not count', wish: { signerName: 'z', labelSelector: {} }, want: zero },
    { name: 'a name that is not there, optional', wish: { name: 'none', optional: true }, want: '' },
    {
      name: 'a name that is not there',
      wish: { name: 'none' },
      want: 'while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io "none" not found',
    },
  ])('$name: $want', ({ wish, want }) => {
    const select = (): string => selectAnchors(bundles, { path: 'p', ...wish });
    if (want.includes(' ')) return expect(select).toThrow(new Error(want));
    expect(
      pemBlocks(select())
        .map((content) => content.toString().slice(0, 1))
        .toSorted()
        .join(''),
    ).toBe(want);
    expect(select()).toBe(select()); // in some order, but always the same
    expect(select()).toMatch(want === '' ? /^$/ : /^-----BEGIN CERTIFICATE-----\n/);
  });
});

describe('TrustBundles', () => {
  const signal = new AbortController().signal;
  const clock = new FakeClock();
  const open = (answers: Array<BundleWatch | undefined | Error>): { bundles: TrustBundles; asked: () => number } => {
    let asked = 0;
    const bundles = new TrustBundles({
      watch: () => {
        const answer = answers[Math.min(asked++, answers.length - 1)];
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
      onChange: () => {},
      waitMs: 10_000,
      withDeadline: (what, ms, s, work) => withDeadline(what, ms, clock, s, work),
    });
    return { bundles, asked: () => asked };
  };
  const watchOf = (hasSynced: boolean): BundleWatch => ({
    list: () => [bundle('own', pem('a'))],
    hasSynced,
    whenSynced: () => (hasSynced ? Promise.resolve() : new Promise(() => {})),
    run: () => Promise.resolve(),
  });
  const wish = { path: 'p', name: 'own' };

  it('opens one watch, when the first pod asks', async () => {
    const { bundles, asked } = open([watchOf(true)]);
    expect(asked()).toBe(0);
    const [one, two] = await Promise.all([bundles.anchors(wish, signal), bundles.anchors(wish, signal)]);
    expect([one, two]).toEqual([pem('a'), pem('a')]);
    expect(asked()).toBe(1);
  });

  it('asks again where the API does not have them, or does not answer', async () => {
    const { bundles } = open([new UnavailableError('connection refused'), undefined, watchOf(true)]);
    await expect(bundles.anchors(wish, signal)).rejects.toThrow(
      'failed to ensure informer manager for ClusterTrustBundles: failed to determine which informer manager to choose: connection refused',
    );
    await expect(bundles.anchors(wish, signal)).rejects.toThrow(new Error(noTrustAnchors));
    expect(await bundles.anchors(wish, signal)).toBe(pem('a'));
  });

  it('waits ten seconds for the list, and then no more', async () => {
    const { bundles } = open([watchOf(false)]);
    const first = expect(bundles.anchors(wish, signal)).rejects.toThrow(
      'ClusterTrustBundle informer has not yet synced',
    );
    await clock.advance(10_000);
    await first;
    await expect(bundles.anchors(wish, signal)).rejects.toThrow('has not yet synced');
  });
});
