/** One line of /proc/self/mountinfo. */
export interface MountEntry {
  id: number;
  /** `major:minor` of the file system. */
  device: string;
  /** The directory of the file system that shows at `target`; `/` but for binds. */
  root: string;
  target: string;
  /** Options of this mount point: `rw`, `nosuid`, `relatime` … */
  options: string[];
  /** `shared:N`, `master:N` … */
  propagation: string[];
  fsType: string;
  source: string;
  /** Options of the file system: `size=64k`, `noswap` … */
  superOptions: string[];
}

/** Reads the kernel's mount table; lines that it cannot read are left out. Later lines cover earlier ones. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const [id, , device, root, target, options] = fields;
    const dash = fields.indexOf('-', 6);
    const fsType = fields[dash + 1];
    if (dash < 0 || id === undefined || root === undefined || target === undefined || fsType === undefined) continue;
    entries.push({
      id: Number(id),
      device: device ?? '',
      root: unescapeOctal(root),
      target: unescapeOctal(target),
      options: (options ?? '').split(','),
      propagation: fields.slice(6, dash),
      fsType,
      source: unescapeOctal(fields[dash + 2] ?? ''),
      superOptions: (fields[dash + 3] ?? '').split(','),
    });
  }
  return entries;
}

/** The kernel writes blank, tab, newline and backslash of a path as three octal digits. */
const unescapeOctal = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** The mount that a path lies on: the one with the longest target above it, the newest of equals. */
export function mountOf(entries: readonly MountEntry[], path: string): MountEntry | undefined {
  let found: MountEntry | undefined;
  for (const entry of entries) {
    const covers = entry.target === '/' || path === entry.target || path.startsWith(`${entry.target}/`);
    if (covers && entry.target.length >= (found?.target.length ?? 0)) found = entry;
  }
  return found;
}
