/** The least that a pod can take: its three CRI calls and nothing else, on an idle runtime. */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerConfig, Cri, PodSandboxConfig } from '../../src/adapters/cri/cri.ts';
import { systemClock } from '../../src/base/clock.ts';

interface FloorOptions {
  image: string;
  logRoot: string;
  cgroupParent: string;
}

const never = new AbortController().signal;

/** Starts `count` pods at once. Returns the ms from the common start until each runs. Removes them afterwards. */
export async function measureFloor(cri: Cri, count: number, options: FloorOptions): Promise<number[]> {
  const pods = Array.from({ length: count }, (_, i) => sandboxConfig(`floor-${i}`, options));
  await Promise.all(pods.map((pod) => mkdir(join(pod.log_directory, 'pause'), { recursive: true })));
  const sandboxes: string[] = [];
  const startMs = systemClock.monotonicMs();
  try {
    return await Promise.all(
      pods.map(async (pod) => {
        const sandboxId = await cri.runPodSandbox(pod, '', never);
        sandboxes.push(sandboxId);
        const containerId = await cri.createContainer(sandboxId, containerConfig(pod, options), pod, never);
        await cri.startContainer(containerId, never);
        return systemClock.monotonicMs() - startMs;
      }),
    );
  } finally {
    for (const id of sandboxes) await cri.removePodSandbox(id, never);
  }
}

function sandboxConfig(name: string, options: FloorOptions): PodSandboxConfig & { log_directory: string } {
  const uid = randomUUID();
  return {
    metadata: { name, namespace: 'bench', uid, attempt: 0 },
    hostname: name,
    log_directory: join(options.logRoot, `bench_${name}_${uid}`),
    labels: {
      'io.kubernetes.pod.name': name,
      'io.kubernetes.pod.namespace': 'bench',
      'io.kubernetes.pod.uid': uid,
    },
    linux: {
      cgroup_parent: options.cgroupParent,
      security_context: { namespace_options: { network: 'POD', pid: 'CONTAINER', ipc: 'POD' } },
    },
  };
}

function containerConfig(pod: PodSandboxConfig, { image }: FloorOptions): ContainerConfig {
  return {
    metadata: { name: 'pause', attempt: 0 },
    image: { image, user_specified_image: image },
    labels: { ...pod.labels, 'io.kubernetes.container.name': 'pause' },
    log_path: 'pause/0.log',
    linux: { resources: { cpu_shares: 2 } },
  };
}
