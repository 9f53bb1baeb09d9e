/** The configuration's files where they usually are: on disk. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { NotFoundError } from '../base/errors.ts';
import type { ConfigFiles } from './config.ts';

export const configFilesOnDisk: ConfigFiles = {
  async readFile(path) {
    try {
      return await readFile(path, 'utf8');
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') {
        throw new NotFoundError(`there is no file "${path}"`, { cause });
      }
      throw cause;
    }
  },
  async listFiles(folder) {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  },
};
