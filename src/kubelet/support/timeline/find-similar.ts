/** Names that somebody may have meant. Pure. */

const similarMax = 5;

/** @param wanted and `known` as `namespace/name`; the nearest first */
export function findSimilar(wanted: string, known: readonly string[]): string[] {
  const name = wanted.slice(wanted.indexOf('/') + 1);
  const limit = Math.max(2, Math.floor(name.length / 3));
  return [...new Set(known)]
    .filter((other) => other !== wanted)
    .map((other) => ({ other, distance: distanceOf(wanted, other) }))
    .filter(({ distance }) => distance <= limit)
    .toSorted((a, b) => a.distance - b.distance || (a.other < b.other ? -1 : 1))
    .slice(0, similarMax)
    .map(({ other }) => other);
}

/** The same name in another namespace is near, as is a name that only goes on; else the edits between the two. */
function distanceOf(wanted: string, other: string): number {
  const [wantedSpace = '', wantedName = ''] = wanted.split('/');
  const [otherSpace = '', otherName = ''] = other.split('/');
  if (wantedName === otherName) return 0;
  const spaces = wantedSpace === otherSpace ? 0 : 1;
  if (otherName.startsWith(wantedName) || wantedName.startsWith(otherName)) return 1 + spaces;
  return editsBetween(wantedName, otherName) + spaces;
}

/** Characters to insert, delete or replace. Names are short: at most 253 characters. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
