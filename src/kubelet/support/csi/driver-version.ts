/** Versions that drivers name: which is the highest that we can speak to. Pure. */

export type DriverVersion = readonly [major: number, minor: number, patch: number];

/** `1.2.3`, `v1.2`, `1.0.0-rc1`; undefined for what is none. */
export function parseVersion(text: string): DriverVersion | undefined {
  const [, major, minor, patch = '0'] = /^v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:[-+.].*)?$/.exec(text) ?? [];
  return major === undefined || minor === undefined ? undefined : [Number(major), Number(minor), Number(patch)];
}

export function compareVersions(a: DriverVersion, b: DriverVersion): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

/** @throws {Error} when there is none of version 1 */
export function highestVersion(versions: readonly string[]): DriverVersion {
  const known = versions.map(parseVersion).filter((version) => version?.[0] === 1);
  const [highest] = known.filter((version) => version !== undefined).toSorted((a, b) => compareVersions(b, a));
  if (highest === undefined) throw new Error('could not find a highest supported version from versions of v1');
  return highest;
}

export const showVersion = (version: DriverVersion): string => version.join('.');
