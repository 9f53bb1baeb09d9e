/** Volumes that outlive pods, on a real node: what containers see of them, and what restarts leave of them. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { Container, Pod, PodSpec, PersistentVolumeSpec, Volume } from '../../src/objects/generated/core-v1.ts';
import { findByEnvironment } from '../../src/adapters/process-table/process-table.ts';
import { clusterVariable } from '../../src/lab/lab-node.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, runCommand, succeed, useLab } from './support/lab.ts';
import {
  applyObjects,
  awaitEvent,
  awaitReady,
  containerOf,
  getPod,
  inPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

const node = 0;

describeAsRoot('volumes that outlive pods', () => {
  const lab = useLab();
  /** Where the data lies: a lab's node has its machine's files. */
  const data = join(lab.directory, 'volumes');

  const onNode = (script: string): Promise<string> => lab.onNode(node, 'sh', '-c', script);
  /** The node's data lies among the machine's files. */
  const onHost = async (script: string): Promise<string> => succeed(script, await runCommand('sh', ['-c', script]));
  /** `/proc/<pid>` of the node's runtime: its files and mounts are the node's. */
  const nodeProcess = async (): Promise<string> => {
    for (const { pid, value } of await findByEnvironment(clusterVariable)) {
      if (value !== lab.directory) continue;
      if ((await readFile(`/proc/${pid}/comm`, 'utf8')).trim() === 'containerd') return `/proc/${pid}`;
    }
    throw new Error('the lab runs no containerd');
  };
  /** A volume and its claim, made for each other. */
  function bound(name: string, spec: PersistentVolumeSpec, mode = 'ReadWriteOnce'): object[] {
    const common = { accessModes: [mode], storageClassName: '', volumeMode: spec.volumeMode ?? 'Filesystem' };
    const claimRef = { namespace: 'default', name };
    return [
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: `pv-${name}` },
        spec: {
          ...common,
          capacity: { storage: '32Mi' },
          persistentVolumeReclaimPolicy: 'Retain',
          claimRef,
          ...spec,
        },
      },
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name },
        spec: { ...common, volumeName: `pv-${name}`, resources: { requests: { storage: '32Mi' } } },
      },
    ];
  }
  const here = (): Pick<PersistentVolumeSpec, 'nodeAffinity'> => {
    const matchExpressions = [{ key: 'kubernetes.io/hostname', operator: 'In', values: [lab.nodeName(node)] }];
    return { nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions }] } } };
  };
  const localDirectory = (name: string, more: PersistentVolumeSpec = {}): PersistentVolumeSpec => ({
    local: { path: `${data}/${name}` },
    ...here(),
    ...more,
  });
  const byClaim = (claimName: string, readOnly = false): Volume => ({
    name: 'data',
    persistentVolumeClaim: { claimName, readOnly },
  });
  const user = (name: string, volume: Volume, spec: Partial<PodSpec> = {}, more: Partial<Container> = {}): Pod =>
    podOf(name, [shell(untilAsked, { volumeMounts: [{ name: 'data', mountPath: '/data' }], ...more })], {
      volumes: [volume],
      nodeName: lab.nodeName(node), // the kubelet's part is what is looked at
      ...spec,
    });
  /** Mounts of pods' volumes that are not in memory, as the node has them now. */
  const podMounts = async (): Promise<string[]> =>
    (await readFile(`${await nodeProcess()}/mountinfo`, 'utf8'))
      .split('\n')
      .filter((line) => line.includes('/var/lib/kubelet/') && !line.includes(' - tmpfs '))
      .map((line) => line.split(' ')[4] ?? '')
      .filter((target) => /\/pods\/|\/plugins\//.test(target))
      .toSorted();
  const untilUnmounted = (): Promise<true> =>
    eventually('every mount to be gone', patienceMs, async () => (await podMounts()).length === 0 || undefined);
  const inKubelet = async (path: string): Promise<string[]> =>
    readdir(join(await nodeProcess(), 'root/var/lib/kubelet', path)).catch(() => []);
  /** Every file with its bytes, every name, and who owns the root. */
  const witness = (name: string): Promise<string> =>
    onHost(
      `cd ${data}/${name} && find . -type f -exec sha256sum {} + | sort && find . | sort && stat -c '%a %u:%g %n' .`,
    );

  /** A block device of the host, which the node sees, too; undefined where there are none. */
  async function loopDevice(): Promise<string | undefined> {
    const file = `${lab.directory}/disk-${Math.random().toString(36).slice(2)}`;
    succeed('truncate', await runCommand('truncate', ['-s', '32M', file]));
    const { code, stdout } = await runCommand('losetup', ['-f', '--show', file]);
    if (code !== 0) return undefined;
    const device = stdout.trim();
    onTestFinished(async () => {
      await runCommand('losetup', ['-d', device]);
    });
    return device;
  }

  it('hostPath, local, NFS and ephemeral ones: what containers find, and what is said when they cannot', async () => {
    await onHost(
      `mkdir -p ${data}/host ${data}/local ${data}/own && echo there > ${data}/host/f && chmod 700 ${data}/local`,
    );
    await applyObjects(
      lab,
      ...bound('host', { hostPath: { path: `${data}/host`, type: 'Directory' } }),
      ...bound('local', localDirectory('local', { mountOptions: ['noatime', 'nodev'] }), 'ReadWriteOncePod'),
      ...bound('elsewhere', localDirectory('nowhere')),
      ...bound('refused', { hostPath: { path: data }, mountOptions: ['noatime'] }),
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: 'pv-own', annotations: { 'pv.beta.kubernetes.io/gid': '5678' } },
        spec: {
          ...localDirectory('own'),
          accessModes: ['ReadWriteOnce'],
          capacity: { storage: '1Mi' },
          persistentVolumeReclaimPolicy: 'Retain',
          storageClassName: 'by-hand',
        },
      },
    );
    const volumeClaimTemplate = {
      spec: {
        accessModes: ['ReadWriteOnce'],
        storageClassName: 'by-hand',
        resources: { requests: { storage: '1Mi' } },
      },
    };
    const withTemplate = (pod: Pod): object => ({
      ...pod,
      spec: { ...pod.spec, volumes: [{ name: 'data', ephemeral: { volumeClaimTemplate } }] },
    });
    await applyObjects(
      lab,
      user('host', byClaim('host', true)),
      user('local', byClaim('local'), { securityContext: { fsGroup: 4321, runAsUser: 1000 } }),
      withTemplate(user('own', { name: 'data' }, { securityContext: { runAsUser: 1000 } })),
      user('elsewhere', byClaim('elsewhere')),
      user('refused', byClaim('refused')),
      user('missing', byClaim('missing')),
      user(
        'wrong-mode',
        byClaim('host'),
        {},
        {
          volumeMounts: [],
          volumeDevices: [{ name: 'data', devicePath: '/dev/data' }],
        },
      ),
      user('nfs', { name: 'data', nfs: { server: '127.0.0.1', path: '/none', readOnly: true } }),
    );
    await awaitReady(lab, 'host');
    expect(await inPod(lab, 'host', 'cat /data/f; touch /data/x 2>&1; true')).toMatch(
      /^there\n.*Read-only file system/s,
    );

    await awaitReady(lab, 'local');
    const options = (await inPod(lab, 'local', 'grep " /data " /proc/self/mountinfo')).split(' ')[5] ?? '';
    expect(options.split(',')).toEqual(expect.arrayContaining(['rw', 'noatime', 'nodev']));
    expect(await inPod(lab, 'local', 'touch /data/mine && stat -c "%a %g" /data && stat -c %g /data/mine')).toBe(
      '2770 4321\n4321\n',
    );
    await applyObjects(lab, user('second', byClaim('local')));
    const taken = 'volume uses the ReadWriteOncePod access mode and is already in use by another pod';
    await awaitEvent(lab, 'second', 'FailedMount', `MountVolume.SetUp failed for volume "pv-local" : ${taken}`);
    await lab.kubectl('delete', 'pod', 'local');
    await awaitReady(lab, 'second'); // as soon as the other one has let go of it

    await awaitReady(lab, 'own');
    expect(await inPod(lab, 'own', 'id -G')).toContain('5678');
    const uid = (await getPod(lab, 'own')).metadata.uid ?? '';
    expect(await inKubelet(`pods/${uid}/volumes/kubernetes.io~local-volume`)).toEqual(['pv-own']);

    const says = async (name: string, words: string, reason = 'FailedMount'): Promise<void> => {
      expect((await awaitEvent(lab, name, reason, words)).type).toBe('Warning');
      expect(containerOf(await getPod(lab, name))?.state?.waiting?.reason).toBe('ContainerCreating');
    };
    const failed = (what: string, name: string, why: string): string => `${what} for volume "pv-${name}" : ${why}`;
    const path = `path "${data}/nowhere" does not exist`;
    await says('elsewhere', failed('MountVolume.NewMounter initialization failed', 'elsewhere', path));
    const noOptions = 'mount options are not supported for this volume type';
    await says('refused', failed('MountVolume.MountOptionSupport check failed', 'refused', noOptions));
    await says('nfs', 'MountVolume.SetUp failed for volume "data" : mount failed: ');
    const lists = 'unattached volumes=[], failed to process volumes=[data]';
    await says('missing', `${lists}: error processing PVC default/missing: failed to fetch PVC from API server: `);
    await says('wrong-mode', `${lists}: volume data has volumeMode Filesystem, but is specified in volumeDevices`);
    await onHost(`mkdir ${data}/nowhere`);
    await awaitReady(lab, 'elsewhere');
    await lab.kubectl('delete', 'pod', 'host', 'second', 'own', 'elsewhere', 'refused', 'missing', 'wrong-mode', 'nfs');
    await untilUnmounted();
    expect(await onHost(`cat ${data}/host/f; ls ${data}/local`)).toBe('there\nmine\n');
  });

  it('a block device: formatted and mounted once for all pods, or handed on as it is', async ({ skip }) => {
    const device = await loopDevice();
    const raw = await loopDevice();
    if (device === undefined || raw === undefined) return skip('this machine has no loop devices');
    await applyObjects(
      lab,
      ...bound('disk', { local: { path: device, fsType: 'ext4' }, ...here() }, 'ReadWriteMany'),
      ...bound('raw', { local: { path: raw }, ...here(), volumeMode: 'Block' }),
      user('first', byClaim('disk')),
      user('second', byClaim('disk', true)),
      user('raw', byClaim('raw'), {}, { volumeMounts: [], volumeDevices: [{ name: 'data', devicePath: '/dev/data' }] }),
    );
    await Promise.all(['first', 'second', 'raw'].map((name) => awaitReady(lab, name)));
    await inPod(lab, 'first', 'echo shared > /data/f && sync');
    expect(await inPod(lab, 'second', 'cat /data/f; touch /data/x 2>&1; true')).toMatch(
      /^shared\n.*Read-only file system/s,
    );
    const global = '/var/lib/kubelet/plugins/kubernetes.io/local-volume/mounts/pv-disk';
    expect(await podMounts()).toContain(global);
    await inPod(lab, 'raw', 'echo marked | dd of=/dev/data conv=fsync 2>/dev/null');
    expect(await onHost(`head -c 6 ${raw}`)).toBe('marked');
    await awaitEvent(
      lab,
      'raw',
      'SuccessfulMountVolume',
      'MapVolume.MapPodDevice succeeded for volume "pv-raw" globalMapPath',
    );

    await lab.kubectl('delete', 'pod', 'first');
    expect(await podMounts()).toContain(global); // the other one has it still
    await lab.kubectl('delete', 'pod', 'second', 'raw');
    await untilUnmounted();
    await applyObjects(lab, user('third', byClaim('disk')));
    await awaitReady(lab, 'third');
    expect(await inPod(lab, 'third', 'cat /data/f')).toBe('shared\n'); // formatted once
    await lab.kubectl('delete', 'pod', 'third');
    await untilUnmounted();
    for (const left of ['kubernetes.io/local-volume/mounts', 'kubernetes.io~local-volume/volumeDevices'])
      await eventually(
        `${left} to be empty`,
        patienceMs,
        async () => (await inKubelet(`plugins/${left}`)).length === 0 || undefined,
      );
  });

  it('the agent killed, pods deleted behind its back, mounts lost as in a reboot: data and pods stay what they were', async () => {
    await onHost(
      `mkdir -p ${data}/kept/deep && mkdir ${data}/gone && echo kept > ${data}/gone/f && echo precious > ${data}/kept/deep/f && ln -s deep/f ${data}/kept/link`,
    );
    const before = await witness('kept');
    await applyObjects(
      lab,
      ...bound('kept', localDirectory('kept'), 'ReadWriteMany'),
      user('stays', byClaim('kept'), { restartPolicy: 'Always' }),
      ...bound('gone', localDirectory('gone')),
      user('goes', byClaim('gone')),
      user('part', byClaim('kept'), {}, { volumeMounts: [{ name: 'data', mountPath: '/data', subPath: 'deep' }] }),
    );
    const stays = await awaitReady(lab, 'stays');
    const gone = await Promise.all(['goes', 'part'].map((name) => awaitReady(lab, name)));
    const mounted = await podMounts();
    expect(mounted).toHaveLength(4); // one of them is of the part

    // what goes while it is away is taken down by the next one, claims or none; everything else stays as it is
    await lab.stop(node, 'agent', 'SIGKILL');
    await lab.kubectl('delete', 'pod', 'goes', 'part', '--force', '--grace-period=0');
    await lab.kubectl('delete', 'pvc', 'gone');
    await lab.start(node, 'agent');
    await applyObjects(lab, user('later', byClaim('kept')));
    await awaitReady(lab, 'later');
    for (const { metadata } of gone) {
      await eventually(`the directory of ${metadata.name} to be gone`, patienceMs, async () =>
        (await inKubelet('pods')).includes(metadata.uid ?? '') ? undefined : true,
      );
    }
    const after = await podMounts();
    expect(after).toHaveLength(2);
    expect(after).toEqual(
      expect.arrayContaining(mounted.filter((target) => target.includes(stays.metadata.uid ?? '?'))),
    );
    expect(containerOf(await getPod(lab, 'stays'))?.containerID).toBe(containerOf(stays)?.containerID);
    expect(await inPod(lab, 'stays', 'cat /data/link')).toBe('precious\n');
    expect(await witness('kept')).toBe(before);
    expect(await onHost(`cat ${data}/gone/f`)).toBe('kept\n');
    await lab.kubectl('delete', 'pod', 'later');

    // a reboot takes mounts and containers, not directories
    await lab.stop(node, 'agent', 'SIGKILL');
    await onNode(
      'ctr -n k8s.io tasks ls -q | xargs -r -n1 ctr -n k8s.io tasks kill -s SIGKILL -a; ' +
        `for m in $(awk '$5 ~ /kubernetes.io~local-volume/ {print $5}' /proc/self/mountinfo); do umount -l $m; done`,
    );
    expect(await podMounts()).toEqual([]);
    await lab.start(node, 'agent');
    await eventually('the pod to run again', patienceMs, async () => {
      const pod = await getPod(lab, 'stays');
      return (containerOf(pod)?.restartCount ?? 0) > 0 && containerOf(pod)?.ready === true ? true : undefined;
    });
    expect(await inPod(lab, 'stays', 'cat /data/link')).toBe('precious\n');
    expect(await podMounts()).toHaveLength(1);
    expect(await witness('kept')).toBe(before);
    await lab.kubectl('delete', 'pod', 'stays');
    await untilUnmounted();
    expect(await witness('kept')).toBe(before);
    expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toMatch(/kubernetes\.io~?.*local-volume/);
  });
});
