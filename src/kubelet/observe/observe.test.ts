import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { testInstance, testSandbox } from '../../../test/fixtures/kubelet-pods.ts';
import type { CriContainerEvent, CriContainerStatus, CriSandboxStatus } from '../../adapters/cri/cri-types.ts';
import { FakeClock } from '../../base/clock.ts';
import { NotFoundError, UnimplementedError } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import { Observe } from './observe.ts';

type Container = CriContainerStatus & { sandboxId: string; podUid: string };

/** A runtime of two lists. */
let sandboxes: CriSandboxStatus[];
let containers: Container[];
let clock: FakeClock;
let changes: string[];
let stop: AbortController;
let done: Promise<void> | undefined;
let events: AsyncGenerator<CriContainerEvent> | undefined;
const never = new AbortController().signal;

const cri = {
  listPodSandboxes: vi.fn<(filter: { podUid?: string }) => Promise<CriSandboxStatus[]>>(),
  listContainers: vi.fn<(filter: { podUid?: string }) => Promise<Container[]>>(),
  podSandboxStatus: vi.fn<(id: string) => Promise<CriSandboxStatus>>(),
  containerStatus: vi.fn<(id: string) => Promise<Container>>(),
  containerEvents: () => events ?? noEvents(),
};

// eslint-disable-next-line require-yield
async function* noEvents(): AsyncGenerator<CriContainerEvent> {
  throw new UnimplementedError('no such method');
}

const instance = (name: string, more: Partial<Container> = {}): Container => ({
  ...testInstance(name),
  podUid: 'uid-1',
  ...more,
});

beforeEach(() => {
  sandboxes = [testSandbox()];
  containers = [instance('web')];
  clock = new FakeClock();
  changes = [];
  stop = new AbortController();
  done = undefined;
  events = undefined;
  const of = <T extends { podUid: string }>(list: T[], { podUid }: { podUid?: string }): Promise<T[]> =>
    Promise.resolve(list.filter((item) => podUid === undefined || item.podUid === podUid));
  const byId = <T extends { id: string }>(list: T[], id: string): Promise<T> => {
    const found = list.find((item) => item.id === id);
    return found === undefined ? Promise.reject(new NotFoundError(`no ${id}`)) : Promise.resolve(found);
  };
  cri.listPodSandboxes.mockReset().mockImplementation((filter) => of(sandboxes, filter));
  cri.listContainers.mockReset().mockImplementation((filter) => of(containers, filter));
  cri.podSandboxStatus.mockReset().mockImplementation((id) => byId(sandboxes, id));
  cri.containerStatus.mockReset().mockImplementation((id) => byId(containers, id));
});

afterEach(async () => {
  stop.abort();
  await done;
});

const busy = new Set<string>();

function start(): Observe {
  const observe = new Observe({
    cri,
    onChange: (uid) => changes.push(uid),
    isBusy: (uid) => busy.has(uid),
    relistPeriodMs: 1000,
    clock,
    log: silentLogger,
  });
  done = observe.run(stop.signal);
  return observe;
}

