/** Volumes in huge pages: which size of page a pod means. Pure. */
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { canonicalQuantity, parseQuantity, toValue } from '../../../objects/quantity.ts';
import { hugepagesPrefix, isHugepages } from '../../../objects/resource-list.ts';

export const isHugePagesMedium = (medium: string): boolean => medium === bare || medium.startsWith(prefix);

const bare = 'HugePages';
const prefix = 'HugePages-';

export interface PageSize {
  /** `2Mi`; the kernel takes it, too. */
  text: string;
  bytes: number;
}

/** The size that a medium names; undefined for the bare `HugePages`. @throws {Error} when it is no size */
export function sizeOfMedium(medium: string): PageSize | undefined {
  return medium === bare ? undefined : sizeOf(medium.slice(prefix.length));
}

/**
 * The size of the pages of a volume: what its medium names, or the one that the pod asks for.
 *
 * @throws {Error} in upstream's words when the pod asks for no such pages, or for several sizes without a choice
 */
export function pageSizeOf(medium: string, { spec }: Pod): PageSize {
  const wanted = sizeOfMedium(medium);
  const requirements = [...spec.containers, ...(spec.initContainers ?? [])].map(({ resources }) => resources);
  let found: PageSize | undefined;
  for (const resources of [...requirements, spec.resources]) {
    // a limit is a request, too, unless the request says otherwise
    for (const name of Object.keys({ ...resources?.limits, ...resources?.requests }).filter(isHugepages)) {
      const size = sizeOf(name.slice(hugepagesPrefix.length));
      if (wanted !== undefined && size.bytes !== wanted.bytes) continue;
      if (found !== undefined && size.bytes !== found.bytes) {
        throw new Error(`medium: ${medium} can't be used if container requests multiple huge page sizes`);
      }
      found = size;
    }
  }
  if (found !== undefined) return found;
  throw new Error(`medium ${medium}: hugePages storage requested, but there is no resource request for huge pages`);
}

function sizeOf(text: string): PageSize {
  return { text: canonicalQuantity(text), bytes: toValue(parseQuantity(text)) };
}

/** Bytes of the kernel's word for a size in its mount table: `pagesize=2M`; undefined when it does not say. */
export function mountedPageBytes(superOptions: readonly string[]): number | undefined {
  const [, digits, unit] = /^pagesize=(\d+)([KMG]?)$/.exec(superOptions.find(isPageSize) ?? '') ?? [];
  if (digits === undefined) return undefined;
  return Number(digits) * 1024 ** ['', 'K', 'M', 'G'].indexOf(unit ?? '');
}

const isPageSize = (option: string): boolean => option.startsWith('pagesize=');
