/** Volumes of a CSI driver on a real node: the driver is a program of its own that mounts, and has faults. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type {
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  PodSpec,
  Volume,
} from '../../src/objects/generated/core-v1.ts';
import type { CSINode } from '../../src/objects/generated/storage-v1.ts';
import { CsiDriverProcess } from '../fakes/csi-driver-process.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, mainFile, runCommand, useLab } from './support/lab.ts';
import {
  type List,
  applyObjects,
  awaitEvent,
  awaitGone,
  awaitReady,
  containerOf,
  getPod,
  inPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

const driverName = 'dir.csi.example';
const topologyKey = `${driverName}/place`;
const group = 3000;

interface Summary {
  pods: Array<{
    podRef: { name: string };
    volume?: Array<{ name: string; capacityBytes: number; pvcRef?: { name: string; namespace: string } }>;
  }>;
}

describeAsRoot('volumes of a CSI driver', () => {
  const lab = useLab();
  let driver: CsiDriverProcess;

  const onNode = (script: string): Promise<string> => lab.onNode(0, 'sh', '-c', script);
  const claim = (name: string, volumeMode = 'Filesystem'): object => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'csi',
      volumeMode,
      resources: { requests: { storage: '8Mi' } },
    },
  });
  const claimed = (claimName: string): Volume => ({ name: 'data', persistentVolumeClaim: { claimName } });
  const inline: Volume = { name: 'data', csi: { driver: driverName, volumeAttributes: { greeting: 'hello' } } };
  const podWith = (name: string, volume: Volume, spec: Partial<PodSpec> = {}): Pod =>
    podOf(name, [shell(untilAsked, { volumeMounts: [{ name: 'data', mountPath: '/data' }] })], {
      volumes: [volume],
      ...spec,
    });
  const registered = async (): Promise<string[]> => {
    const { spec } = await lab.kubectlJson<CSINode>('get', 'csinode', lab.nodeName(0));
    return spec.drivers.map(({ name }) => name);
  };
  const awaitRegistered = (): Promise<true> =>
    eventually('the registration of the driver', patienceMs, async () =>
      (await registered()).includes(driverName) ? true : undefined,
    );
  const asked = (method: string, count: number): Promise<true> =>
    eventually(`${count} × ${method}`, patienceMs, async () =>
      (await driver.requests(method)).length >= count ? true : undefined,
    );
  /** Places below the kubelet's root where something of the driver is mounted, or noted. */
  const remains = async (): Promise<string> =>
    `${await onNode(`grep -E 'kubernetes.io(~|/)csi' /proc/self/mountinfo | cut -d' ' -f5`)}${await onNode(
      `find /var/lib/kubelet -name vol_data.json`,
    )}`;
  const awaitNoRemains = (): Promise<true> =>
    eventually('the end of all that was mounted', patienceMs, async () =>
      (await remains()) === '' ? true : undefined,
    );

  beforeAll(async () => {
    await applyObjects(
      lab,
      {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'CSIDriver',
        metadata: { name: driverName },
        spec: { podInfoOnMount: true, volumeLifecycleModes: ['Persistent', 'Ephemeral'] },
      },
      {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name: 'csi' },
        provisioner: driverName,
        allowVolumeExpansion: true,
        volumeBindingMode: 'WaitForFirstConsumer',
        parameters: { 'csi.storage.k8s.io/fstype': 'ext4' },
      },
    );
    const settings = { registry: '/var/lib/kubelet/plugins_registry', kubeconfig: lab.kubeconfig };
    const inNode = ['lab', 'exec', '--name', lab.name, '--node', lab.nodeName(0), '--'];
    driver = await CsiDriverProcess.start(
      join(lab.directory, 'csi'),
      {
        ...settings,
        name: driverName,
        roles: ['provisioner', 'attacher', 'resizer'],
        topology: { [topologyKey]: 'here' },
      },
      {
        command: [process.execPath, mainFile, ...inNode, process.execPath],
        env: { ...process.env, GANTRY_LAB_ROOT: lab.stateRoot },
      },
    );
    await awaitRegistered();
  });

  afterAll(async () => {
    await driver?.stop();
    // block volumes of tests that have failed
    const { stdout } = await runCommand('losetup', ['-n', '-O', 'NAME,BACK-FILE']);
    for (const line of stdout.split('\n').filter((one) => one.includes(lab.directory))) {
      await runCommand('losetup', ['-d', line.split(' ')[0] ?? '']);
    }
  });

  it('are made for claims, given to the pod’s group, kept between pods, grown, and deleted', async () => {
    const security = { securityContext: { fsGroup: group, runAsUser: 1000 } };
    await applyObjects(lab, claim('kept'), podWith('first', claimed('kept'), security));
    await awaitReady(lab, 'first');
    expect(await inPod(lab, 'first', 'stat -c %a:%g /data && echo precious > /data/witness')).toBe(`2775:${group}\n`);
    await lab.kubectl('delete', 'pod', 'first');
    await asked('ControllerUnpublishVolume', 1);
    await lab.kubectl('patch', 'pvc', 'kept', '-p', '{"spec":{"resources":{"requests":{"storage":"16Mi"}}}}');
    await asked('ControllerExpandVolume', 1);
    await applyObjects(lab, podWith('second', claimed('kept'), security));
    await awaitReady(lab, 'second');
    expect(await inPod(lab, 'second', 'cat /data/witness')).toBe('precious\n');
    const { metadata } = await lab.kubectlJson<Node>('get', 'node', lab.nodeName(0));
    expect(metadata.labels?.[topologyKey]).toBe('here');
    const [volume] = (await lab.kubectlJson<List<PersistentVolume>>('get', 'pv')).items;
    expect(JSON.stringify(volume?.spec?.nodeAffinity)).toContain(topologyKey);

    await eventually('the new size of the claim', patienceMs, async () => {
      const { status } = await lab.kubectlJson<PersistentVolumeClaim>('get', 'pvc', 'kept');
      return status?.capacity?.['storage'] === '16Mi' ? true : undefined;
    });

    const path = `/api/v1/nodes/${lab.nodeName(0)}/proxy/stats/summary`;
    await eventually('the figures of the driver', patienceMs, async () => {
      const { pods } = JSON.parse(await lab.kubectl('get', '--raw', path)) as Summary; // the kubelet's
      const found = pods.find(({ podRef }) => podRef.name === 'second')?.volume?.find(({ name }) => name === 'data');
      if (found?.capacityBytes !== 16 * 2 ** 20) throw new Error(`no such figures: ${JSON.stringify(found)}`);
      expect(found.pvcRef).toEqual({ name: 'kept', namespace: 'default' });
      return true;
    });

    await lab.kubectl('delete', 'pod/second', 'pvc/kept');
    await eventually('the deletion of the volume', patienceMs, async () => {
      const { items } = await lab.kubectlJson<List<PersistentVolume>>('get', 'pv');
      return items.length === 0 ? true : undefined;
    });
    await awaitNoRemains();
    const ofPod = [
      'ControllerPublishVolume',
      'NodeStageVolume',
      'NodePublishVolume',
      'NodeUnpublishVolume',
      'NodeUnstageVolume',
      'ControllerUnpublishVolume',
    ];
    const steps = ['CreateVolume', ...ofPod, ...ofPod, 'DeleteVolume'];
    const seen = (await driver.calls()).filter(
      ({ request, method }) => request !== undefined && steps.includes(method),
    );
    expect(seen.map(({ method }) => method)).toEqual(steps);
    const [staged] = await driver.requests('NodeStageVolume');
    expect(staged?.['publish_context']).toEqual({ device: `node-id/${String(staged?.['volume_id'])}` });
  });

  it('come with a pod and go with it', async () => {
    await applyObjects(lab, podWith('guest', inline));
    await awaitReady(lab, 'guest');
    expect(await inPod(lab, 'guest', 'cat /data/greeting')).toBe('hello');
    const [published] = (await driver.requests('NodePublishVolume')).slice(-1);
    expect(published).toMatchObject({
      volume_context: {
        greeting: 'hello',
        'csi.storage.k8s.io/pod.name': 'guest',
        'csi.storage.k8s.io/ephemeral': 'true',
      },
    });
    await lab.kubectl('delete', 'pod', 'guest');
    await awaitNoRemains();
  });

  it('are devices when they are claimed as such', async () => {
    const main = shell(untilAsked, { volumeDevices: [{ name: 'data', devicePath: '/dev/disk' }] });
    await applyObjects(lab, claim('raw', 'Block'), podOf('digger', [main], { volumes: [claimed('raw')] }));
    await awaitReady(lab, 'digger');
    await awaitEvent(
      lab,
      'digger',
      'SuccessfulMountVolume',
      /globalMapPath ".*kubernetes.io\/csi\/volumeDevices\/.*\/dev"$/,
    );
    const script = 'test -b /dev/disk && printf ore | dd of=/dev/disk conv=notrunc 2>/dev/null; head -c 3 /dev/disk';
    expect(await inPod(lab, 'digger', script)).toBe('ore');
    const [made] = (await driver.requests('CreateVolume')).slice(-1);
    const image = join(driver.config.stateDir, 'volumes', `vol-${String(made?.['name'])}.img`);
    expect((await readFile(image)).subarray(0, 3).toString()).toBe('ore');
    await lab.kubectl('delete', 'pod/digger', 'pvc/raw');
    await awaitNoRemains();
    expect(await onNode(`losetup -j ${image}`)).toBe('');
  });

  it('that hang hold up their own pod alone', async () => {
    await driver.control({ hang: ['NodePublishVolume'] });
    const before = (await driver.requests('NodePublishVolume')).length;
    await applyObjects(lab, podWith('hung', inline));
    await asked('NodePublishVolume', before + 1);
    await applyObjects(lab, podWith('free', { name: 'data', emptyDir: {} }));
    await awaitReady(lab, 'free');
    expect((await getPod(lab, 'hung')).status?.phase).toBe('Pending');
    await driver.control({});
    await awaitReady(lab, 'hung');
    await lab.kubectl('delete', 'pod', 'hung', 'free');
    await awaitNoRemains();
  });

  it('survive a driver that ends at the worst moment, and pods run on without it', async () => {
    await driver.control({ exitBefore: 'NodePublishVolume' });
    await applyObjects(lab, claim('risky'), podWith('survivor', claimed('risky')));
    await awaitEvent(lab, 'survivor', 'FailedMount', 'code = Unavailable');
    await driver.ended();
    await driver.control({});
    await driver.restart();
    await awaitReady(lab, 'survivor');
    await inPod(lab, 'survivor', 'echo precious > /data/witness');

    await driver.stop();
    await eventually('the end of the registration', patienceMs, async () =>
      (await registered()).length === 0 ? true : undefined,
    );
    const running = containerOf(await getPod(lab, 'survivor'))?.containerID;
    // and without the kubelet
    await lab.stop(0, 'agent', 'SIGKILL');
    await lab.start(0, 'agent');
    await lab.kubectl('delete', 'pod', 'survivor', '--wait=false');
    await eventually('the end of the container', patienceMs, async () => {
      const pod = await getPod(lab, 'survivor');
      expect(containerOf(pod)?.containerID).toBe(running);
      return containerOf(pod)?.state?.terminated === undefined ? undefined : true;
    });
    expect(await remains()).toContain('/mount');
    await driver.restart();
    await awaitGone(lab, 'survivor');
    const [volume] = (await lab.kubectlJson<List<PersistentVolume>>('get', 'pv')).items;
    const handle = volume?.spec?.csi?.volumeHandle ?? '';
    expect(await readFile(join(driver.config.stateDir, 'volumes', handle, 'witness'), 'utf8')).toBe('precious\n');
    await lab.kubectl('delete', 'pvc', 'risky');
    await awaitNoRemains();
  });
});
