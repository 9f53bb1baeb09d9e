/** Security settings, seen from inside containers that a real runtime made of them. */
import { expect, it } from 'vitest';
import type { Container, PodSpec } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { useLab } from './support/lab.ts';
import {
  applyObjects,
  awaitEvent,
  awaitGone,
  awaitPod,
  awaitReady,
  containerOf,
  inPod,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

const secured = (securityContext: Container['securityContext'], name = 'main'): Container =>
  shell(untilAsked, { name, securityContext });

/** `CapEff` and the like, from the first process. */
const status = (text: string, field: string): string | undefined =>
  new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(text)?.[1]?.trim();

describeAsRoot('security settings of a pod', () => {
  const lab = useLab();

  async function run(name: string, containers: Container[], spec: Partial<PodSpec> = {}): Promise<void> {
    await applyObjects(lab, podOf(name, containers, spec));
    await awaitReady(lab, name);
  }
  const processOne = (pod: string, container?: string): Promise<string> =>
    inPod(lab, pod, 'cat /proc/1/status', container);

  it('users, groups, capabilities, privileges and seccomp are those of its processes', async () => {
    await run(
      'process',
      [
        secured({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          seccompProfile: { type: 'RuntimeDefault' },
          capabilities: { drop: ['ALL'] },
        }),
        secured(
          { runAsUser: 0, capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] }, seccompProfile: { type: 'Unconfined' } },
          'other',
        ),
        secured({ runAsUser: 0, privileged: true }, 'strong'),
      ],
      { securityContext: { runAsUser: 1234, runAsGroup: 2345, fsGroup: 3456, supplementalGroups: [4567] } },
    );
    expect(await inPod(lab, 'process', 'id -u; id -g; id -G')).toMatch(/^1234\n2345\n2345 3456 4567\n$/);
    const main = await processOne('process');
    expect(status(main, 'NoNewPrivs')).toBe('1');
    expect(status(main, 'Seccomp')).toBe('2');
    expect(status(main, 'CapBnd')).toBe('0000000000000000');
    expect(await inPod(lab, 'process', 'touch /x 2>&1; true')).toContain('Read-only file system');
    const other = await processOne('process', 'other');
    expect(status(other, 'NoNewPrivs')).toBe('0');
    expect(status(other, 'Seccomp')).toBe('0');
    expect(status(other, 'CapEff')).toBe('0000000000001000'); // bit 12: CAP_NET_ADMIN
    expect(status(await processOne('process', 'strong'), 'Seccomp')).toBe('0');
    expect(await inPod(lab, 'process', 'echo -n > /x && ls /x', 'other')).toBe('/x\n');
  });

  it('parts of /proc are hidden or cannot be written, and kernel parameters are the pod’s own', async () => {
    await run('proc', [shell(untilAsked)], {
      securityContext: { sysctls: [{ name: 'net.ipv4.ip_local_port_range', value: '2000 2100' }] },
    });
    const seen = await inPod(
      lab,
      'proc',
      'wc -c < /proc/keys; ls /proc/scsi | wc -l; cat /proc/sys/net/ipv4/ip_local_port_range; echo h > /proc/sysrq-trigger; true',
    );
    expect(
      seen
        .split('\n')
        .slice(0, 3)
        .map((line) => line.trim()),
    ).toEqual(['0', '0', '2000\t2100']);
    expect(await inPod(lab, 'proc', '(echo 1 > /proc/sys/net/ipv4/ip_forward) 2>&1; true')).toMatch(/Read-only file/);
    await applyObjects(
      lab,
      podOf('unsafe', untilAsked, { securityContext: { sysctls: [{ name: 'net.core.somaxconn', value: '5' }] } }),
    );
    const refused = await awaitPod(lab, 'unsafe', 'its end', (pod) => pod.status?.phase === 'Failed');
    expect(refused.status).toMatchObject({
      reason: 'SysctlForbidden',
      message: 'Pod was rejected: forbidden sysctl: "net.core.somaxconn" not allowlisted',
    });
  });

  it('processes are shared when the pod says so, and those of the node are seen with hostPID', async () => {
    await run('shared', [shell(`exec sleep 12345`), shell(untilAsked, { name: 'looks' })], {
      shareProcessNamespace: true,
    });
    const shared = await inPod(lab, 'shared', 'ps -o pid,args', 'looks');
    expect(shared).toContain('sleep 12345');
    expect(shared).toMatch(/^\s*1 \/pause/m);
    await run('host', [shell(untilAsked)], { hostPID: true });
    expect(await inPod(lab, 'host', 'ps -o args')).toContain('containerd');
    await run('alone', [shell(untilAsked)]);
    expect(await inPod(lab, 'alone', 'ps -o args')).not.toContain('containerd');
  });

  it('runAsNonRoot holds a container of root back, with the reason', async () => {
    await applyObjects(lab, podOf('root', [shell(untilAsked)], { securityContext: { runAsNonRoot: true } }));
    const pod = await awaitPod(
      lab,
      'root',
      'the reason',
      (one) => containerOf(one)?.state?.waiting?.reason === 'CreateContainerConfigError',
    );
    const where = `(pod: "root_default(${pod.metadata.uid})", container: main)`;
    const message = `container has runAsNonRoot and image will run as root ${where}`;
    expect(containerOf(pod)?.state?.waiting?.message).toBe(message);
    expect((await awaitEvent(lab, 'root', 'Failed')).message).toBe(`Error: ${message}`);
  });

  it('hostUsers: false on a runtime without user namespaces is refused at the sandbox', async () => {
    await applyObjects(lab, podOf('userns', untilAsked, { hostUsers: false }));
    expect((await awaitEvent(lab, 'userns', 'FailedCreatePodSandBox')).message).toBe(
      "Failed to create pod sandbox: can't set `spec.hostUsers: false`, runtime does not support user namespaces",
    );
    await lab.kubectl('delete', 'pod', 'userns', '--wait=false');
    await awaitGone(lab, 'userns');
  });

  it('a runtime class brings its handler, overhead and place; one that is missing is refused', async () => {
    const runtimeClass = (name: string, handler: string, more: object = {}): object => ({
      apiVersion: 'node.k8s.io/v1',
      kind: 'RuntimeClass',
      metadata: { name },
      handler,
      ...more,
    });
    const overhead = { podFixed: { cpu: '10m', memory: '8Mi' } };
    const scheduling = { nodeSelector: { 'kubernetes.io/os': 'linux' } };
    await applyObjects(lab, runtimeClass('plain', 'runc', { overhead, scheduling }), runtimeClass('odd', 'nothing'));
    await run('classed', [shell(untilAsked)], { runtimeClassName: 'plain' });
    const pod = await awaitReady(lab, 'classed');
    expect(pod.spec).toMatchObject({ overhead: overhead.podFixed, nodeSelector: scheduling.nodeSelector });
    await applyObjects(lab, podOf('odd', untilAsked, { runtimeClassName: 'odd' }));
    expect((await awaitEvent(lab, 'odd', 'FailedCreatePodSandBox')).message).toMatch(
      /^Failed to create pod sandbox: rpc error: .*no runtime for "nothing" is configured/,
    );
    await expect(applyObjects(lab, podOf('missing', untilAsked, { runtimeClassName: 'missing' }))).rejects.toThrow(
      /pod rejected: RuntimeClass "missing" not found/,
    );
  });
});
