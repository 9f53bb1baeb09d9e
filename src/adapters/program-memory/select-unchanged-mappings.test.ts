import { describe, expect, it } from 'vitest';
import { selectUnchangedMappings } from './select-unchanged-mappings.ts';

interface Row {
  range?: string;
  permissions?: string;
  path?: string;
  anonymous?: string;
  privateDirty?: string;
  sharedDirty?: string;
}

const smapsOf = ({ range = '400000-2cfb000', permissions = 'r-xp', path = '/usr/bin/node', ...own }: Row): string =>
  [
    `${range} ${permissions} 00347000 fe:00 1234                       ${path}`,
    'Size:              42000 kB',
    'Rss:               30000 kB',
    `Shared_Dirty:      ${own.sharedDirty ?? '   0 kB'}`,
    `Private_Dirty:     ${own.privateDirty ?? '   0 kB'}`,
    `Anonymous:         ${own.anonymous ?? '   0 kB'}`,
    'VmFlags: rd ex mr mw me sd',
    '',
  ].join('\n');

const text = { address: 0x400000n, lengthBytes: 0x2cfb000 - 0x400000, path: '/usr/bin/node' };

describe('selectUnchangedMappings', () => {
  it.each<{ name: string; row: Row; want: object[] }>([
    { name: 'the text of a program', row: {}, want: [text] },
    { name: 'its constants', row: { permissions: 'r--p' }, want: [text] },
    {
      name: 'a path with blanks',
      row: { path: '/opt/my node (deleted)' },
      want: [{ ...text, path: '/opt/my node (deleted)' }],
    },
    { name: 'variables may be written', row: { permissions: 'rw-p' }, want: [] },
    { name: 'text that may be written', row: { permissions: 'rwxp' }, want: [] },
    { name: 'shared with others', row: { permissions: 'r--s' }, want: [] },
    { name: 'no file', row: { path: '' }, want: [] },
    { name: 'what the kernel names', row: { path: '[vdso]' }, want: [] },
    { name: 'addresses were relocated in it', row: { anonymous: '   8 kB' }, want: [] },
    { name: 'a page was written', row: { privateDirty: '   4 kB' }, want: [] },
    { name: 'a page is not yet in its file', row: { sharedDirty: '   4 kB' }, want: [] },
    { name: 'a kernel that does not tell', row: { anonymous: '' }, want: [] },
    { name: 'too small to be worth it', row: { range: '400000-4ff000' }, want: [] },
  ])('$name', ({ row, want }) => expect(selectUnchangedMappings(smapsOf(row))).toEqual(want));

  it('finds all of them', () => {
    const high = { range: '7f0000000000-7f0000200000', path: '/lib/libc.so.6' };
    const smaps = smapsOf({}) + smapsOf({ permissions: 'rw-p' }) + smapsOf(high);
    expect(selectUnchangedMappings(smaps).map(({ path }) => path)).toEqual(['/usr/bin/node', '/lib/libc.so.6']);
    expect(selectUnchangedMappings('')).toEqual([]);
  });
});
