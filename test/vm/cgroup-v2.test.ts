/**
 * Our kubelet on a machine as people have it: systemd as process 1, cgroup v2 alone, our unit, containerd as Debian has
 * it. First with the cgroup driver systemd, through a crash of the kubelet and a loss of power, then with cgroupfs.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Container, Pod } from '../../src/objects/generated/core-v1.ts';
import { awaitUntil } from '../await-until.ts';
import { containerOf, isReady, shell, untilAsked } from '../e2e/support/pods.ts';
import { GroupTable } from './support/group-table.ts';
import { machineName } from './support/machine-files.ts';
import { MachineNode, machinePod, patienceMs } from './support/machine-node.ts';
import { missingForMachines } from './support/virtual-machine.ts';

const missing = missingForMachines();
if (missing !== undefined) console.warn(`skipped: machines of their own ${missing}`);

const mi = 1024 ** 2;
const patience = { timeoutMs: patienceMs, periodMs: 1000 };
const manifest = '/etc/kubernetes/manifests/still.yaml';
/** A part of it eats all memory; the rest goes on when it may. */
const eat = '(x=a; while :; do x=$x$x; done); exit 3';

const fixed = (cpu: string, memory: string, more: Record<string, string> = {}): Partial<Container> => ({
  resources: { requests: { cpu, memory }, limits: { cpu, memory, ...more } },
});
const eater = (): Pod => machinePod('eater', [shell(eat, fixed('500m', '16Mi'))], { restartPolicy: 'Never' });
const runtimeId = (pod: Pod): string => containerOf(pod)?.containerID?.split('//')[1] ?? '';
const restarts = (pod: Pod): number | undefined => containerOf(pod)?.restartCount;

