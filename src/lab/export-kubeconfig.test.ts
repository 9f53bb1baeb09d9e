import { describe, expect, it } from 'vitest';
import { mergeKubeconfigs, withoutEntries } from './export-kubeconfig.ts';

const config = (name: string, server: string): Record<string, unknown> => ({
  clusters: [{ name, cluster: { server } }],
  contexts: [{ name, context: { cluster: name, user: name } }],
  users: [{ name, user: {} }],
  'current-context': name,
});

describe('a kubeconfig', () => {
  it('keeps the entries of others, replaces its own, and switches to them', () => {
    const both = mergeKubeconfigs(config('theirs', 'https://a'), config('gantry-x', 'https://b'));
    const again = mergeKubeconfigs(both, config('gantry-x', 'https://c'));
    expect(again['clusters']).toEqual([
      { name: 'theirs', cluster: { server: 'https://a' } },
      { name: 'gantry-x', cluster: { server: 'https://c' } },
    ]);
    expect(again['current-context']).toBe('gantry-x');
  });

  it('fills an empty file, also one with nulls as kubectl writes them', () => {
    const merged = mergeKubeconfigs({ clusters: null, users: null, contexts: null }, config('gantry-x', 'https://b'));
    expect(merged).toMatchObject({ apiVersion: 'v1', kind: 'Config', clusters: [{ name: 'gantry-x' }] });
  });

  it('loses only what is ours', () => {
    const both = mergeKubeconfigs(config('theirs', 'https://a'), config('gantry-x', 'https://b'));
    const rest = withoutEntries(both, 'gantry-x');
    expect(rest['users']).toEqual([{ name: 'theirs', user: {} }]);
    expect(rest['current-context']).toBeUndefined();
  });
});
