import { readdirSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, TestLab } from './support/lab.ts';
import { hostRules, leftoversOf, nothing } from './support/leftovers.ts';

describeAsRoot('gantry lab delete', () => {
  it.each(['containerd', 'etcd'])(
    'leaves nothing when the creator was killed after it had started %s',
    async (component) => {
      const lab = new TestLab({ nodes: 2 });
      const rulesBefore = await hostRules();
      try {
        const creator = lab.startGantry('lab', 'create', ...lab.createFlags());
        const ended = once(creator, 'exit');
        await eventually(`${component} is started`, 30_000, () =>
          Promise.resolve(
            readdirSync(join(lab.directory, 'processes')).find((name) => name.endsWith(`.${component}.json`)),
          ),
        );
        creator.kill('SIGKILL');
        await ended;
        expect((await leftoversOf(lab)).processes).toBeGreaterThan(0);
      } finally {
        await lab.delete();
      }
      expect(await leftoversOf(lab)).toEqual(nothing);
      expect(await hostRules()).toBe(rulesBefore);
    },
  );

  it('is content when there is no such cluster, and refuses what cannot be one', async () => {
    const lab = new TestLab();
    try {
      expect((await lab.gantry('lab', 'delete', '--name', 'nobody')).code).toBe(0);
      const outcome = await lab.gantry('lab', 'delete', '--name', '../x');
      expect([outcome.code, outcome.stderr]).toEqual([1, expect.stringContaining('name must be lower-case letters')]);
    } finally {
      await lab.delete();
    }
  });
});
