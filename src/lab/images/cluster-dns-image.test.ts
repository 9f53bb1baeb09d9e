import { describe, expect, it } from 'vitest';
import { clusterDnsSource, parseLibraries } from './cluster-dns-image.ts';
import type { TarEntry } from './tar-archive.ts';

describe('parseLibraries', () => {
  it('finds the libraries and the loader, and not what is no file', () => {
    const text = [
      '\tlinux-vdso.so.1 (0x00007ffd)',
      '\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f01)',
      '\t/lib64/ld-linux-x86-64.so.2 (0x00007f02)',
      '',
    ].join('\n');
    expect(parseLibraries(text)).toEqual(['/lib/x86_64-linux-gnu/libm.so.6', '/lib64/ld-linux-x86-64.so.2']);
  });

  it('says which library is missing', () => {
    expect(() => parseLibraries('\tlibstdc++.so.6 => not found')).toThrow('libstdc++.so.6');
  });
});

describe('clusterDnsSource', () => {
  it('has the folders of every file before it', () => {
    const file = (path: string): TarEntry => ({ kind: 'file', path, mode: 0o644, content: Buffer.alloc(0) });
    const { layers } = clusterDnsSource([file('usr/local/bin/node')], [file('opt/gantry/chunks/a.js')]);
    expect(layers.map((layer) => layer.map((entry) => entry.path))).toEqual([
      ['usr', 'usr/local', 'usr/local/bin', 'usr/local/bin/node'],
      ['opt', 'opt/gantry', 'opt/gantry/chunks', 'opt/gantry/chunks/a.js'],
    ]);
  });
});
