/** Which parts of a process are pages of files that the kernel can read again at any time. Pure. */

export interface Mapping {
  address: bigint;
  lengthBytes: number;
  path: string;
}

/** Smaller ones are not worth a call. */
const worthBytes = 1024 ** 2;

/**
 * Mappings of files that nobody writes to and of which no page differs from its file: giving such a page back loses
 * nothing. A mapping with a page of its own (relocated addresses, for one) is never among them.
 *
 * @param smaps the text of /proc/PID/smaps
 */
export function selectUnchangedMappings(smaps: string): Mapping[] {
  return smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).flatMap((text) => {
    const [, from, to, path] = /^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ \S+ +(\/.*)\n/.exec(text) ?? [];
    if (from === undefined || to === undefined || path === undefined) return [];
    const ownKb = ['Anonymous', 'Private_Dirty', 'Shared_Dirty'].map((field) => kilobytes(text, field));
    if (ownKb.some((kb) => kb !== 0)) return [];
    const address = BigInt(`0x${from}`);
    const lengthBytes = Number(BigInt(`0x${to}`) - address);
    return lengthBytes < worthBytes ? [] : [{ address, lengthBytes, path }];
  });
}

/** NaN for a field that is not there: what is not known to be unchanged is not. */
const kilobytes = (text: string, field: string): number =>
  Number(new RegExp(`^${field}: +(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN);
