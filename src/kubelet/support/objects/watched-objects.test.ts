import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import { FakeClock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import type { ConfigMap, PodSpec } from '../../../objects/generated/core-v1.ts';
import { type ObjectKind, WatchedObjects, namedObjects } from './watched-objects.ts';

interface Watch {
  key: string;
  object: ConfigMap | undefined;
  isRunning: boolean;
  sync: () => void;
  tell: () => void;
}

let clock: FakeClock;
let watches: Watch[];
let changes: string[];
let stop: AbortController;
let running: Promise<void>;
let objects: WatchedObjects;

beforeEach(() => {
  clock = new FakeClock();
  watches = [];
  changes = [];
  stop = new AbortController();
  objects = new WatchedObjects({
    watch: (kind: ObjectKind, namespace, name, onChange) => {
      const synced = Promise.withResolvers<void>();
      const watch: Watch = {
        key: `${kind}/${namespace}/${name}`,
        object: undefined,
        isRunning: false,
        sync: synced.resolve,
        tell: onChange,
      };
      watches.push(watch);
      return {
        get: () => watch.object,
        whenSynced: () => synced.promise,
        run: (signal) => {
          watch.isRunning = true;
          return new Promise((resolve) =>
            signal.addEventListener('abort', () => resolve(void (watch.isRunning = false)), { once: true }),
          );
        },
      };
    },
    onChange: (kind, namespace, name, uids) => changes.push(`${kind}/${namespace}/${name} of ${[...uids].join()}`),
    waitMs: 1000,
    withDeadline: (what, ms, signal, work) => withDeadline(what, ms, clock, signal, work),
  });
  running = objects.run(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await running;
});

const uses = (uid: string, ...names: string[]) =>
  testPod({ volumes: names.map((name) => ({ name, configMap: { name } })) }, { uid });
const live = (): string[] => watches.filter(({ isRunning }) => isRunning).map(({ key }) => key);

describe('WatchedObjects', () => {
  it('watches each object once, from the first pod that names it to the last', () => {
    objects.register(uses('a', 'x', 'y'));
    objects.register(uses('a', 'x', 'y'));
    objects.register(uses('b', 'x'));
    expect(live()).toEqual(['ConfigMap/default/x', 'ConfigMap/default/y']);
    objects.unregister('a');
    expect(live()).toEqual(['ConfigMap/default/x']);
    objects.unregister('b');
    objects.unregister('nobody');
    expect(live()).toEqual([]);
    expect(watches).toHaveLength(2);
  });

  it('lets go of what a pod no longer names', () => {
    objects.register(uses('a', 'x'));
    objects.register(uses('a', 'y'));
    expect(live()).toEqual(['ConfigMap/default/y']);
  });

  it('keeps no watch for one who reads for a pod that is gone', async () => {
    const never = new AbortController().signal;
    const reads = [objects.configMap('default', 'x', never), objects.configMap('default', 'x', never)];
    expect(live()).toEqual(['ConfigMap/default/x']);
    const [watch] = watches;
    if (watch !== undefined) watch.object = { metadata: { name: 'x' } };
    watch?.sync();
    expect(await Promise.all(reads)).toHaveLength(2);
    expect(live()).toEqual([]);
  });

  it('tells changes', () => {
    objects.register(uses('a', 'x'));
    watches[0]?.tell();
    expect(changes).toEqual(['ConfigMap/default/x of a']);
  });

  it.each(['by a reader', 'by the watch'])('an immutable object seen %s is watched no more, and stays', async (how) => {
    objects.register(uses('a', 'x'));
    const [watch] = watches;
    if (watch === undefined) throw new Error('nothing is watched');
    watch.object = { metadata: { name: 'x' }, data: { v: 'mutable yet' } };
    watch.sync();
    await objects.configMap('default', 'x', stop.signal);
    expect(live()).toHaveLength(1);
    watch.object = { metadata: { name: 'x' }, immutable: true, data: { v: 'first' } };
    if (how === 'by the watch') watch.tell();
    else await objects.configMap('default', 'x', stop.signal);
    expect(live()).toEqual([]);
    watch.object = undefined; // what a watch would tell, were there one
    objects.register(uses('b', 'x'));
    objects.unregister('a');
    expect((await objects.configMap('default', 'x', stop.signal)).data).toEqual({ v: 'first' });
    expect(watches).toHaveLength(1);
    objects.unregister('b'); // the last one forgets it
    objects.register(uses('c', 'x'));
    expect(live()).toEqual(['ConfigMap/default/x']);
    expect(watches).toHaveLength(2);
  });

  it('reads an object once the watch knows', async () => {
    objects.register(uses('a', 'x'));
    const read = objects.configMap('default', 'x', stop.signal);
    const [watch] = watches;
    if (watch === undefined) throw new Error('nothing is watched');
    watch.object = { metadata: { name: 'x' }, data: { a: 'b' } };
    watch.sync();
    expect((await read).data).toEqual({ a: 'b' });
  });

  it('says in upstream’s words what is not there', async () => {
    const read = objects.secret('default', 'x', stop.signal);
    watches[0]?.sync();
    await expect(read).rejects.toThrow(/^secret "x" not found$/);
  });

  it('does not wait for ever for an API that says nothing', async () => {
    const read = objects.configMap('default', 'x', stop.signal);
    const failed = expect(read).rejects.toThrow(
      /^failed to sync configmap cache: timed out waiting for the condition$/,
    );
    await clock.advance(1000);
    await failed;
  });
});

describe('namedObjects', () => {
  const spec: Partial<PodSpec> = {
    imagePullSecrets: [{ name: 'pull' }, { name: '' }],
    initContainers: [testContainer('i', { envFrom: [{ secretRef: { name: 'init' } }] })],
    containers: [
      testContainer('c', {
        env: [
          { name: 'A', valueFrom: { configMapKeyRef: { name: 'env', key: 'k' } } },
          { name: 'B', valueFrom: { secretKeyRef: { name: 'env', key: 'k' } } },
        ],
        envFrom: [{ configMapRef: { name: 'env' } }],
      }),
    ],
    ephemeralContainers: [{ name: 'e', image: 'x', envFrom: [{ configMapRef: { name: 'late' } }] }],
    volumes: [
      { name: '1', secret: { secretName: 'vol' } },
      { name: '2', projected: { sources: [{ configMap: { name: 'proj' } }, { secret: { name: 'proj' } }] } },
    ],
  };
  it('finds each once, wherever it is named', () => {
    expect(namedObjects(testPod(spec)).map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'Secret pull',
      'Secret init',
      'ConfigMap env',
      'Secret env',
      'ConfigMap late',
      'Secret vol',
      'ConfigMap proj',
      'Secret proj',
    ]);
  });
});
