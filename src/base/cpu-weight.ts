/** v1 shares (2 to 262144) as v2 weight (1 to 10000), in whole numbers as container runtimes count them. */
export function cpuWeightOf(shares: number): number {
  if (shares >= 262_144) return 10_000;
  return 1 + Math.floor(((Math.max(2, shares) - 2) * 9999) / 262_142);
}
