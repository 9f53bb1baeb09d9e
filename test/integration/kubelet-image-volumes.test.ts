/** Volumes that are images: pulled by their own policy before the containers that mount them, mounted by the runtime. */
import { afterEach, expect, it } from 'vitest';
import { secrets } from '../../src/client/resource-types.ts';
import type { ContainerConfig } from '../../src/adapters/cri/cri.ts';
import type { ContainerStateWaiting, PodSpec } from '../../src/objects/generated/core-v1.ts';
import { normalizeImageName } from '../fakes/fake-images.ts';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

afterEach(async () => {
  await t.close();
});

const mount = (name: string, more: object = {}): { name: string; mountPath: string } => ({
  name,
  mountPath: `/${name}`,
  ...more,
});

const withImages = (spec: Partial<PodSpec> = {}): Partial<PodSpec> => ({
  volumes: [
    { name: 'pic', image: { reference: 'pic:1' } },
    { name: 'doc', image: { reference: 'doc:1', pullPolicy: 'Never' } },
    { name: 'nobodys', image: { reference: 'nobodys:1' } },
  ],
  ...spec,
});

/** What the runtime was asked to mount into a container at each of its starts. */
const mountsOf = (name: string): Array<NonNullable<ContainerConfig['mounts']>> =>
  t.cri
    .callsOf('CreateContainer')
    .map(({ request }) => (request as { config: ContainerConfig }).config)
    .filter(({ metadata }) => metadata?.name === name)
    .map(({ mounts = [] }) => mounts.filter(({ image }) => Boolean(image)));

const eventsWith = (words: string): string[] => t.api.eventsOf('pictured').filter((text) => text.includes(words));

it('the image is pulled for the pod and mounted by the runtime; one that nobody mounts is not pulled', async () => {
  t = await openFixture({
    cri: { fields: '2.x' },
  });
  t.cri.images.publish('pic:1');
  const id = t.cri.images.add('doc:1').id;
  const auths = { 'https://index.docker.io/v1/': { username: 'me', password: 'pw' } };
  await t.api.create(secrets, {
    metadata: { name: 'pull', namespace: 'default' },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') },
  });
  await t.start();
  const volumeMounts = [mount('pic', { subPath: 'part/of/it' }), mount('doc'), mount('doc', { mountPath: '/again' })];
  t.api.addPod(
    apiPod(
      'pictured',
      withImages({ containers: [webContainer({ volumeMounts })], imagePullSecrets: [{ name: 'pull' }] }),
    ),
    nodeName,
  );
  const pod = await t.untilReady('pictured');
  const pulls = t.cri.callsOf('PullImage').map(({ request }) => request);
  expect(pulls).toMatchObject([{ image: { image: 'pic:1' }, auth: { username: 'me', password: 'pw' } }]);
  const common = { host_path: '', readonly: true };
  const picture = t.cri.images.find('pic:1')?.id;
  expect(mountsOf('web')).toEqual([
    [
      {
        ...common,
        container_path: '/pic',
        image: { image: picture, user_specified_image: 'pic:1' },
        image_sub_path: 'part/of/it',
      },
      { ...common, container_path: '/doc', image: { image: id, user_specified_image: 'doc:1' } },
      { ...common, container_path: '/again', image: { image: id, user_specified_image: 'doc:1' } },
    ].map((one) => expect.objectContaining({ ...one, image: expect.objectContaining(one.image) as object }) as object),
  ]);
  expect(pod.status?.containerStatuses?.[0]?.volumeMounts).toEqual([
    { name: 'pic', mountPath: '/pic' },
    { name: 'doc', mountPath: '/doc' },
    { name: 'doc', mountPath: '/again' },
  ]);
  await t.until('the events of the pull', () => eventsWith('Pulled: Successfully pulled image "pic:1"').length === 1);
  const pulled = t.api.eventList().filter(({ message }) => message?.includes('"pic:1"'));
  expect(new Set(pulled.map(({ involvedObject }) => involvedObject.fieldPath))).toEqual(new Set([undefined]));
  expect(eventsWith('nobodys')).toEqual([]);
});

it('an image that is missing holds up the containers that mount it, and those alone', async () => {
  t = await openFixture({ cri: { fields: '2.x' } });
  await t.start();
  const containers = [
    webContainer({ name: 'viewer', volumeMounts: [mount('pic')] }),
    webContainer({ name: 'reader', volumeMounts: [mount('doc')] }),
    webContainer({ name: 'plain' }),
  ];
  t.api.addPod(apiPod('pictured', withImages({ containers })), nodeName);
  await t.until('the plain one to run', () => t.container('pictured', 'plain')?.state?.running !== undefined);
  const waiting = (name: string): ContainerStateWaiting | undefined => t.container('pictured', name)?.state?.waiting;
  await t.until('both to wait', () => waiting('viewer')?.reason === 'ErrImagePull');
  expect(waiting('viewer')?.message).toContain(`failed to resolve reference "${normalizeImageName('pic:1')}"`);
  expect(waiting('reader')).toEqual({
    reason: 'ErrImageNeverPull',
    message: 'Container image "doc:1" is not present with pull policy of Never',
  });
  await t.until('the back-off', () => waiting('viewer')?.reason === 'ImagePullBackOff');
  const failed = t.api.eventList().filter(({ reason }) => reason === 'Failed');
  const about = new Set(failed.map(({ involvedObject, message }) => `${involvedObject.fieldPath}: ${message}`));
  expect([...about]).toEqual(
    expect.arrayContaining([
      'spec.containers{viewer}: Error: ErrImagePull',
      'spec.containers{viewer}: Error: ImagePullBackOff',
      'spec.containers{reader}: Error: ErrImageNeverPull',
    ]),
  );
  t.cri.images.publish('pic:1');
  t.cri.images.add('doc:1');
  await t.untilReady('pictured');
  expect(t.container('pictured', 'plain')?.restartCount).toBe(0);
});

it('a runtime that cannot mount images says so, and what it says is explained', async () => {
  t = await openFixture({ cri: { fields: '1.6' } });
  t.cri.images.publish('pic:1');
  await t.start();
  const containers = [webContainer({ name: 'viewer', volumeMounts: [mount('pic')] }), webContainer({ name: 'plain' })];
  t.api.addPod(apiPod('pictured', withImages({ containers })), nodeName);
  await t.until('the plain one to run', () => t.container('pictured', 'plain')?.state?.running !== undefined);
  const waiting = await t.until('the refusal', () => {
    const state = t.container('pictured', 'viewer')?.state?.waiting;
    return state?.reason === 'CreateContainerError' ? state : undefined;
  });
  expect(waiting.message).toMatch(
    /^failed to generate container "[0-9a-f]{64}" spec: .* \(the runtime, fake-containerd 1\.6\.20, cannot mount images: it would have to for volume "pic"\)$/,
  );
  await t.until('its event', () => eventsWith('cannot mount images').length > 0);
});
