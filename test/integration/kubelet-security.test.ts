/** What a pod's security settings become at the runtime, seen on the wire, with user namespaces and runtime classes. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { runtimeClasses } from '../../src/client/resource-types.ts';
import type { Container, PodSpec } from '../../src/objects/generated/core-v1.ts';
import type { FakeCriOptions } from '../fakes/fake-cri.ts';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

afterEach(async () => {
  await t.close();
});

const handlers = [
  { name: '', userNamespaces: true, recursiveReadOnlyMounts: true },
  { name: 'plain' },
  { name: 'strong', userNamespaces: true },
];

async function start(options: FakeCriOptions): Promise<void> {
  t = await openFixture({ cri: options });
  await t.start();
}

async function addClass(name: string, handler: string): Promise<void> {
  await t.api.create(runtimeClasses, { metadata: { name }, handler });
}

const firstIdOf = (pod: string): number | undefined =>
  t.cri.sandboxesOfPod(pod).at(-1)?.config.linux?.security_context?.namespace_options?.userns_options?.uids[0]?.host_id;

const untilEvent = (pod: string, start_: string): Promise<string> =>
  t.until(`an event "${start_}"`, () => t.api.eventsOf(pod).find((text) => text.startsWith(start_)));

it('a pod with a user namespace keeps its ids over a restart of the kubelet, and gives them back at its end', async () => {
  t = await openFixture({ cri: { handlers } });
  const kubelet = await t.start();
  const container: Container = webContainer({ volumeMounts: [{ name: 'data', mountPath: '/data' }] });
  const spec: Partial<PodSpec> = {
    hostUsers: false,
    containers: [container],
    volumes: [{ name: 'data', emptyDir: {} }],
  };
  const first = t.api.addPod(apiPod('first', spec), nodeName);
  t.api.addPod(apiPod('second', spec), nodeName);
  await t.untilReady('first');
  await t.untilReady('second');
  const ids = [firstIdOf('first'), firstIdOf('second')];
  expect(ids.toSorted((a, b) => (a ?? 0) - (b ?? 0))).toEqual([65_536, 131_072]);

  const mapping = { host_id: ids[0], container_id: 0, length: 65_536 };
  const userns = { mode: 'POD', uids: [mapping], gids: [mapping] };
  const started = t.cri.containersOfPod('first')[0]?.config;
  expect(started?.linux?.security_context?.namespace_options?.userns_options).toEqual(userns);
  expect(started?.mounts.map(({ container_path: path }) => path)).toEqual([
    '/data',
    '/etc/hosts',
    '/dev/termination-log',
  ]);
  for (const mount of started?.mounts ?? [])
    expect(mount).toMatchObject({ uidMappings: [mapping], gidMappings: [mapping] });
  const file = join(t.directory, 'root', 'pods', first.metadata.uid ?? '', 'userns');
  const plain = { hostId: ids[0], containerId: 0, length: 65_536 };
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ uidMappings: [plain], gidMappings: [plain] });

  await kubelet.stop();
  await t.start();
  t.api.addPod(apiPod('third', spec), nodeName);
  await t.untilReady('third');
  expect(firstIdOf('third')).toBe(196_608); // not what runs already
  t.cri.exitContainer({ pod: 'first', name: 'web' }, 1);
  await t.until('its next instance', () => t.cri.containersOfPod('first').length === 2);
  expect(t.cri.containersOfPod('first')[1]?.config.linux?.security_context?.namespace_options?.userns_options).toEqual(
    userns,
  );

  t.api.deletePod('first');
  await t.untilGone('first');
  t.api.addPod(apiPod('fourth', spec), nodeName);
  await t.untilReady('fourth');
  expect(firstIdOf('fourth')).toBe(ids[0]);
  t.api.addPod(apiPod('plain'), nodeName);
  await t.untilReady('plain');
  expect(
    t.cri.sandboxesOfPod('plain')[0]?.config.linux?.security_context?.namespace_options?.userns_options,
  ).toMatchObject({ mode: 'NODE', uids: [] });
});

it('ids of a pod that went while the kubelet was away are free again', async () => {
  t = await openFixture({ cri: { handlers } });
  const kubelet = await t.start();
  t.api.addPod(apiPod('first', { hostUsers: false }), nodeName);
  await t.untilReady('first');
  await kubelet.stop();
  t.api.deletePod('first', 0);
  await t.start();
  const pods = join(t.directory, 'root', 'pods');
  await t.until('its end', () => t.cri.runtime.sandboxes.size === 0);
  await t.clock.pass(10_000);
  t.api.addPod(apiPod('second', { hostUsers: false }), nodeName);
  await t.untilReady('second');
  expect(firstIdOf('second')).toBe(65_536);
  await rm(pods, { recursive: true, force: true });
});

it.each([
  { name: 'a runtime that knows no handlers', options: {}, className: undefined, who: 'runtime' },
  { name: 'a handler that cannot', options: { handlers }, className: 'weak', who: 'RuntimeClass handler "plain"' },
])('hostUsers: false on $name is refused in upstream’s words', async ({ options, className, who }) => {
  await start(options);
  await addClass('weak', 'plain');
  t.api.addPod(apiPod('web', { hostUsers: false, runtimeClassName: className }), nodeName);
  expect(await untilEvent('web', 'FailedCreatePodSandBox')).toBe(
    `FailedCreatePodSandBox: Failed to create pod sandbox: can't set \`spec.hostUsers: false\`, ${who} does not support user namespaces`,
  );
  expect(t.cri.runtime.sandboxes.size).toBe(0);
  t.api.deletePod('web');
  await t.untilGone('web');
});

it('a runtime class names the handler, and a missing one holds the pod up until it is there', async () => {
  await start({ handlers });
  await addClass('strong', 'strong');
  const overhead = { cpu: '250m', memory: '64Mi' };
  t.api.addPod(apiPod('there', { runtimeClassName: 'strong', overhead, hostUsers: false }), nodeName);
  await t.untilReady('there');
  const sandbox = t.cri.sandboxesOfPod('there')[0];
  expect(sandbox?.runtimeHandler).toBe('strong');
  expect(sandbox?.config.linux?.overhead).toMatchObject({
    cpu_shares: '256',
    memory_limit_in_bytes: String(64 * 1024 * 1024),
  });
  t.api.addPod(apiPod('waits', { runtimeClassName: 'late' }), nodeName);
  expect(await untilEvent('waits', 'FailedCreatePodSandBox')).toBe(
    'FailedCreatePodSandBox: Failed to create pod sandbox: runtimeclass.node.k8s.io "late" not found',
  );
  await addClass('late', 'plain');
  await t.untilReady('waits');
  expect(t.cri.sandboxesOfPod('waits')[0]?.runtimeHandler).toBe('plain');
});

it.each([
  { className: undefined, want: true },
  { className: 'weak', want: false },
])('recursive read-only mounts are asked of the handler of class $className: $want', async ({ className, want }) => {
  await start({ handlers });
  await addClass('weak', 'plain');
  const mount = { name: 'data', mountPath: '/data', readOnly: true };
  const containers = [webContainer({ volumeMounts: [{ ...mount, recursiveReadOnly: 'IfPossible' }] })];
  const volumes = [{ name: 'data', emptyDir: {} }];
  t.api.addPod(apiPod('web', { runtimeClassName: className, containers, volumes }), nodeName);
  await t.untilReady('web');
  expect(t.cri.containersOfPod('web')[0]?.config.mounts[0]?.recursive_read_only).toBe(want);
});

it('a container that may not run as it is waits with the reason, beside one that may', async () => {
  await start({});
  const containers = [
    webContainer({ securityContext: { runAsUser: 5 } }),
    webContainer({ name: 'root' }),
    webContainer({ name: 'profile', securityContext: { runAsUser: 5, seccompProfile: { type: 'Localhost' } } }),
  ];
  const pod = t.api.addPod(apiPod('web', { containers, securityContext: { runAsNonRoot: true } }), nodeName);
  const waiting = (name: string): unknown => t.container('web', name)?.state?.waiting;
  await t.until('both to wait', () => waiting('profile') !== undefined && t.container('web', 'web')?.state?.running);
  await t.until('the reason', () => t.container('web', 'root')?.state?.waiting?.message);
  expect(waiting('root')).toEqual({
    reason: 'CreateContainerConfigError',
    message: `container has runAsNonRoot and image will run as root (pod: "web_default(${pod.metadata.uid})", container: root)`,
  });
  expect(waiting('profile')).toEqual({
    reason: 'CreateContainerConfigError',
    message: 'localhostProfile must be set if seccompProfile type is Localhost.',
  });
});
