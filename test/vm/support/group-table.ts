/** What the kernel of a virtual machine says of the control groups of pods. */
import type { VirtualMachine } from './virtual-machine.ts';

const files = {
  weight: 'cpu.weight',
  max: 'cpu.max',
  memory: 'memory.max',
  pids: 'pids.max',
  hugepages: 'hugetlb.2MB.max',
  oomGroup: 'memory.oom.group',
  swap: 'memory.swap.max',
} as const;

export type GroupValues = Readonly<Record<keyof typeof files, string>>;

const script = `
cd /sys/fs/cgroup
for group in $(find kubepods kubepods.slice -type d 2>/dev/null | sort); do
  cd /sys/fs/cgroup/$group
  echo "$group;$(cat ${Object.values(files).join(' ')} | paste -sd ';')"
done`;

export class GroupTable {
  readonly all: ReadonlyMap<string, GroupValues>;

  private constructor(all: ReadonlyMap<string, GroupValues>) {
    this.all = all;
  }

  static async read(machine: VirtualMachine): Promise<GroupTable> {
    const lines = (await machine.run(script)).split('\n').filter((line) => line !== '');
    return new GroupTable(
      new Map(
        lines.map((line) => {
          const [path = '', weight = '', max = '', memory = '', pids = '', hugepages = '', oomGroup = '', swap = ''] =
            line.split(';');
          return [path, { weight, max, memory, pids, hugepages, oomGroup, swap }];
        }),
      ),
    );
  }

  get paths(): string[] {
    return [...this.all.keys()];
  }

  without(name: keyof GroupValues): object {
    const others = (values: GroupValues): object =>
      Object.fromEntries(Object.entries(values).filter(([key]) => key !== name));
    return Object.fromEntries([...this.all].map(([path, values]) => [path, others(values)]));
  }

  /** @throws {Error} when there is no such group */
  of(path: string): GroupValues {
    const found = this.all.get(path);
    if (found === undefined) throw new Error(`there is no group ${path}, only ${this.paths.join(', ')}`);
    return found;
  }
}
