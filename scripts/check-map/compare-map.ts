/** The map in ARCHITECTURE.md: a block of indented lines, `name/` and what the room is for. Pure. */

export interface MapLine {
  /** `src/kubelet/desired` */
  room: string;
  text: string;
}

/**
 * The rooms of the first code block after the heading "The map".
 * @throws when there is no such block
 */
export function parseMap(markdown: string): MapLine[] {
  const block = /^#+ The map\b[\s\S]*?^```\w*\n([\s\S]*?)^```/m.exec(markdown)?.[1];
  if (block === undefined) throw new Error('Cannot find the map in ARCHITECTURE.md: a code block below "The map"');
  const lines: MapLine[] = [];
  const path: Array<{ indent: number; name: string }> = [];
  for (const line of block.split('\n')) {
    const match = /^( *)([\w-]+)\/(?:\s+(\S.*))?$/.exec(line);
    if (match === null) continue; // a file, or the rest of a description
    const indent = match[1]?.length ?? 0;
    while (path.length > 0 && (path.at(-1)?.indent ?? 0) >= indent) path.pop();
    path.push({ indent, name: match[2] ?? '' });
    lines.push({ room: path.map(({ name }) => name).join('/'), text: (match[3] ?? '').trim() });
  }
  return lines;
}

/** What differs between the map and the folders that exist, in words. */
export function compareMap(map: readonly MapLine[], rooms: readonly string[]): string[] {
  const drawn = map.filter(({ room }) => room !== 'src');
  const problems: string[] = [];
  for (const { room, text } of drawn) {
    if (!rooms.includes(room)) problems.push(`ARCHITECTURE.md's map has "${room}/", which does not exist`);
    else if (text === '') problems.push(`ARCHITECTURE.md's map does not say what "${room}/" is for`);
  }
  for (const room of rooms) {
    const count = drawn.filter((line) => line.room === room).length;
    if (count === 0) problems.push(`ARCHITECTURE.md's map lacks "${room}/"`);
    if (count > 1) problems.push(`ARCHITECTURE.md's map has "${room}/" ${count} times`);
  }
  return problems;
}
