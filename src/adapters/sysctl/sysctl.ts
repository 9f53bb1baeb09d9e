/**
 * Kernel settings under `/proc/sys` and `/sys`. A value that stands already is not written: settings that a container
 * or a namespace may not change do no harm then.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NotFoundError } from '../../base/errors.ts';

export class Sysctl {
  readonly #root: string;

  /** @param root of the file system that holds `proc` and `sys`; `/` but in tests */
  constructor(root = '/') {
    this.#root = root;
  }

  /** `name` with slashes: `net/ipv4/ip_forward`. Undefined where this kernel has no such setting. */
  async get(name: string): Promise<string | undefined> {
    return this.#read(join('proc/sys', name));
  }

  /** Returns whether it had to be changed. @throws {NotFoundError} where this kernel has no such setting */
  async set(name: string, value: string): Promise<boolean> {
    return this.#write(join('proc/sys', name), value);
  }

  /** As `set`, for a kernel module's parameter. */
  async setModuleParameter(module: string, parameter: string, value: string): Promise<boolean> {
    return this.#write(join('sys/module', module, 'parameters', parameter), value);
  }

  async moduleParameter(module: string, parameter: string): Promise<string | undefined> {
    return this.#read(join('sys/module', module, 'parameters', parameter));
  }

  async #read(path: string): Promise<string | undefined> {
    try {
      return (await readFile(join(this.#root, path), 'utf8')).trim();
    } catch (err) {
      if (isCode(err, 'ENOENT')) return undefined;
      throw new Error(`Cannot read "/${path}"`, { cause: err });
    }
  }

  async #write(path: string, value: string): Promise<boolean> {
    const before = await this.#read(path);
    if (before === undefined)
      throw new NotFoundError(`Cannot set "/${path}" to ${value}: this kernel has no such setting`);
    if (before === value) return false;
    try {
      // `r+`: such files are never created
      await writeFile(join(this.#root, path), value, { flag: 'r+' });
    } catch (err) {
      throw new Error(`Cannot set "/${path}" to ${value}: it is ${before}, and this process may not change it`, {
        cause: err,
      });
    }
    return true;
  }
}

function isCode(err: unknown, code: string): boolean {
  return err instanceof Error && 'code' in err && err.code === code;
}
