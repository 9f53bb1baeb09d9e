/**
 * What `enableProfiling` opens under `/debug`. Upstream's profiles are of Go's runtime; ours are of V8, in the formats
 * that the tools of Chrome and Node.js read. A profile that V8 has no like of is refused in plain words.
 */
import type { Session } from 'node:inspector/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';

export interface DebugNeed {
  /** Sets the log's verbosity for as long as the process lives. */
  setVerbosity: (verbosity: number) => void;
  clock: Clock;
}

const plain = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' };
const secondsDefault = 30;
const secondsMax = 300;
const bodyBytesMax = 64;
const index = `/debug/pprof/

Profiles of this process, which runs on V8 and not on Go's runtime:
profile?seconds=30   CPU, a .cpuprofile for Chrome's or Node.js' tools
heap?seconds=30      allocations that are still alive, a .heapprofile
cmdline              the command line
`;
/** Go's, which have no like here. */
const missing = ['allocs', 'block', 'goroutine', 'mutex', 'symbol', 'threadcreate', 'trace'];

/** Returns false for a path that is not one of these pages. */
export function answerDebug(
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
  need: DebugNeed,
  signal: AbortSignal,
): boolean {
  if (path === '/debug/flags/v') void answerVerbosity(request, response, need); // answers its failures itself
  else if (path === '/debug/pprof/' || path === '/debug/pprof') response.writeHead(200, plain).end(index);
  else if (path === '/debug/pprof/cmdline') response.writeHead(200, plain).end(process.argv.join('\0'));
  else if (path === '/debug/pprof/profile' || path === '/debug/pprof/heap') {
    void answerProfile(path.endsWith('heap') ? 'heap' : 'cpu', request, response, need, signal); // likewise
  } else if (missing.some((name) => path === `/debug/pprof/${name}`)) {
    response.writeHead(501, plain).end(`${path}: Go's runtime has it, V8 has not; see /debug/pprof/\n`);
  } else return false;
  return true;
}

async function answerVerbosity(
  request: IncomingMessage,
  response: ServerResponse,
  { setVerbosity }: DebugNeed,
): Promise<void> {
  if (request.method !== 'PUT') {
    response.writeHead(405, plain).end('unsupported http method\n');
    return;
  }
  try {
    let text = '';
    for await (const chunk of request) {
      text += String(chunk);
      if (text.length > bodyBytesMax) break;
    }
    const verbosity = /^\s*\d{1,3}\s*$/.test(text) ? Number(text) : undefined;
    if (verbosity === undefined) {
      const value = JSON.stringify(text.slice(0, bodyBytesMax));
      response.writeHead(400, plain).end(`failed to set klog.logging.verbosity ${value}: not a number\n`);
      return;
    }
    setVerbosity(verbosity);
    response.writeHead(200, plain).end(`successfully set klog.logging.verbosity to ${verbosity}`);
  } catch (err) {
    response.destroy(err instanceof Error ? err : new Error(String(err))); // the client went away half-way
  }
}

let isProfiling = false;

async function answerProfile(
  kind: 'cpu' | 'heap',
  request: IncomingMessage,
  response: ServerResponse,
  { clock }: DebugNeed,
  signal: AbortSignal,
): Promise<void> {
  const text = new URL(request.url ?? '/', 'http://localhost').searchParams.get('seconds') ?? String(secondsDefault);
  const seconds = Number(text);
  if (!Number.isFinite(seconds) || seconds <= 0 || seconds > secondsMax) {
    response.writeHead(400, plain).end(`seconds must be a number up to ${secondsMax}\n`);
    return;
  }
  if (isProfiling) {
    response.writeHead(503, plain).end('a profile is being taken already\n');
    return;
  }
  isProfiling = true;
  let session: Session | undefined;
  try {
    const inspector = await import('node:inspector/promises'); // not before somebody asks: it costs 2 MB
    session = new inspector.Session();
    session.connect();
    const profile = await (kind === 'cpu' ? cpuProfile : heapProfile)(session, () =>
      clock.sleep(1000 * seconds, signal),
    );
    const name = kind === 'cpu' ? 'profile.cpuprofile' : 'heap.heapprofile';
    const headers = { 'Content-Type': 'application/json', 'Content-Disposition': `attachment; filename="${name}"` };
    response.writeHead(200, { ...headers, 'X-Content-Type-Options': 'nosniff' }).end(JSON.stringify(profile));
  } catch (err) {
    response.writeHead(500, plain).end(`cannot take a profile: ${describeError(err)}\n`);
  } finally {
    session?.disconnect();
    isProfiling = false;
  }
}

async function cpuProfile(session: Session, wait: () => Promise<void>): Promise<unknown> {
  await session.post('Profiler.enable');
  await session.post('Profiler.start');
  await wait();
  return (await session.post('Profiler.stop')).profile;
}

async function heapProfile(session: Session, wait: () => Promise<void>): Promise<unknown> {
  await session.post('HeapProfiler.startSampling');
  await wait();
  return (await session.post('HeapProfiler.stopSampling')).profile;
}
