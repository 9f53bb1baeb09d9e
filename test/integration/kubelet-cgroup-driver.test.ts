/** Whose word counts for the cgroup driver, and a machine that cannot keep it. */
import { rm } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { ConfigError } from '../../src/base/errors.ts';
import { apiPod, nodeName, openFixture } from './kubelet-fixture.ts';

it.each([
  { name: 'the runtime wants systemd', options: { cri: { cgroupDriver: 'SYSTEMD' } } },
  { name: 'the configuration wants it, and the runtime cannot tell', options: { config: { cgroupDriver: 'systemd' } } },
] as const)('a kubelet whose machine is not run by systemd says so when $name', async ({ options }) => {
  const t = await openFixture(options);
  try {
    const { done } = await t.start();
    await expect(done).rejects.toThrow(ConfigError);
    await expect(done).rejects.toThrow(/systemd does not run this machine .* set cgroupDriver: cgroupfs/);
  } finally {
    await t.close().catch(() => {}); // fails with what the kubelet ended with
    await rm(t.directory, { recursive: true, force: true });
  }
});

it('the word of a runtime goes before the configuration', async () => {
  const t = await openFixture({ config: { cgroupDriver: 'systemd' }, cri: { cgroupDriver: 'CGROUPFS' } });
  try {
    await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    const sandboxes = JSON.stringify(t.cri.callsOf('RunPodSandbox'));
    expect(sandboxes).toMatch(/"cgroup_parent":"\/kubepods\/besteffort\/pod/);
  } finally {
    await t.close();
  }
});