describe.skipIf(missing !== undefined)('a kubelet on a machine of its own, with cgroup v2', () => {
  let node: MachineNode;
  beforeAll(async () => {
    node = await MachineNode.make();
    await node.machine.boot();
    await node.configure('systemd');
    await node.machine.run('systemctl restart containerd; ctr -n k8s.io images import /usr/lib/gantry/images.tar');
  });
  afterAll(async () => {
    await node?.close();
  });

  const ready = (name: string): Promise<Pod> => node.awaitPod(name, 'readiness', isReady);
  const groups = async (): Promise<GroupTable> => GroupTable.read(node.machine);

  describe('the cgroup driver systemd', () => {
    const burstable = 'kubepods.slice/kubepods-burstable.slice';
    const bestEffort = 'kubepods.slice/kubepods-besteffort.slice';
    const slice = ({ metadata: { uid = '' } }: Pod, parent: string): string =>
      `${parent}/${(parent.split('/').at(-1) ?? '').replace('.slice', '')}-pod${uid.replaceAll('-', '_')}.slice`;
    const scope = (pod: Pod, parent: string): string => `${slice(pod, parent)}/cri-containerd-${runtimeId(pod)}.scope`;
    const podSlices = async (): Promise<string[]> =>
      (await node.machine.run('systemctl list-units --all --type=slice --plain --no-legend'))
        .split('\n')
        .map((line) => line.split(' ')[0] ?? '')
        .filter((name) => /^kubepods-(\w+-)?pod/.test(name));

    it('starts as its unit, ready when systemd says so, and the doctor finds nothing to mend', async () => {
      await node.machine.run('systemctl enable --now kubelet');
      expect(await node.machine.run('systemctl show -P Type kubelet; systemctl is-active kubelet')).toBe(
        'notify\nactive\n',
      );
      await node.awaitReady();
      const doctor = await node.machine.try('gantry doctor');
      expect(doctor.stdout).toMatch(/^ok +kernel\.cgroups +cgroup v2$/m);
      expect(doctor).toMatchObject({ code: 0, stderr: '' });
    });

    it('has its proxy as a unit, too', async () => {
      await node.configureProxy();
      await node.machine.run('systemctl start kube-proxy');
      await awaitUntil(
        'the rules of Services',
        async () => (await node.machine.run('iptables-save -t nat')).includes('\n:KUBE-SERVICES '),
        patience,
      );
      await node.machine.run('systemctl is-active kube-proxy; systemctl stop kube-proxy');
    });

    it('puts pods of every class into slices with their limits', async () => {
      await node.create(machinePod('exact', [shell(untilAsked, fixed('130m', '64Mi', { 'hugepages-2Mi': '4Mi' }))]));
      await node.create(
        machinePod('some', [shell(untilAsked, { resources: { requests: { cpu: '250m', memory: '32Mi' } } })]),
      );
      await node.create(machinePod('any', untilAsked));
      const [exact, some, any] = [await ready('exact'), await ready('some'), await ready('any')];
      const table = await groups();
      const none = { max: 'max 100000', memory: 'max' };
      const ofContainer = { oomGroup: '1', swap: '0' };
      expect(table.of('kubepods.slice')).toMatchObject({ weight: '79', max: 'max 100000', hugepages: String(32 * mi) });
      expect(Number(table.of('kubepods.slice').memory)).toBeGreaterThan(1024 * mi);
      expect(table.of(burstable)).toMatchObject({ weight: '10', ...none, pids: 'max' });
      expect(table.of(bestEffort)).toMatchObject({ weight: '1', ...none, pids: 'max' });
      const bound = { weight: '5', max: '13000 100000', memory: String(64 * mi) };
      expect(table.of(slice(exact, 'kubepods.slice'))).toEqual({
        ...bound,
        pids: '100',
        hugepages: String(4 * mi),
        oomGroup: '0',
        swap: 'max',
      });
      expect(table.of(scope(exact, 'kubepods.slice'))).toMatchObject({ ...bound, ...ofContainer });
      expect(table.of(slice(some, burstable))).toMatchObject({ weight: '10', ...none, pids: '100', hugepages: '0' });
      expect(table.of(scope(some, burstable))).toMatchObject({ weight: '10', ...none, ...ofContainer });
      expect(table.of(slice(any, bestEffort))).toMatchObject({ weight: '1', ...none, pids: '100', hugepages: '0' });
      expect(table.of(scope(any, bestEffort))).toMatchObject({ weight: '1', ...none, ...ofContainer });
      expect(await podSlices()).toHaveLength(3);
    });

    it('kills a container as a whole when it is out of memory', async () => {
      await node.create(eater());
      const pod = await node.awaitPod('eater', 'end', ({ status }) => status?.phase === 'Failed');
      // one process alone would have left the shell to end with 3; a runtime whose container ends before it hears of
      // the reason says "Error"
      expect(containerOf(pod)?.state?.terminated?.exitCode).toBe(137);
      expect(containerOf(pod)?.state?.terminated?.reason).toMatch(/^(OOMKilled|Error)$/);
      await node.delete('eater');
    });

    it('leaves everything as it is when systemd reloads, and when the kubelet is killed', async () => {
      const tasks = (): Promise<string> => node.machine.run('ctr -n k8s.io tasks ls | sort');
      const [before, tasksBefore] = [await groups(), await tasks()];
      await node.machine.run('systemctl daemon-reload');
      const reloaded = await groups();
      expect(reloaded.without('oomGroup')).toEqual(before.without('oomGroup')); // systemd takes that back from scopes
      await node.machine.run('kill -9 $(systemctl show -P MainPID kubelet)');
      await awaitUntil(
        'the kubelet to be started again',
        async () => {
          const state = await node.machine.run(
            'systemctl show -P NRestarts kubelet; systemctl is-active kubelet || true',
          );
          return state === '1\nactive\n';
        },
        patience,
      );
      expect((await groups()).all).toEqual(reloaded.all);
      expect(await tasks()).toBe(tasksBefore);
    });

    it('resizes a running pod', async () => {
      const before = await ready('exact');
      await node.resize('exact', {
        requests: { cpu: '200m', memory: '96Mi' },
        limits: { cpu: '200m', memory: '96Mi' },
      });
      const pod = await node.awaitPod(
        'exact',
        'new limits',
        (now) => containerOf(now)?.resources?.limits?.['cpu'] === '200m',
      );
      expect(runtimeId(pod)).toBe(runtimeId(before));
      const grown = { weight: '8', max: '20000 100000', memory: String(96 * mi) };
      const table = await groups();
      expect(table.of(slice(pod, 'kubepods.slice'))).toMatchObject(grown);
      expect(table.of(scope(pod, 'kubepods.slice'))).toMatchObject(grown);
    });

    it('brings every pod back once after a loss of power', async () => {
      const starts = 'echo x >> /data/starts; sync';
      const volumes = [{ name: 'data', hostPath: { path: '/var/still', type: 'DirectoryOrCreate' } }];
      const volumeMounts = [{ name: 'data', mountPath: '/data' }];
      const { metadata: _, ...still } = machinePod('still', [shell(`${starts}; ${untilAsked}`, { volumeMounts })], {
        volumes,
      });
      await node.machine.write(
        manifest,
        JSON.stringify({ ...still, metadata: { name: 'still', namespace: 'default' } }),
      );
      const mirror = `still-${machineName}`;
      const first = await ready(mirror);
      const uid = first.metadata.annotations?.['kubernetes.io/config.hash'];
      await node.machine.run('sync'); // a runtime that has torn files of its own is another story
      await node.machine.cutPower();
      await node.machine.boot();
      const back = (pod: Pod): boolean => isReady(pod) && restarts(pod) === 1;
      for (const name of ['exact', 'some', 'any', mirror]) {
        const pod = await node.awaitPod(name, 'return', back);
        expect(containerOf(pod)?.lastState?.terminated).toMatchObject({ exitCode: 255, reason: 'Unknown' });
      }
      const again = await ready(mirror);
      expect(again.metadata.annotations?.['kubernetes.io/config.hash']).toBe(uid);
      expect(await node.machine.run('wc -l < /var/still/starts')).toBe('2\n');
      const table = await groups();
      expect(table.of(slice(await ready('exact'), 'kubepods.slice'))).toMatchObject({
        weight: '8',
        max: '20000 100000',
      });
      expect(await podSlices()).toHaveLength(4);
    });

    it('leaves no slice of pods that are deleted', async () => {
      await node.machine.run(`rm ${manifest}`);
      for (const name of ['exact', 'some', 'any']) await node.delete(name);
      await node.awaitGone(`still-${machineName}`);
      await awaitUntil('the end of every slice', async () => (await podSlices()).length === 0, patience);
      expect((await groups()).paths).toEqual(['kubepods.slice', bestEffort, burstable]);
    });
  });

  describe('the cgroup driver cgroupfs', () => {
    const scope = (pod: Pod): string => `kubepods/pod${pod.metadata.uid}/${runtimeId(pod)}`;

    it('limits pods in plain groups, which a reload of systemd leaves alone', async () => {
      await node.machine.run('systemctl stop kubelet kubepods.slice');
      await node.configure('cgroupfs', { singleProcessOOMKill: true });
      await node.machine.run('systemctl restart containerd; systemctl start kubelet');
      await node.create(machinePod('exact', [shell(untilAsked, fixed('130m', '64Mi'))]));
      await node.create(eater());
      const pod = await ready('exact');
      const bound = { weight: '5', max: '13000 100000', memory: String(64 * mi) };
      const before = await groups();
      expect(before.of('kubepods')).toMatchObject({ weight: '79' });
      expect(before.of(`kubepods/pod${pod.metadata.uid}`)).toMatchObject({ ...bound, pids: '100', hugepages: '0' });
      expect(before.of(scope(pod))).toMatchObject({ ...bound, oomGroup: '0', swap: '0' });
      await node.machine.run('systemctl daemon-reload');
      const after = await groups();
      expect(after.of(scope(pod))).toEqual(before.of(scope(pod)));
      expect(after.of('kubepods')).toEqual(before.of('kubepods'));
    });

    it('kills one process alone where that is wished, and the container goes on', async () => {
      const pod = await node.awaitPod('eater', 'end', ({ status }) => status?.phase === 'Failed');
      expect(containerOf(pod)?.state?.terminated).toMatchObject({ exitCode: 3 });
    });

    it('leaves no group of pods that are deleted', async () => {
      await node.delete('exact');
      await node.delete('eater');
      await awaitUntil(
        'the end of every group',
        async () => (await groups()).paths.join(' ') === 'kubepods kubepods/besteffort kubepods/burstable',
        patience,
      );
    });
  });
});
