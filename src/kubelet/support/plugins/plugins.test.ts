import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { type Server, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PluginInfo } from '../../../adapters/plugin-registration/plugin-registration.ts';
import { silentLogger } from '../../../base/logger.ts';
import { awaitUntil } from '../../../../test/await-until.ts';
import { WarpClock } from '../../../../test/fakes/warp-clock.ts';
import { Plugins } from './plugins.ts';

let registry: string;
let rootDir: string;
let story: string[];
let answers: Map<string, (signal: AbortSignal) => Promise<PluginInfo>>;
let failures: Map<string, string>;
const servers = new Set<Server>();
let stop: AbortController;
let done: Promise<void>;
let clock: WarpClock;

const until = (line: string): Promise<unknown> => awaitUntil(`"${line}"`, () => story.includes(line));

/** Binds a socket that is a plugin of the given kind. */
async function bind(
  name: string,
  info: Partial<PluginInfo> | ((signal: AbortSignal) => Promise<PluginInfo>) = {},
): Promise<Server> {
  const path = join(registry, name);
  const plain = { type: 'CSIPlugin', name: name.replaceAll('/', '-'), endpoint: '', versions: ['1.0.0'] };
  answers.set(path, typeof info === 'function' ? info : () => Promise.resolve({ ...plain, ...info }));
  const server = createServer().listen(path);
  await once(server, 'listening');
  servers.add(server);
  return server;
}

const never = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));

beforeEach(async () => {
  rootDir = await mkdtemp(join(tmpdir(), 'gantry-plugins-'));
  registry = join(rootDir, 'plugins_registry');
  await mkdir(registry);
  [story, answers, failures] = [[], new Map(), new Map()];
  clock = new WarpClock();
  stop = new AbortController();
  const plugins = new Plugins({
    rootDir,
    connect: async (socket) => ({
      info: (signal) => answers.get(socket)?.(signal) ?? Promise.reject(new Error('nobody answers')),
      notify: async (error) => void story.push(error ?? `told ${socket.slice(registry.length + 1)}`),
      [Symbol.dispose]: () => {},
    }),
    handlers: {
      CSIPlugin: {
        validate: ({ name, versions }) => {
          if (versions.length === 0) throw new Error(`${name} has no versions`);
        },
        register: async ({ name, endpoint }) => {
          const failure = failures.get(name);
          if (failure !== undefined) throw new Error(failure);
          story.push(`registered ${name} at ${endpoint.replace(registry, '')}`);
        },
        deregister: async ({ name }) => void story.push(`deregistered ${name}`),
      },
    },
    clock,
    log: silentLogger,
  });
  done = plugins.run(stop.signal);
});

afterEach(async () => {
  stop.abort();
  await done;
  for (const server of servers) server.close();
  servers.clear();
  await rm(rootDir, { recursive: true });
});

describe('Plugins', () => {
  it('takes sockets as they come, also in new subdirectories, and takes them back', async () => {
    await bind('a.sock');
    await until('told a.sock');
    await mkdir(join(registry, 'sub', 'deeper'), { recursive: true });
    await bind('sub/deeper/b.sock', { endpoint: '/run/b.sock' });
    await until('told sub/deeper/b.sock');
    await unlink(join(registry, 'a.sock'));
    await until('deregistered a.sock');
    expect(story).toEqual([
      'registered a.sock at /a.sock',
      'told a.sock',
      'registered sub-deeper-b.sock at /run/b.sock',
      'told sub/deeper/b.sock',
      'deregistered a.sock',
    ]);
  });

  it('ignores files, links and hidden names', async () => {
    await bind('.hidden.sock');
    await writeFile(join(registry, 'file.sock'), '');
    await symlink(join(registry, '.hidden.sock'), join(registry, 'link.sock'));
    await bind('real.sock');
    await until('told real.sock');
    expect(story).toEqual(['registered real.sock at /real.sock', 'told real.sock']);
  });

  it('registers a socket anew that was bound anew', async () => {
    const first = await bind('a.sock');
    await until('told a.sock');
    first.close();
    await once(first, 'close');
    story.length = 0;
    await bind('a.sock', { name: 'second' });
    await until('told a.sock');
    expect(story).toEqual(['deregistered a.sock', 'registered second at /a.sock', 'told a.sock']);
  });

  it('tells plugins why they are refused, in the words of upstream', async () => {
    await bind('gpu.sock', { type: 'DevicePlugin' });
    await bind('old.sock', { versions: [] });
    await bind('bad.sock', { name: '../bad' });
    failures.set('late', 'the API is away');
    await bind('late.sock', { name: 'late' });
    const prefix = 'RegisterPlugin error --';
    await until(`${prefix} no handler registered for plugin type: DevicePlugin at socket ${registry}/gpu.sock`);
    await until(`${prefix} plugin validation failed with err: old.sock has no versions`);
    await until(`${prefix} plugin validation failed with err: "../bad" cannot be the name of a plugin`);
    await until(`${prefix} plugin registration failed with err: the API is away`);
    expect(story.filter((line) => line.startsWith('registered'))).toEqual([]);
  });

  it('tries again with growing waits, and no plugin waits for another', async () => {
    failures.set('late', 'the API is away');
    await bind('late.sock', { name: 'late' });
    await bind('hung.sock', never);
    await bind('well.sock');
    await until('told well.sock');
    await awaitUntil('a refusal', () => story.some((line) => line.includes('the API is away')));
    failures.clear();
    await clock.until('the next try', () => story.includes('told late.sock'), 600);
  });

  it('lets go of a plugin that hangs when its socket goes', async () => {
    let asked: AbortSignal | undefined;
    await bind('hung.sock', (signal) => never((asked = signal)));
    await awaitUntil('the question', () => asked !== undefined);
    await unlink(join(registry, 'hung.sock'));
    await awaitUntil('the end of the question', () => asked?.aborted);
    expect(story).toEqual([]);
  });
});
