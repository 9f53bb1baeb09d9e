/**
 * An image registry on loopback: serves the images of an archive to those who may read them. Plain HTTP, basic
 * authentication, read only. Rules are read anew for each request, so that a test can change its mind.
 */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { systemClock } from '../../src/base/clock.ts';

const never = new AbortController().signal;

export interface RegistryRules {
  /** Password by user. */
  users: Record<string, string>;
  /** Who may read a repository; one that is not listed is everybody's. */
  readers: Record<string, string[]>;
  /** Repositories that do not answer as long as they are named here. */
  held?: string[];
}

export interface RegistryOptions {
  /** As `createOciArchive` makes it: images are known by `io.containerd.image.name`. */
  archive: Buffer;
  rules(): Promise<RegistryRules>;
  /** Told of each request: `GET team/web/manifests/1 as me: 200`. */
  onRequest(text: string): void;
}

interface Descriptor {
  mediaType: string;
  digest: string;
  annotations?: Record<string, string>;
}

export function createRegistry({ archive, rules, onRequest }: RegistryOptions): Server {
  const files = readTar(archive);
  const blob = (digest: string): Buffer | undefined => files.get(`blobs/${digest.replace(':', '/')}`);
  const index = JSON.parse(String(files.get('index.json'))) as { manifests: Descriptor[] }; // our own archive
  const byName = new Map<string, Descriptor>();
  for (const manifest of index.manifests) {
    const name = manifest.annotations?.['io.containerd.image.name'] ?? '';
    byName.set(name.slice(name.indexOf('/') + 1), manifest); // without the registry
  }
  const mediaTypes = new Map(index.manifests.map(({ digest, mediaType }) => [digest, mediaType]));

  const find = (repository: string, kind: string, reference: string): { type: string; body: Buffer } | undefined => {
    const digest = reference.includes(':') ? reference : byName.get(`${repository}:${reference}`)?.digest;
    const body = digest === undefined ? undefined : blob(digest);
    if (digest === undefined || body === undefined) return undefined;
    return { type: kind === 'blobs' ? 'application/octet-stream' : (mediaTypes.get(digest) ?? ''), body };
  };

  const whenLetGo = async (repository: string): Promise<RegistryRules> => {
    for (;;) {
      const now = await rules();
      if (now.held?.includes(repository) !== true) return now;
      await systemClock.sleep(50, never);
    }
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? '').replace(/^\/v2\//, '').replace(/\?.*$/, '');
    const [, repository = '', kind = '', reference = ''] = /^(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? [];
    const { users, readers } = await whenLetGo(repository);
    const user = userOf(request, users);
    const found = find(repository, kind, reference);
    const code = statusFor(user, readers[repository]) ?? (found === undefined && path !== '' ? 404 : 200);
    onRequest(`${request.method ?? ''} ${path} as ${typeof user === 'string' ? user : user.name}: ${code}`);
    response.setHeader('Docker-Distribution-Api-Version', 'registry/2.0');
    if (code === 401) response.setHeader('WWW-Authenticate', 'Basic realm="test"');
    if (code !== 200 || found === undefined) {
      response.writeHead(code).end(code === 200 ? '{}' : JSON.stringify({ errors: [{ code: String(code) }] }));
      return;
    }
    const digest = reference.includes(':') ? reference : byName.get(`${repository}:${reference}`)?.digest;
    response.writeHead(200, {
      'Content-Type': found.type,
      'Content-Length': found.body.length,
      'Docker-Content-Digest': digest ?? '',
    });
    response.end(request.method === 'HEAD' ? undefined : found.body);
  };

  return createServer((request, response) => {
    answer(request, response).catch((err: unknown) => {
      onRequest(`failed: ${String(err)}`);
      response.writeHead(500).end();
    });
  });
}

type User = { name: string } | 'nobody' | 'unknown';

/** Why the user may not read what only `allowed` may; undefined when he may. */
function statusFor(user: User, allowed: readonly string[] | undefined): 401 | 403 | undefined {
  if (user === 'unknown') return 401;
  if (allowed === undefined) return undefined;
  if (user === 'nobody') return 401;
  return allowed.includes(user.name) ? undefined : 403;
}

/** `nobody` without credentials, `unknown` with wrong ones. */
function userOf(request: IncomingMessage, users: Record<string, string>): User {
  const [scheme = '', encoded = ''] = (request.headers.authorization ?? '').split(' ');
  if (scheme === '') return 'nobody';
  const [name = '', ...password] = Buffer.from(encoded, 'base64').toString().split(':');
  return scheme === 'Basic' && users[name] === password.join(':') ? { name } : 'unknown';
}

/** Content by path, of archives that we made. */
function readTar(archive: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let at = 0; archive[at] !== 0 && at < archive.length;) {
    const name = archive.toString('utf8', at, at + 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(archive.toString('latin1', at + 124, at + 135), 8);
    files.set(name, archive.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
