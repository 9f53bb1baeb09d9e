import type { FileHandle } from 'node:fs/promises';

const newline = 0x0a;
export const tailBlockBytes = 16 * 1024;

/**
 * The offset at which the last `lines` lines of a file start, found block by block from its end. An unfinished last
 * line counts as one; with `lines` 0 the answer is where the next line will start.
 */
export async function findTailStart(file: FileHandle, sizeBytes: number, lines: number): Promise<number> {
  const block = Buffer.alloc(Math.min(tailBlockBytes, sizeBytes));
  let found = 0; // newlines that end a line which is wanted, or the one before them
  let rightAt = sizeBytes;
  let wanted = lines;
  while (rightAt > 0) {
    const leftAt = Math.max(0, rightAt - block.length);
    const { bytesRead } = await file.read(block, 0, rightAt - leftAt, leftAt);
    if (bytesRead === 0) return 0; // truncated under us: from the start
    if (rightAt === sizeBytes && block[bytesRead - 1] !== newline) wanted = Math.max(0, lines - 1);
    for (let i = bytesRead - 1; i >= 0; i--) {
      if (block[i] === newline && ++found > wanted) return leftAt + i + 1;
    }
    rightAt = leftAt;
  }
  return 0;
}
