import { describe, expect, it } from 'vitest';
import { compareMap, parseMap } from './compare-map.ts';

const markdown = `# Title

## The map

Words.

\`\`\`
src/
  main.ts        picks the command
  base/          what everybody may use,
                 in two lines
  kubelet/       the node agent
    desired/     what should run
    execute/
  lab/           clusters
\`\`\`

\`\`\`
other/   not the map
\`\`\`
`;

describe('parseMap', () => {
  it('reads rooms by their indentation', () => {
    expect(parseMap(markdown)).toEqual([
      { room: 'src', text: '' },
      { room: 'src/base', text: 'what everybody may use,' },
      { room: 'src/kubelet', text: 'the node agent' },
      { room: 'src/kubelet/desired', text: 'what should run' },
      { room: 'src/kubelet/execute', text: '' },
      { room: 'src/lab', text: 'clusters' },
    ]);
  });

  it('says that there is none', () => {
    expect(() => parseMap('# Title\n\nno block')).toThrow('Cannot find the map');
  });
});

describe('compareMap', () => {
  const line = (room: string, text = 'words'): { room: string; text: string } => ({ room, text });
  it.each([
    { name: 'the same', map: [line('src', ''), line('src/a')], rooms: ['src/a'], want: [] },
    { name: 'a room too many', map: [line('src/a')], rooms: [], want: [/has "src\/a\/", which does not exist/] },
    { name: 'a room too few', map: [], rooms: ['src/a'], want: [/lacks "src\/a\/"/] },
    {
      name: 'a room without words',
      map: [line('src/a', '')],
      rooms: ['src/a'],
      want: [/does not say what "src\/a\/"/],
    },
    { name: 'a room twice', map: [line('src/a'), line('src/a')], rooms: ['src/a'], want: [/"src\/a\/" 2 times/] },
  ])('tells of $name', ({ map, rooms, want }) => {
    const problems = compareMap(map, rooms);
    expect(problems).toHaveLength(want.length);
    for (const [i, pattern] of want.entries()) expect(problems[i]).toMatch(pattern);
  });
});
