/** Whether two values are the same JSON: key order and absent or undefined fields don't count. Pure. */
export function sameJson(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

/** JSON with sorted keys and without undefined or null fields, and without empty lists. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(
      Object.entries(inner)
        .filter(([, v]) => v !== undefined && v !== null && !(Array.isArray(v) && v.length === 0))
        .toSorted(([x], [y]) => (x < y ? -1 : x > y ? 1 : 0)),
    );
  });
}

/** As `sameJson` for two statuses: a count of zero may be left out, as API servers do. */
export function sameStatus(a: object | undefined, b: object | undefined): boolean {
  return sameJson(withoutZeros(a), withoutZeros(b));
}

function withoutZeros(status: object | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
