/** Tar archives (POSIX ustar) from entries in memory: as much of the format as our images need. */

export type TarEntry =
  | { kind: 'directory'; path: string; mode: number }
  | { kind: 'file'; path: string; mode: number; content: Buffer }
  | { kind: 'symlink'; path: string; target: string };

const blockBytes = 512;
const typeFlags = { file: '0', symlink: '2', directory: '5' } as const;

/** Everything belongs to root and dates from the epoch, so that the same entries give the same bytes. */
export function createTar(entries: readonly TarEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    blocks.push(header(entry));
    if (entry.kind === 'file') blocks.push(entry.content, Buffer.alloc(padding(entry.content.length)));
  }
  blocks.push(Buffer.alloc(2 * blockBytes)); // the end of an archive is two empty blocks
  return Buffer.concat(blocks);
}

function header(entry: TarEntry): Buffer {
  const block = Buffer.alloc(blockBytes);
  const path = entry.kind === 'directory' ? `${entry.path}/` : entry.path;
  writeText(block, path, 0, 100);
  writeOctal(block, entry.kind === 'symlink' ? 0o777 : entry.mode, 100, 8);
  writeOctal(block, 0, 108, 8); // uid
  writeOctal(block, 0, 116, 8); // gid
  writeOctal(block, entry.kind === 'file' ? entry.content.length : 0, 124, 12);
  writeOctal(block, 0, 136, 12); // modification time
  block.fill(' ', 148, 156); // the checksum counts its own field as spaces
  block.write(typeFlags[entry.kind], 156, 'latin1');
  if (entry.kind === 'symlink') writeText(block, entry.target, 157, 100);
  block.write('ustar\0' + '00', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function writeText(block: Buffer, text: string, at: number, max: number): void {
  if (Buffer.byteLength(text) > max) throw new RangeError(`Cannot archive "${text}": its name is over ${max} bytes`);
  block.write(text, at, 'utf8');
}

function writeOctal(block: Buffer, value: number, at: number, width: number): void {
  const text = value.toString(8);
  if (text.length > width - 1) throw new RangeError(`Cannot archive a number of ${text.length} octal digits`);
  block.write(`${text.padStart(width - 1, '0')}\0`, at, 'latin1');
}

function padding(bytes: number): number {
  return (blockBytes - (bytes % blockBytes)) % blockBytes;
}
