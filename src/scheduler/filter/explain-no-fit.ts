/** The one sentence that tells a user why no node took the pod, in upstream's form. Pure. */
export function explainNoFit(nodeCount: number, reasons: readonly string[]): string {
  if (nodeCount === 0) return 'no nodes available to schedule pods';
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const histogram = [...counts].map(([reason, count]) => `${count} ${reason}`).toSorted(byCodePoint);
  const what = histogram.length === 0 ? '' : ` ${histogram.join(', ')}.`;
  return `0/${nodeCount} nodes are available:${what}`;
}

function byCodePoint(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
