import { describe, expect, it } from 'vitest';
import { type DirectoryUsage, UsageParser, inodeOf, rememberedMax } from './usage-parser.ts';

/** What each starting point comes to, however the text is cut. */
function parse(text: string, size = text.length): DirectoryUsage[] {
  const found: DirectoryUsage[] = [];
  let started = 0;
  const parser = new UsageParser(() => {
    if (started++ > 0) found.push(parser.usage);
  });
  for (let at = 0; at < text.length; at += size) parser.read(Buffer.from(text.slice(at, at + size)));
  return started === 0 ? [] : [...found, parser.usage];
}

// type, depth, device, blocks, names, inode
const root = 'd 0 7 8 3 100\n';

describe('UsageParser', () => {
  it.each([
    { name: 'nothing', text: '', want: [] },
    { name: 'an empty directory', text: root, want: [{ bytes: 4096, inodes: 1 }] },
    { name: 'a file', text: 'f 0 7 16 1 5\n', want: [{ bytes: 8192, inodes: 1 }] },
    {
      name: 'files, links and directories, in blocks of 512 bytes',
      text: `${root}f 1 7 16 1 101\nl 1 7 0 1 102\nd 1 7 8 2 103\nf 2 7 8 1 104\n`,
      want: [{ bytes: 4096 + 8192 + 4096 + 4096, inodes: 5 }],
    },
    {
      name: 'a file of several names, once',
      text: `${root}f 1 7 16 3 101\nf 1 7 16 3 101\nf 1 7 16 3 101\n`,
      want: [{ bytes: 4096 + 8192, inodes: 2 }],
    },
    {
      name: 'inodes that no number holds',
      text: `${root}f 1 7 8 2 18446744073709551614\nf 1 7 8 2 18446744073709551615\nf 1 7 8 2 18446744073709551615\n`,
      want: [{ bytes: 3 * 4096, inodes: 3 }],
    },
    {
      name: 'nothing that is mounted inside',
      text: `${root}d 1 8 999 2 1\nf 1 9 999 1 2\n`,
      want: [{ bytes: 4096, inodes: 1 }],
    },
    {
      name: 'each starting point by itself',
      text: `${root}f 1 7 8 2 101\nd 0 8 0 2 1\nf 1 8 8 2 101\n`,
      want: [
        { bytes: 8192, inodes: 2 },
        { bytes: 4096, inodes: 2 },
      ],
    },
  ])('$name', ({ text, want }) => {
    for (const size of [1, 7, 1000]) expect(parse(text, size)).toEqual(want);
  });

  it('remembers no more than so many files of several names; the others count by their names', () => {
    const names = Array.from({ length: rememberedMax + 10 }, (_, i) => `f 1 7 8 2 ${1000 + i}\n`).join('');
    const [usage] = parse(`${root}${names}${names}`);
    expect(usage).toEqual({ bytes: 4096 + (rememberedMax + 10) * 4096, inodes: 1 + rememberedMax + 10 });
  });
});

it('inodes are told apart as the parser tells them apart', () => {
  const seen: unknown[] = [];
  const parser = new UsageParser((_, inode) => seen.push(inode));
  const inodes = [0n, 42n, 999_999_999_999_999n, 1_000_000_000_000_000n, 2n ** 64n - 1n, 2n ** 64n - 2n];
  parser.read(Buffer.from(inodes.map((inode) => `d 0 1 0 1 ${inode}\n`).join('')));
  expect(inodes.map(inodeOf)).toEqual(seen);
  expect(new Set(seen).size).toBe(inodes.length);
});
