/** Adds up what `find` prints of directories, as it comes in. Pure but for what it remembers of one run. */

export interface DirectoryUsage {
  /** What it holds on its file system, in whole blocks. */
  bytes: number;
  inodes: number;
}

/** Of one file or directory: its type, how deep it lies, device, blocks of 512 bytes, names, inode. */
export const findFormat = '%y %d %D %b %n %i\\n';

/** Files with more than one name are remembered, so that they count once; of those beyond this each name counts a part. */
export const rememberedMax = 200_000;

/** Digits that a number holds exactly. */
const exactDigits = 15;

export type Inode = number | string;

/** As the parser reads it. */
export function inodeOf(inode: bigint): Inode {
  const digits = String(inode);
  return digits.length <= exactDigits
    ? Number(digits)
    : `${digits.slice(0, exactDigits)}:${Number(`1${digits.slice(exactDigits)}`)}`;
}

const [newline, blank, zero, directory] = [0x0a, 0x20, 0x30, 0x64];
const fieldCount = 6;

export class UsageParser {
  readonly #onStart: (device: number, inode: Inode) => void;
  #usage: DirectoryUsage = { bytes: 0, inodes: 0 };
  #device = 0;
  readonly #seen = new Set<Inode>();
  /** The line so far: the number of each field, and of a long one the digits that no number holds. */
  readonly #fields = new Array<number>(fieldCount).fill(0);
  #field = 0;
  #digits = 0;
  #rest = 1;

  /** @param onStart told of each starting point when its first line comes */
  constructor(onStart: (device: number, inode: Inode) => void) {
    this.#onStart = onStart;
  }

  /** Of the starting point that is being read. */
  get usage(): DirectoryUsage {
    return { bytes: this.#usage.bytes, inodes: Math.round(this.#usage.inodes) };
  }

  read(piece: Buffer): void {
    for (const byte of piece) {
      if (byte === blank) this.#nextField();
      else if (byte === newline) {
        this.#line();
        this.#field = -1;
        this.#nextField();
      } else if (this.#field === 0) this.#fields[0] = byte;
      else if (this.#digits < exactDigits) {
        this.#fields[this.#field] = (this.#fields[this.#field] ?? 0) * 10 + byte - zero;
        this.#digits++;
      } else this.#rest = this.#rest * 10 + byte - zero;
    }
  }

  #nextField(): void {
    this.#field++;
    this.#fields[this.#field] = 0;
    this.#digits = 0;
    this.#rest = 1;
  }

  #line(): void {
    const [type = 0, depth = 0, device = 0, blocks = 0, names = 1, low = 0] = this.#fields;
    const inode = this.#rest === 1 ? low : `${low}:${this.#rest}`;
    if (depth === 0) {
      this.#onStart(device, inode);
      this.#usage = { bytes: 0, inodes: 0 };
      this.#seen.clear();
      this.#device = device;
    }
    if (device !== this.#device) return; // something mounted inside
    let share = 1;
    if (type !== directory && names > 1) {
      if (this.#seen.has(inode)) return;
      if (this.#seen.size < rememberedMax) this.#seen.add(inode);
      else share = 1 / names;
    }
    this.#usage.bytes += blocks * 512 * share;
    this.#usage.inodes += share;
  }
}
