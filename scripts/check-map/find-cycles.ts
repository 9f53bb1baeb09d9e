/**
 * Groups of files that import each other in a circle, each sorted by name. Pure.
 *
 * @param imports for every file, the files that it imports
 */
export function findCycles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  // Tarjan: a strongly connected component of more than one file is a circle
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[][] = [];

  const visit = (file: string): number => {
    const index = order.size;
    order.set(file, index);
    low.set(file, index);
    stack.push(file);
    for (const next of imports.get(file) ?? []) {
      const reached = order.has(next) ? (stack.includes(next) ? (order.get(next) ?? index) : index) : visit(next);
      low.set(file, Math.min(low.get(file) ?? index, reached));
    }
    const lowest = low.get(file) ?? index;
    if (lowest === index) {
      const group = stack.splice(stack.indexOf(file));
      if (group.length > 1 || imports.get(file)?.includes(file)) cycles.push(group.toSorted());
    }
    return lowest;
  };
  for (const file of imports.keys()) if (!order.has(file)) visit(file);
  return cycles;
}
