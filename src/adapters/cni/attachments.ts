/**
 * Who was given which addresses, as libcni remembers it in a file per attachment before the runtime goes on to the
 * pod's first container. Read, never written.
 */
import { mkdir, readFile, readdir } from 'node:fs/promises';
import { watch } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../base/errors.ts';

/** A pod's network on its default interface. */
export interface Attachment {
  readonly namespace: string;
  readonly name: string;
  /** Undefined where the runtime does not tell. */
  readonly uid: string | undefined;
  readonly ips: readonly string[];
  /** Path of its network namespace; undefined where the runtime does not tell. */
  readonly netns?: string | undefined;
}

const podInterface = 'eth0';

/**
 * Tells of every attachment there is and that comes (by a name that stays), and of its end (undefined), until `signal`
 * aborts. @throws {Error} when the directory cannot be watched
 */
export async function watchAttachments(
  cacheDirectory: string,
  onChange: (name: string, attachment: Attachment | undefined) => void,
  signal: AbortSignal,
): Promise<void> {
  const directory = join(cacheDirectory, 'results');
  await mkdir(directory, { recursive: true, mode: 0o700 }); // as libcni does with the first attachment
  const changed = new Set<string>();
  let wake: () => void = () => {};
  let failure: unknown;
  const watcher = watch(directory, { signal }, (_, name) => {
    if (name !== null) changed.add(name);
    wake();
  });
  watcher.on('error', (err) => {
    failure = err;
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    for (const name of await readdir(directory)) changed.add(name);
    while (!signal.aborted && failure === undefined) {
      const names = [...changed];
      changed.clear();
      for (const name of names) {
        const attachment = await readAttachment(join(directory, name));
        if (attachment !== 'unreadable') onChange(name, attachment);
      }
      if (changed.size > 0) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (changed.size > 0 || signal.aborted || failure !== undefined) resolve();
      });
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    watcher.close();
  }
  if (failure !== undefined && !signal.aborted) {
    throw new Error(`Cannot watch "${directory}"`, { cause: failure });
  }
}

/** The attachment of one pod; undefined when no runtime of this machine has made one. */
export async function findAttachment(
  cacheDirectory: string,
  pod: { namespace: string; name: string; uid: string | undefined },
): Promise<Attachment | undefined> {
  const directory = join(cacheDirectory, 'results');
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (err) {
    if (errnoOf(err) === 'ENOENT') return undefined;
    throw err;
  }
  for (const name of names) {
    const attachment = await readAttachment(join(directory, name));
    if (attachment === undefined || attachment === 'unreadable') continue;
    const isOfPod = attachment.namespace === pod.namespace && attachment.name === pod.name;
    if (isOfPod && (attachment.uid === undefined || pod.uid === undefined || attachment.uid === pod.uid)) {
      return attachment;
    }
  }
  return undefined;
}

/** A file that is still being written is unreadable; the watch tells when there is more of it. */
async function readAttachment(path: string): Promise<Attachment | undefined | 'unreadable'> {
  try {
    return parseAttachment(await readFile(path, 'utf8'));
  } catch (err) {
    return errnoOf(err) === 'ENOENT' ? undefined : 'unreadable';
  }
}

/** @returns undefined for what is no pod's default interface @throws {SyntaxError} when it is not whole */
export function parseAttachment(json: string): Attachment | undefined {
  const file: unknown = JSON.parse(json);
  if (field(file, 'ifName') !== podInterface) return undefined;
  const args = new Map<unknown, unknown>();
  for (const pair of list(field(file, 'cniArgs'))) {
    const [key, value] = list(pair);
    args.set(key, value);
  }
  const namespace = args.get('K8S_POD_NAMESPACE');
  const name = args.get('K8S_POD_NAME');
  const uid = args.get('K8S_POD_UID');
  // libcni writes it since 1.1; the plugins tell it of the interface, too
  const path =
    field(file, 'netns') ??
    list(field(field(file, 'result'), 'interfaces'))
      .filter((one) => field(one, 'name') === podInterface)
      .map((one) => field(one, 'sandbox'))[0];
  const netns = typeof path === 'string' && path !== '' ? path : undefined;
  if (typeof namespace !== 'string' || typeof name !== 'string') return undefined;
  const ips = list(field(field(file, 'result'), 'ips')).flatMap((one) => {
    const address = field(one, 'address');
    return typeof address === 'string' ? [address.split('/', 1)[0] ?? ''] : [];
  });
  return { namespace, name, uid: typeof uid === 'string' && uid !== '' ? uid : undefined, ips, netns };
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
