/** Wrong things asked for, and things that break: what is wrong is said where people look, and nothing is lost. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { Node, NodeCondition } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import {
  applyObjects,
  awaitEvent,
  awaitPhase,
  awaitPod,
  awaitReady,
  conditionOf,
  containerOf,
  eventsOf,
  Follower,
  getPod,
  isReady,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

/** A runtime that does not answer is down after 30 s. */
const runtimeDownMs = 150_000;
const conflist = '/etc/cni/net.d/10-gantry.conflist';
/** The network agent keeps its own file as it is; what comes before it counts. */
const otherConflist = '/etc/cni/net.d/05-other.conflist';

describeAsRoot('bad input', () => {
  const lab = useLab();
  const nodeCondition = async (wanted: string): Promise<NodeCondition | undefined> =>
    (await lab.kubectlJson<Node>('get', 'node', lab.nodeName(0))).status?.conditions?.find(
      ({ type }) => type === wanted,
    );

  it.each([
    {
      name: 'no-image',
      image: 'localhost:1/none:1',
      reasons: ['ErrImagePull', 'ImagePullBackOff'],
      message: 'Back-off pulling image "localhost:1/none:1"',
      events: [
        ['Pulling', 'Pulling image "localhost:1/none:1"'],
        ['Failed', 'Failed to pull image "localhost:1/none:1": '],
        ['Failed', 'Error: ErrImagePull'],
        ['BackOff', 'Back-off pulling image "localhost:1/none:1"'],
        ['Failed', 'Error: ImagePullBackOff'],
      ],
    },
    {
      name: 'bad-image',
      image: 'Not/An:Image:Name',
      reasons: ['InvalidImageName'],
      message: 'Failed to apply default image tag "Not/An:Image:Name"',
      events: [
        ['InspectFailed', 'Failed to apply default image tag "Not/An:Image:Name"'],
        ['Failed', 'Error: InvalidImageName'],
      ],
    },
    {
      name: 'absent-image',
      image: 'localhost:1/none:2',
      policy: 'Never',
      reasons: ['ErrImageNeverPull'],
      message: 'Container image "localhost:1/none:2" is not present with pull policy of Never',
      events: [
        ['ErrImageNeverPull', 'Container image "localhost:1/none:2" is not present with pull policy of Never'],
        ['Failed', 'Error: ErrImageNeverPull'],
      ],
    },
  ])(
    'an image that cannot be had ($image) is named in status and events; the container beside it runs',
    async ({ name, image, policy, reasons, message, events }) => {
      await applyObjects(
        lab,
        podOf(name, [
          { name: 'main', image, ...(policy === undefined ? {} : { imagePullPolicy: policy }) },
          shell(untilAsked, { name: 'other' }),
        ]),
      );
      const pod = await awaitPod(lab, name, String(reasons), (one) => {
        const { reason, message: text } = containerOf(one)?.state?.waiting ?? {};
        return (
          reason === reasons.at(-1) && text?.startsWith(message) === true && containerOf(one, 'other')?.ready === true
        );
      });
      expect([pod.status?.phase, conditionOf(pod, 'Ready'), containerOf(pod)?.restartCount]).toEqual([
        'Pending',
        'False',
        0,
      ]);
      for (const [reason = '', text = ''] of events) await awaitEvent(lab, name, reason, text);
      await lab.kubectl('delete', 'pod', name);
    },
  );

  it('what this node does not support is refused by name', async () => {
    const volumes = [{ name: 'share', glusterfs: { endpoints: 'e', path: '/' } }];
    await applyObjects(
      lab,
      podOf('with-gluster', [shell(untilAsked, { volumeMounts: [{ name: 'share', mountPath: '/share' }] })], {
        volumes,
      }),
      podOf('with-signal', [shell(untilAsked, { lifecycle: { stopSignal: 'SIGUSR1' } })], { os: { name: 'linux' } }),
    );
    for (const [name, words] of [
      ['with-gluster', 'volume "share" is of type glusterfs, which this node does not support'],
      [
        'with-signal',
        'a stop signal (lifecycle.stopSignal of container "main"; this node has the feature gate ContainerStopSignals off)',
      ],
    ] as const) {
      const { status } = await awaitPhase(lab, name, 'Failed');
      expect(status).toMatchObject({
        reason: 'PodFeatureUnsupported',
        message: expect.stringContaining(words) as string,
      });
      await awaitEvent(lab, name, 'PodFeatureUnsupported', words);
    }
    await lab.kubectl('delete', 'pod', 'with-gluster', 'with-signal');
  });

  it('a configuration with fields that nobody knows does not start a kubelet: file and fields are named', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-config-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const file = join(directory, 'config.yaml');
    writeFileSync(
      file,
      'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPodz: 7\nauthentication: {x508: {}}\nmaxPods: many\n',
    );
    const { code, stdout, stderr } = await lab.gantry(
      'kubelet',
      '--config',
      file,
      '--root-dir',
      join(directory, 'root'),
    );
    const said = stdout + stderr;
    expect(code).not.toBe(0);
    expect(said).toContain(`${file}: unknown field "maxPodz"`);
    expect(said).toContain(`${file}: unknown field "authentication.x508"`);
    expect(said).toContain(`${file}: maxPods: `);
  });

  it('a network without free addresses: the plugin is quoted, other pods start, and the pod does when one is free', async () => {
    const original = await lab.onNode(0, 'cat', conflist);
    const only = '10.244.0.250';
    const oneAddress = original.replace(
      /"subnet": *"[^"]+"/,
      (subnet) => `${subnet}, "rangeStart": "${only}", "rangeEnd": "${only}"`,
    );
    expect(oneAddress).not.toBe(original);
    const install = (text: string): Promise<string> =>
      lab.onNode(0, 'sh', '-c', 'printf "%s" "$1" > "$2"', 'sh', text, otherConflist);
    await install(oneAddress);
    onTestFinished(async () => void (await lab.onNode(0, 'rm', otherConflist)));
    await eventually('the runtime has read its network anew', patienceMs, async () => {
      await applyObjects(lab, podOf('holder', untilAsked));
      const { status } = await awaitReady(lab, 'holder');
      if (status?.podIP === only) return true;
      await lab.kubectl('delete', 'pod', 'holder');
      return undefined;
    });
    await applyObjects(lab, podOf('homeless', untilAsked));
    const { message } = await awaitEvent(lab, 'homeless', 'FailedCreatePodSandBox', 'Failed to create pod sandbox: ');
    expect(message).toContain(`no IP addresses available in range set: ${only}-${only}`);
    expect(await lab.kubectl('describe', 'pod', 'homeless')).toContain('no IP addresses available');
    await applyObjects(lab, podOf('neighbour', untilAsked, { hostNetwork: true }));
    await awaitReady(lab, 'neighbour');
    const waiting = await getPod(lab, 'homeless');
    expect([waiting.status?.phase, containerOf(waiting)?.state?.waiting?.reason]).toEqual([
      'Pending',
      'ContainerCreating',
    ]);

    await lab.kubectl('delete', 'pod', 'holder');
    expect((await awaitReady(lab, 'homeless')).status?.podIP).toBe(only);
    await lab.kubectl('delete', 'pod', 'homeless', 'neighbour');
  });

  it('a pod whose sandbox the runtime refuses waits alone, with the words of the runtime', async () => {
    await applyObjects(
      lab,
      { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: 'strange' }, handler: 'strange' },
      podOf('refused', untilAsked, { runtimeClassName: 'strange' }),
    );
    await awaitEvent(lab, 'refused', 'FailedCreatePodSandBox', /no runtime for "strange" is configured/);
    await applyObjects(lab, ...['a', 'b', 'c'].map((one) => podOf(`beside-${one}`, untilAsked)));
    await Promise.all(['a', 'b', 'c'].map((one) => awaitReady(lab, `beside-${one}`)));
    await lab.kubectl('delete', 'pod', 'refused', 'beside-a', 'beside-b', 'beside-c');
    expect(await nodeCondition('Ready')).toMatchObject({ status: 'True' });
  });

  it('a runtime that is away makes the node NotReady and says so; what ran goes on, and what waited starts', async () => {
    await applyObjects(lab, podOf('lasting', untilAsked));
    const before = await awaitReady(lab, 'lasting');
    await lab.stop(0, 'containerd', 'SIGKILL');
    await lab.onNode(0, 'rm', '-f', '/run/containerd/containerd.sock');
    await applyObjects(lab, podOf('patient', untilAsked));
    const down = await eventually('the node is NotReady', runtimeDownMs, async () => {
      const ready = await nodeCondition('Ready');
      return ready?.status === 'False' ? ready : undefined;
    });
    expect(down.reason).toBe('KubeletNotReady');
    expect(down.message).toContain('container runtime is down');
    expect(await lab.kubectl('get', 'node', lab.nodeName(0), '--no-headers')).toMatch(/ NotReady /);
    await lab.start(0, 'containerd');
    await eventually(
      'the node is Ready',
      patienceMs,
      async () => (await nodeCondition('Ready'))?.status === 'True' || undefined,
    );
    await awaitReady(lab, 'patient');
    const after = await awaitReady(lab, 'lasting');
    expect(after.status?.containerStatuses).toEqual(before.status?.containerStatuses);
    expect(after.status?.podIP).toBe(before.status?.podIP);
    await lab.kubectl('delete', 'pod', 'lasting', 'patient');
  });

  it('an API server that is away: pods run, crash and end meanwhile, and their status is right when it is back', async () => {
    const directory = '/var/tmp/away';
    const away = (script: string): Parameters<typeof podOf>[1] => [
      shell(script, { volumeMounts: [{ name: 'away', mountPath: '/away' }] }),
    ];
    const volumes = [{ name: 'away', hostPath: { path: directory, type: 'DirectoryOrCreate' } }];
    await applyObjects(
      lab,
      podOf('lasting', untilAsked),
      podOf(
        'crasher',
        away(
          'echo run >> /away/crasher; until [ -e /away/go ] && [ "$(wc -l < /away/crasher)" -lt 3 ]; do sleep 0.1; done; exit 6',
        ),
        { volumes },
      ),
      podOf('finisher', away('until [ -e /away/go ]; do sleep 0.1; done; echo over > /away/finisher; exit 0'), {
        volumes,
        restartPolicy: 'Never',
      }),
    );
    const [lasting] = await Promise.all(['lasting', 'crasher', 'finisher'].map((name) => awaitReady(lab, name)));
    await lab.stop(0, 'kube-apiserver', 'SIGKILL');
    expect((await lab.tryKubectl('get', 'pods')).stderr).toContain('refused');
    await lab.onNode(0, 'touch', `${directory}/go`);
    await eventually(
      'the crashed container runs again, and once more after its back-off',
      patienceMs,
      async () => (await lab.onNode(0, 'cat', `${directory}/crasher`)) === 'run\nrun\nrun\n' || undefined,
    );
    await eventually('the other one has ended', patienceMs, () => lab.onNode(0, 'cat', `${directory}/finisher`));
    await lab.start(0, 'kube-apiserver');
    const crasher = await awaitPod(
      lab,
      'crasher',
      'restart',
      (pod) => isReady(pod) && containerOf(pod)?.restartCount === 2,
    );
    expect(containerOf(crasher)?.lastState?.terminated).toMatchObject({ exitCode: 6, reason: 'Error' });
    const finisher = await awaitPhase(lab, 'finisher', 'Succeeded');
    expect(containerOf(finisher)?.state?.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
    expect((await getPod(lab, 'lasting')).status).toEqual(lasting?.status);
    expect(await nodeCondition('Ready')).toMatchObject({ status: 'True' });
    await awaitEvent(lab, 'crasher', 'Started', /^Container started$|Started container main/);
    expect((await eventsOf(lab, 'crasher')).filter(({ reason }) => reason === 'Killing')).toEqual([]);
    await applyObjects(lab, podOf('next', untilAsked)); // scheduler and controllers have outlived it, too
    await awaitReady(lab, 'next');
    await lab.kubectl('delete', 'pod', 'lasting', 'crasher', 'finisher', 'next');
  });

  it('an etcd that is killed: writes fail in words, and nothing that was told is lost', async () => {
    await applyObjects(lab, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kept' }, data: { a: '1' } });
    const kept = await lab.kubectlJson<object>('get', 'configmap', 'kept');
    let watch = Follower.kubectl(lab, 'get', 'configmaps', '--watch', '--output=name');
    onTestFinished(() => watch.close());
    await watch.until('configmap/kept');
    await lab.stop(0, 'etcd', 'SIGKILL');
    const refused = await lab.tryKubectl('create', 'configmap', 'lost', '--request-timeout=20s');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('the store is not available');
    await lab.start(0, 'etcd');
    await eventually('a write is taken', patienceMs, () => lab.kubectl('create', 'configmap', 'after'));
    expect(await lab.kubectlJson<object>('get', 'configmap', 'kept')).toEqual(kept);
    // kubectl's watch goes on, or has ended and can be begun again
    await eventually('the watch shows the new one', patienceMs, async () => {
      if (watch.exitCode !== undefined) watch = Follower.kubectl(lab, 'get', 'configmaps', '--watch', '--output=name');
      return watch.output.includes('configmap/after') || undefined;
    });
    await applyObjects(lab, podOf('after-etcd', untilAsked));
    await awaitReady(lab, 'after-etcd');
    await lab.kubectl('delete', 'pod', 'after-etcd');
  });
});
