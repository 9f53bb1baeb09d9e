/** The host's own resolv.conf (`resolvConf`): read anew for each pod, and complained about once. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { describeError } from '../../../base/errors.ts';
import { type Resolver, checkHostResolver, parseResolvConf } from './dns-config.ts';

const bytesMax = 10 * 1024 * 1024;

/** Undefined when there is to be none (`resolvConf: ""`). @throws when the file cannot be read, or names nobody */
export async function readHostResolver(path: string): Promise<Resolver | undefined> {
  if (path === '') return undefined;
  try {
    return parseResolvConf(await readAtMost(path));
  } catch (cause) {
    throw new Error(`Cannot read the node's resolver configuration "${path}" (resolvConf)`, { cause });
  }
}

/** The file may be a link, a pipe or grow while it is read: what counts is what comes out of it. */
async function readAtMost(path: string): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of file.createReadStream({ autoClose: false, end: bytesMax })) {
    const piece = Buffer.from(part as Buffer); // no encoding was asked for
    bytes += piece.length;
    if (bytes > bytesMax) throw new Error(`it is larger than ${bytesMax} bytes`);
    parts.push(piece);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** What is wrong with the file for all pods of this node; said once, when the kubelet starts. */
export async function hostResolverProblems(path: string, hasClusterDomain: boolean): Promise<string[]> {
  try {
    const resolver = await readHostResolver(path);
    return resolver === undefined ? [] : checkHostResolver(path, resolver, hasClusterDomain);
  } catch (err) {
    return [describeError(err)];
  }
}
