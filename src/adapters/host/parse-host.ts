/** Reads the kernel's and the distribution's text files about a machine. Pure. */

/** `/proc/meminfo` in bytes by name. */
export function parseMeminfo(text: string): Partial<Record<string, number>> {
  const fields: Record<string, number> = {};
  for (const [, name = '', kibibytes = ''] of text.matchAll(/^(\w+):\s+(\d+) kB$/gm)) {
    fields[name] = Number(kibibytes) * 1024;
  }
  return fields;
}

/** `KEY=value` or `KEY="value"` lines. */
export function parseOsRelease(text: string): Partial<Record<string, string>> {
  const fields: Record<string, string> = {};
  for (const [, key = '', value = ''] of text.matchAll(/^([A-Z_]+)=(.*)$/gm)) {
    fields[key] = value.trim().replace(/^(["'])(.*)\1$/, '$2');
  }
  return fields;
}

/** A list like `0-3,8` as numbers. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const part of text.trim().split(',')) {
    const found = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (found === null) continue;
    const first = Number(found[1]);
    for (let cpu = first; cpu <= Number(found[2] ?? first); cpu++) cpus.push(cpu);
  }
  return cpus;
}

/** `hugepages-2048kB` → 2097152. */
export function parseHugepageSize(folder: string): number | undefined {
  const found = /^hugepages-(\d+)kB$/.exec(folder);
  return found === null ? undefined : Number(found[1]) * 1024;
}

/** Interfaces with a default route, from `/proc/net/route` or `/proc/net/ipv6_route`; the best metric first. */
export function defaultInterfaces(text: string, family: 4 | 6): string[] {
  const routes: Array<{ name: string; metric: number }> = [];
  for (const line of text.split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (family === 4) {
      const [name = '', destination, , flags = '', , , metric = '', mask] = fields;
      const isUp = (Number.parseInt(flags, 16) & 1) === 1;
      if (destination === '00000000' && mask === '00000000' && isUp) routes.push({ name, metric: Number(metric) });
    } else {
      const [destination, length, , , , metric = '', , , flags = '', name = ''] = fields;
      const bits = Number.parseInt(flags, 16);
      const isUsable = (bits & 1) === 1 && (bits & 0x200) === 0; // up, and not a reject route
      if (/^0{32}$/.test(destination ?? '') && length === '00' && name !== 'lo' && isUsable) {
        routes.push({ name, metric: Number.parseInt(metric, 16) });
      }
    }
  }
  return routes.toSorted((a, b) => a.metric - b.metric).map(({ name }) => name);
}

const goNames: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** Node's name of a processor architecture as Go (and Kubernetes) names it. */
export const goArchitecture = (arch: string): string => goNames[arch] ?? arch;
