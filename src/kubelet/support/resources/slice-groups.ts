/**
 * Control groups that are slices of systemd: it makes, limits and stops them, since it takes away or sets back what it
 * does not know. What it has no property for, the exact values of what it rounds, and hierarchies that it leaves alone
 * are written beside it, into the same groups. Made, limited and removed like plain groups otherwise.
 */
import type { CgroupValues, Cgroups } from '../../../adapters/cgroups/cgroups.ts';
import type { Systemd } from '../../../adapters/systemd/systemd.ts';

/** The groups of pods, whoever makes them. */
export interface PodGroupTree extends Pick<
  Cgroups,
  'exists' | 'isMissing' | 'remove' | 'children' | 'memory' | 'cpuQuotaMicros'
> {
  create(path: string, values: CgroupValues, signal: AbortSignal): Promise<void>;
  update(path: string, values: CgroupValues, signal: AbortSignal): Promise<void>;
}

interface SliceGroupsNeed {
  systemd: Pick<Systemd, 'startSlice' | 'limitSlice' | 'stopSlice' | 'isOwned'>;
  cgroups: Omit<PodGroupTree, 'create'> & Pick<Cgroups, 'adopt' | 'isAnywhere' | 'empty'>;
}

export class SliceGroups implements PodGroupTree {
  readonly #need: SliceGroupsNeed;

  constructor(need: SliceGroupsNeed) {
    this.#need = need;
  }

  async create(path: string, values: CgroupValues, signal: AbortSignal): Promise<void> {
    const { systemd, cgroups } = this.#need;
    const isNew = await systemd.startSlice(path, values, signal);
    if (!isNew) await systemd.limitSlice(path, values, signal);
    await cgroups.adopt(path, values);
  }

  /** A slice that was stopped comes back without limits with the next container in it: it is made anew then. */
  async exists(path: string): Promise<boolean> {
    const { systemd, cgroups } = this.#need;
    return (await cgroups.exists(path)) && systemd.isOwned(path);
  }

  /** systemd first: what it writes is less exact. */
  async update(path: string, values: CgroupValues, signal: AbortSignal): Promise<void> {
    const { systemd, cgroups } = this.#need;
    await systemd.limitSlice(path, values, signal);
    await cgroups.update(path, values, signal);
  }

  /** The folders go last: while one is there, a slice that could not be stopped is found again. */
  async remove(path: string, signal: AbortSignal): Promise<void> {
    const { systemd, cgroups } = this.#need;
    if (!(await cgroups.isAnywhere(path))) return;
    await cgroups.empty(path, signal); // systemd would ask processes to end, and wait for them
    signal.throwIfAborted();
    await systemd.stopSlice(path, signal);
    await cgroups.remove(path, signal);
  }

  isMissing = (path: string): Promise<boolean> => this.#need.cgroups.isMissing(path);
  children = (path: string): Promise<string[]> => this.#need.cgroups.children(path);
  memory: PodGroupTree['memory'] = (path) => this.#need.cgroups.memory(path);
  cpuQuotaMicros: PodGroupTree['cpuQuotaMicros'] = (path) => this.#need.cgroups.cpuQuotaMicros(path);
}
