import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findTailStart, tailBlockBytes } from './find-tail-start.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tail-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function tail(content: string, lines: number): Promise<string> {
  const path = join(folder, 'log');
  await writeFile(path, content);
  const file = await open(path);
  try {
    return content.slice(await findTailStart(file, content.length, lines));
  } finally {
    await file.close();
  }
}

const long = 'x'.repeat(tailBlockBytes);

describe('findTailStart', () => {
  it.each([
    { name: 'the last line', content: 'a\nb\nc\n', lines: 1, want: 'c\n' },
    { name: 'two lines', content: 'a\nb\nc\n', lines: 2, want: 'b\nc\n' },
    { name: 'more than there are', content: 'a\nb\n', lines: 9, want: 'a\nb\n' },
    { name: 'exactly all', content: 'a\nb\n', lines: 2, want: 'a\nb\n' },
    { name: 'none', content: 'a\nb\n', lines: 0, want: '' },
    { name: 'none of an unfinished line', content: 'a\nb', lines: 0, want: 'b' },
    { name: 'an unfinished line counts', content: 'a\nb\nc', lines: 2, want: 'b\nc' },
    { name: 'an empty file', content: '', lines: 3, want: '' },
    { name: 'lines longer than a block', content: `a\n${long}1\n${long}2\n`, lines: 1, want: `${long}2\n` },
    {
      name: 'a newline at the edge of a block',
      content: `a\n${long.slice(1)}\n`,
      lines: 1,
      want: `${long.slice(1)}\n`,
    },
    { name: 'all across blocks', content: `a\n${long}\n${long}\n`, lines: 3, want: `a\n${long}\n${long}\n` },
  ])('$name', async ({ content, lines, want }) => {
    expect(await tail(content, lines)).toBe(want);
  });
});
