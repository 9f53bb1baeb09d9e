import { describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import type { ContainerPort } from '../../objects/generated/core-v1.ts';
import {
  type ContainerParts,
  type SandboxParts,
  makeContainerConfig,
  makePortMappings,
  makeSandboxConfig,
} from './container-config.ts';

const sandboxParts: SandboxParts = {
  hostname: 'web',
  dns: { servers: ['10.96.0.10'] },
  cgroupParent: '/kubepods/poduid-1',
  resources: { cpu_shares: 2 },
  overhead: {},
  security: { privileged: false },
  sysctls: { a: '1' },
  runtimeHandler: '',
};
const containerParts: ContainerParts = {
  command: ['sh'],
  args: ['-c'],
  envs: [{ name: 'A', value: 'b' }],
  mounts: [],
  devices: [],
  resources: { cpu_shares: 2 },
  security: { privileged: false },
  cleanup: () => Promise.resolve(),
};

describe('makeSandboxConfig', () => {
  const pod = testPod(
    {},
    {
      labels: { app: 'web', 'io.kubernetes.pod.uid': 'forged' },
      annotations: { 'kubernetes.io/config.source': 'api', note: 'x' },
    },
  );

  it('has the pod’s labels, its identity over them, and its local annotations', () => {
    expect(makeSandboxConfig(pod, 2, '/var/log/pods', sandboxParts)).toEqual({
      metadata: { name: 'web', namespace: 'default', uid: 'uid-1', attempt: 2 },
      hostname: 'web',
      log_directory: '/var/log/pods/default_web_uid-1',
      dns_config: { servers: ['10.96.0.10'] },
      labels: {
        app: 'web',
        'io.kubernetes.pod.name': 'web',
        'io.kubernetes.pod.namespace': 'default',
        'io.kubernetes.pod.uid': 'uid-1',
      },
      annotations: { 'kubernetes.io/config.source': 'api', note: 'x' },
      linux: {
        cgroup_parent: '/kubepods/poduid-1',
        security_context: { privileged: false },
        sysctls: { a: '1' },
        resources: { cpu_shares: 2 },
        overhead: {},
      },
    });
  });

  it('has no host name on the host network', () => {
    expect(makeSandboxConfig(testPod({ hostNetwork: true }), 0, '/l', sandboxParts).hostname).toBe('');
  });
});

describe('makePortMappings', () => {
  const mappings = (...lists: ContainerPort[][]) =>
    makePortMappings(testPod({ containers: lists.map((ports, i) => testContainer(`c${i}`, { ports })) })).map(
      ({ protocol, container_port, host_port, host_ip }) => `${protocol} ${host_ip}:${host_port}->${container_port}`,
    );
  it.each([
    { name: 'none', got: mappings([]), want: [] },
    {
      name: 'with and without host port',
      got: mappings([
        { containerPort: 80 },
        { containerPort: 53, hostPort: 5353, protocol: 'UDP', hostIP: '10.0.0.1' },
      ]),
      want: ['TCP :0->80', 'UDP 10.0.0.1:5353->53'],
    },
    {
      name: 'of all regular containers',
      got: mappings([{ containerPort: 80 }], [{ containerPort: 81, protocol: 'SCTP' }]),
      want: ['TCP :0->80', 'SCTP :0->81'],
    },
    {
      name: 'of two with one name the first',
      got: mappings([
        { name: 'http', containerPort: 80 },
        { name: 'http', containerPort: 81 },
      ]),
      want: ['TCP :0->80'],
    },
    {
      name: 'of two without a name and the same the first',
      got: mappings([{ containerPort: 80 }], [{ containerPort: 80 }]),
      want: ['TCP :0->80'],
    },
    {
      name: 'the same name in two containers',
      got: mappings([{ name: 'http', containerPort: 80 }], [{ name: 'http', containerPort: 80 }]),
      want: ['TCP :0->80', 'TCP :0->80'],
    },
  ])('$name', ({ got, want }) => expect(got).toEqual(want));

  it('init containers have none', () => {
    expect(
      makePortMappings(testPod({ initContainers: [testContainer('i', { ports: [{ containerPort: 1 }] })] })),
    ).toEqual([]);
  });
});

describe('makeContainerConfig', () => {
  it('says image id and name, log, labels and what a restarted kubelet needs to know', () => {
    const spec = testContainer('web', {
      workingDir: '/w',
      tty: true,
      stdin: true,
      ports: [{ containerPort: 80 }],
      lifecycle: { preStop: { exec: { command: ['x'] } } },
    });
    const pod = testPod({ containers: [spec] }, { deletionGracePeriodSeconds: 5 });
    expect(
      makeContainerConfig(pod, { kind: 'regular', spec }, { imageId: 'sha256:1', restartCount: 3 }, containerParts),
    ).toEqual({
      metadata: { name: 'web', attempt: 3 },
      image: { image: 'sha256:1', user_specified_image: 'image-of-web' },
      command: ['sh'],
      args: ['-c'],
      working_dir: '/w',
      envs: [{ key: 'A', value: Buffer.from('b') }],
      mounts: [],
      devices: [],
      labels: {
        'io.kubernetes.pod.name': 'web',
        'io.kubernetes.pod.namespace': 'default',
        'io.kubernetes.pod.uid': 'uid-1',
        'io.kubernetes.container.name': 'web',
      },
      annotations: {
        'io.kubernetes.container.hash': expect.stringMatching(/^[0-9a-f]+$/),
        'io.kubernetes.container.restartCount': '3',
        'io.kubernetes.container.terminationMessagePath': '/dev/termination-log',
        'io.kubernetes.container.terminationMessagePolicy': 'File',
        'io.kubernetes.pod.deletionGracePeriod': '5',
        'io.kubernetes.pod.terminationGracePeriod': '30',
        'io.kubernetes.container.preStopHandler': '{"exec":{"command":["x"]}}',
        'io.kubernetes.container.ports': '[{"containerPort":80}]',
      },
      log_path: 'web/3.log',
      stdin: true,
      stdin_once: false,
      tty: true,
      linux: { resources: { cpu_shares: 2 }, security_context: { privileged: false } },
    });
  });
});

describe('a stop signal', () => {
  const configOf = (stopSignal: string | undefined) =>
    makeContainerConfig(
      testPod(),
      { kind: 'regular', spec: testContainer('web', { lifecycle: { stopSignal } }) },
      { imageId: 'i', restartCount: 0 },
      containerParts,
    );

  it('goes to the runtime in its words', () => expect(configOf('SIGRTMIN+3').stop_signal).toBe('SIGNAL_SIGRTMINPLUS3'));
  it('is left to the image when none is named', () => expect(configOf(undefined)).not.toHaveProperty('stop_signal'));
  it('that nobody knows makes no container', () =>
    expect(() => configOf('SIGNO')).toThrow('unknown stop signal "SIGNO"'));
});
