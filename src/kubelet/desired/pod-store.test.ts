import { beforeEach, describe, expect, it } from 'vitest';
import { testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { FakeClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { PodStore } from './pod-store.ts';

let clock: FakeClock;
let told: string[];
let store: PodStore;

beforeEach(() => {
  clock = new FakeClock(Date.UTC(2026, 0, 2, 3, 4, 5, 6));
  told = [];
  store = new PodStore({
    sources: ['api', 'file'],
    onChanges: (changes) => told.push(changes.map(({ kind, pod }) => `${kind} ${pod.metadata.uid}`).join(', ')),
    onDuplicate: (pod, source) => told.push(`duplicate ${pod.metadata.uid} from ${source}`),
    clock,
    log: silentLogger,
  });
});

const pod = (uid: string, more: Partial<Pod['metadata']> = {}): Pod => testPod({}, { uid, name: uid, ...more });
const mirrorOf = (name: string, uid: string): Pod =>
  pod(uid, { name, annotations: { 'kubernetes.io/config.mirror': 'hash', 'kubernetes.io/config.source': 'file' } });

describe('PodStore', () => {
  it('tells what is new, changed and gone in a set', () => {
    store.setAll('api', [pod('a'), pod('b')]);
    store.setAll('api', [pod('a'), pod('b')]);
    store.setAll('api', [pod('b', { labels: { x: 'y' } }), pod('c')]);
    expect(told.filter((line) => line !== '')).toEqual(['add a, add b', 'remove a, add c, update b']);
    expect(store.list().map(({ metadata }) => metadata.uid)).toEqual(['b', 'c']);
  });

  it('tells single changes', () => {
    store.setAll('api', []);
    store.setOne('api', 'a', pod('a'));
    store.setOne('api', 'a', { ...pod('a'), status: { phase: 'Running' } });
    store.setOne('api', 'a', pod('a', { resourceVersion: '9' }));
    store.setOne('api', 'a', undefined);
    store.setOne('api', 'a', undefined);
    expect(told.filter((line) => line !== '')).toEqual(['add a', 'reconcile a', 'reconcile a', 'remove a']);
  });

  it('keeps the newest version even when there is nothing to tell', () => {
    store.setAll('api', [pod('a')]);
    store.setOne('api', 'a', pod('a', { resourceVersion: '9' }));
    expect(store.get('a')?.metadata.resourceVersion).toBe('9');
    expect(told).toHaveLength(1);
  });

  it('notes when a pod was first seen, with nine digits, and keeps that', () => {
    store.setAll('api', [pod('a')]);
    void clock.advance(5000);
    store.setOne('api', 'a', pod('a', { labels: { x: 'y' } }));
    expect(store.get('a')?.metadata.annotations).toEqual({
      'kubernetes.io/config.source': 'api',
      'kubernetes.io/config.seen': '2026-01-02T03:04:05.006000000Z',
    });
  });

  it('is complete when every source has spoken, an empty set included', () => {
    expect(store.isComplete).toBe(false);
    store.setAll('api', []);
    expect(store.isComplete).toBe(false);
    expect(store.hasSpoken('api')).toBe(true);
    store.setAll('file', []);
    expect(store.isComplete).toBe(true);
  });

  it('sources cannot take away each other’s pods', () => {
    store.setAll('file', [pod('static')]);
    store.setAll('api', [pod('a')]);
    store.setOne('api', 'static', undefined);
    store.setAll('api', []);
    expect(store.list().map(({ metadata }) => metadata.uid)).toEqual(['static']);
  });

  it('leaves the second of two pods with one name out', () => {
    store.setAll('file', [pod('a', { name: 'web' }), pod('b', { name: 'web' })]);
    expect(told).toEqual(['duplicate b from file', 'add a']);
    expect(store.get('b')).toBeUndefined();
  });

  it('finds pods by name, also while an old one of that name is on its way out', () => {
    store.setAll('file', [pod('old', { name: 'web' })]);
    store.setAll('file', [pod('new', { name: 'web' })]);
    expect(store.byName('default', 'web')?.metadata.uid).toBe('new');
    expect(store.byName('other', 'web')).toBeUndefined();
    expect(store.describe('new')).toBe('default/web');
    expect(store.describe('x')).toBe('x');
  });

  it('keeps mirrors apart and knows who belongs to whom', () => {
    store.setAll('file', [pod('s', { name: 'web' })]);
    store.setAll('api', [mirrorOf('web', 'm'), mirrorOf('alone', 'o'), pod('a')]);
    expect(store.list().map(({ metadata }) => metadata.uid)).toEqual(['s', 'a']);
    expect(store.mirrors().map(({ metadata }) => metadata.uid)).toEqual(['m', 'o']);
    const [mirror, orphan] = store.mirrors();
    if (mirror === undefined || orphan === undefined) throw new Error('the mirrors are missing');
    expect(store.staticOf(mirror)?.metadata.uid).toBe('s');
    expect(store.staticOf(orphan)).toBeUndefined();
    expect(store.mirrorOf(pod('s', { name: 'web' }))?.metadata.uid).toBe('m');
    expect(mirror.metadata.annotations?.['kubernetes.io/config.source']).toBe('api');
    store.setOne('api', 'm', undefined);
    expect(store.mirrorOf(pod('s', { name: 'web' }))).toBeUndefined();
    expect(store.get('s')).toBeDefined();
  });

  it('a static pod has its name back when another pod of that name is gone', () => {
    store.setAll('file', [pod('s', { name: 'web' })]);
    store.setAll('api', [pod('a', { name: 'web' })]);
    expect(store.byName('default', 'web')?.metadata.uid).toBe('a');
    store.setOne('api', 'a', undefined);
    expect(store.byName('default', 'web')?.metadata.uid).toBe('s');
    expect(store.staticOf(mirrorOf('web', 'm'))?.metadata.uid).toBe('s');
  });

  it('a pod of the API is nobody’s static pod', () => {
    store.setAll('api', [pod('a', { name: 'web' }), mirrorOf('other', 'm')]);
    expect(store.staticOf(mirrorOf('web', 'x'))).toBeUndefined();
  });
});
