import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { clusterPaths } from './cluster-state.ts';
import { containerdConfig, hostsFile, kubeletConfig, machineId, nodeFstab, resolvConf } from './node-files.ts';
import { parseClusterConfig } from './parse-cluster-config.ts';
import { planCluster } from './plan-cluster.ts';

const plan = planCluster(parseClusterConfig({ name: 'x', nodes: '2' }, undefined), '/a b', [], 0);
const [first, second] = plan.nodes;
if (first === undefined || second === undefined) throw new Error('the plan has two nodes');

describe('nodeFstab', () => {
  it('escapes blanks, and mounts v1 hierarchies onto a folder of their own', () => {
    const fstab = nodeFstab(clusterPaths(plan.dir).node('n'), [
      { type: 'cgroup', path: '/sys/fs/cgroup/cpu,cpuacct', options: ['cpu', 'cpuacct'] },
      { type: 'cgroup2', path: '/sys/fs/cgroup/unified', options: [] },
    ]);
    expect(fstab.split('\n').filter((line) => /\/var|cgroup/.test(line))).toEqual([
      '/a\\040b/x/nodes/n/var /var none bind,shared 0 0',
      'gantry-cgroup /sys/fs/cgroup tmpfs mode=755,nosuid,nodev,noexec 0 0',
      'gantry-cgroup /sys/fs/cgroup/cpu,cpuacct cgroup cpu,cpuacct,X-mount.mkdir 0 0',
      'gantry-cgroup /sys/fs/cgroup/unified cgroup2 X-mount.mkdir 0 0',
    ]);
  });

  it('mounts v2 with the options that it has, since they hold for the whole machine', () => {
    const mounts = [{ type: 'cgroup2' as const, path: '/sys/fs/cgroup', options: ['nsdelegate'] }];
    const lines = nodeFstab(clusterPaths(plan.dir).node('n'), mounts)
      .split('\n')
      .filter((line) => line.includes('cgroup'));
    expect(lines).toEqual(['gantry-cgroup /sys/fs/cgroup cgroup2 nsdelegate,X-mount.mkdir 0 0']);
  });
});

describe('the files of a node', () => {
  it('every node has its own control group and identity', () => {
    const roots = plan.nodes.map((node) => (parse(kubeletConfig(plan, node)) as { cgroupRoot: string }).cgroupRoot);
    expect(roots).toEqual([`${plan.cgroup}/x-control-plane`, `${plan.cgroup}/x-worker`]);
    expect(machineId(plan, first)).toMatch(/^[0-9a-f]{32}\n$/);
    expect(machineId(plan, first)).not.toBe(machineId(plan, second));
  });

  it('hosts keeps what the machine has', () => {
    expect(hostsFile('127.0.0.1 localhost', plan)).toBe(
      `127.0.0.1 localhost\n\n# nodes of cluster x\n${first.ip}\tx-control-plane\n${second.ip}\tx-worker\n`,
    );
  });

  it('search domains of the nodes are those that are asked for', () => {
    expect(resolvConf(plan)).not.toContain('search');
    expect(resolvConf({ ...plan, dnsSearch: ['a.example', 'b'] })).toContain('\nsearch a.example b\n');
  });

  it.each([true, false])('containerd leaves oom_score_adj alone: %s', (restrictOomScoreAdj) => {
    const text = containerdConfig({ sandboxImage: 'pause:1', cniBinDir: '/usr/lib/cni', restrictOomScoreAdj });
    expect(text).toContain(`restrict_oom_score_adj = ${restrictOomScoreAdj}`);
    expect(text).toContain('sandbox_image = "pause:1"');
  });
});
