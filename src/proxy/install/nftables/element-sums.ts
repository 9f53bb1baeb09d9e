/** Sums over elements: two collections with the same sums are the same, without either being held. */
export class ElementSums {
  readonly #bySet = new Map<string, { count: number; sum: number }>();

  /** @param by 1 for an element that is there now, -1 for one that was */
  take(set: string, element: string, by: 1 | -1): void {
    let sums = this.#bySet.get(set);
    if (sums === undefined) this.#bySet.set(set, (sums = { count: 0, sum: 0 }));
    sums.count += by;
    sums.sum = (sums.sum + by * hash(element)) >>> 0;
  }

  /** The sets whose elements are not those of `other`. */
  differences(other: ElementSums): string[] {
    const names = new Set([...this.#bySet.keys(), ...other.#bySet.keys()]);
    return [...names].filter((name) => {
      const a = this.#bySet.get(name) ?? { count: 0, sum: 0 };
      const b = other.#bySet.get(name) ?? { count: 0, sum: 0 };
      return a.count !== b.count || a.sum !== b.sum;
    });
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}