describe('Observe', () => {
  it('pictures what the first listing shows, and each change after it', async () => {
    const observe = start();
    await observe.firstLook;
    expect(observe.get('uid-1')?.containers.map(({ name, state }) => `${name} ${state}`)).toEqual(['web running']);
    expect(changes).toEqual(['uid-1']);
    await clock.advance(3000);
    expect(changes).toEqual(['uid-1']);
    expect(cri.containerStatus).toHaveBeenCalledTimes(1); // nothing changed: nothing is asked again

    containers = [instance('web', { state: 'exited' })];
    await clock.advance(1000);
    expect(observe.get('uid-1')?.containers[0]?.state).toBe('exited');
    expect(changes).toEqual(['uid-1', 'uid-1']);

    sandboxes = [];
    containers = [];
    await clock.advance(1000);
    expect(observe.get('uid-1')).toBeUndefined();
    expect([...observe.list()]).toEqual([]);
    expect(changes).toHaveLength(3);
  });

  it('keeps the old picture of a pod that cannot be inspected, tries it again, and shows the others', async () => {
    const observe = start();
    await observe.firstLook;
    cri.containerStatus.mockImplementation((id) =>
      id === 'web-0'
        ? Promise.reject(new Error('shim is stuck'))
        : Promise.resolve(instance('db', { podUid: 'uid-2' })),
    );
    containers = [
      instance('web', { state: 'exited' }),
      instance('db', { id: 'db-0', podUid: 'uid-2', sandboxId: 's2' }),
    ];
    sandboxes = [testSandbox(), testSandbox({ id: 's2', podUid: 'uid-2' })];
    await clock.advance(1000);
    expect(observe.get('uid-1')?.containers[0]?.state).toBe('running');
    expect(observe.get('uid-2')?.containers[0]?.name).toBe('db');
    expect(['uid-1', 'uid-2'].map((uid) => observe.isInDoubt(uid))).toEqual([true, false]);
    cri.containerStatus.mockImplementation((id) =>
      Promise.resolve(containers.find((container) => container.id === id) ?? instance('web')),
    );
    await clock.advance(1000);
    expect(observe.get('uid-1')?.containers[0]?.state).toBe('exited');
    expect(observe.isInDoubt('uid-1')).toBe(false);
  });

  it('starts although one pod hangs, and shows it when it answers', async () => {
    const hang = Promise.withResolvers<CriSandboxStatus>();
    cri.podSandboxStatus.mockImplementationOnce(() => hang.promise);
    const observe = start();
    let hasLooked = false;
    void observe.firstLook.then(() => (hasLooked = true));
    await clock.advance(4000);
    expect(hasLooked).toBe(false);
    await clock.advance(2000);
    expect(hasLooked).toBe(true);
    expect(observe.get('uid-1')).toBeUndefined();
    hang.resolve(testSandbox());
    await clock.advance(0);
    expect(observe.get('uid-1')?.containers).toHaveLength(1);
  });

  it('gives a hung look up after half a minute and tries again', async () => {
    cri.podSandboxStatus.mockImplementationOnce(() => new Promise(() => {}));
    const observe = start();
    await clock.advance(29_000);
    expect(observe.get('uid-1')).toBeUndefined();
    await clock.advance(3000);
    expect(observe.get('uid-1')).toBeDefined();
  });

  it('passes over a container that went away while it was looked at', async () => {
    cri.containerStatus.mockRejectedValueOnce(new NotFoundError('gone'));
    const observe = start();
    await observe.firstLook;
    expect(observe.get('uid-1')).toMatchObject({ containers: [], sandboxes: [{ id: 'sandbox-0' }] });
  });

  it('never replaces a picture by an older one', async () => {
    const observe = start();
    await observe.firstLook;
    const slow = Promise.withResolvers<Container>();
    cri.containerStatus.mockImplementationOnce(() => slow.promise);
    const early = observe.inspect('uid-1', never);
    await clock.advance(10);
    containers = [instance('web', { state: 'exited' })];
    await observe.inspect('uid-1', never);
    slow.resolve(instance('web'));
    expect((await early)?.containers[0]?.state).toBe('exited');
    expect(observe.get('uid-1')?.containers[0]?.state).toBe('exited');
  });

  it('forgets a pod that a late listing does not have, though a look has seen it since', async () => {
    const observe = start();
    await observe.firstLook;
    const listing = Promise.withResolvers<CriSandboxStatus[]>();
    cri.listPodSandboxes.mockImplementationOnce(() => listing.promise);
    cri.listContainers.mockImplementationOnce(() => Promise.resolve([]));
    await clock.advance(1000);
    await clock.advance(1);
    await observe.inspect('uid-1', never);
    listing.resolve([]); // as it was before
    await clock.advance(0);
    expect(observe.get('uid-1')).toBeDefined();
    sandboxes = [];
    containers = [];
    await clock.advance(1000);
    expect([...observe.list()]).toEqual([]);
  });

  it('says since when the runtime has not been seen', async () => {
    const observe = start();
    expect(observe.unhealthy()).toBe('PLEG is not healthy: pleg has yet to be successful');
    await observe.firstLook;
    expect(observe.unhealthy()).toBeUndefined();
    cri.listPodSandboxes.mockRejectedValue(new Error('away'));
    await clock.advance(181_000);
    expect(observe.unhealthy()).toBe('PLEG is not healthy: pleg was last seen active 3m1s ago; threshold is 3m0s');
  });

  it('looks more often for a while when a change is expected', async () => {
    const observe = start();
    await observe.firstLook;
    observe.lookClosely('uid-1');
    containers = [instance('web', { state: 'exited' })];
    await clock.advance(40);
    expect(observe.get('uid-1')?.containers[0]?.state).toBe('exited');
  });

  it('with events lists seldom and looks at once', async () => {
    const queue = Promise.withResolvers<CriContainerEvent>();
    const event: CriContainerEvent = { containerId: 'web-0', type: 'STOPPED', createdAtNs: 0n, podUid: 'uid-1' };
    events = (async function* () {
      yield { ...event, podUid: undefined };
      yield await queue.promise;
      await new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()));
    })();
    const observe = start();
    await observe.firstLook;
    await clock.advance(5000);
    const listings = cri.listPodSandboxes.mock.calls.filter(([{ podUid }]) => podUid === undefined).length;
    await clock.advance(20_000);
    expect(cri.listPodSandboxes.mock.calls.filter(([{ podUid }]) => podUid === undefined)).toHaveLength(listings);
    containers = [instance('web', { state: 'exited' })];
    queue.resolve(event);
    await clock.advance(0);
    expect(observe.get('uid-1')?.containers[0]?.state).toBe('exited');
  });
});
