/**
 * `gantry why pod NAMESPACE/NAME`: why a pod is as it is, asked of the kubelet of this node over its socket. When the
 * kubelet does not answer, what it had written down tells how things stood. `gantry why service` is why-service.ts.
 */
import { type IncomingMessage, request } from 'node:http';
import { Argument, Command, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { withDeadline } from '../base/deadline.ts';
import { describeError, errnoOf } from '../base/errors.ts';
import { stopSignal } from '../base/stop-signal.ts';
import { formatWhy } from '../kubelet/support/timeline/format-why.ts';
import { newestFirst } from '../kubelet/support/timeline/pod-timeline.ts';
import { readTimelines } from '../kubelet/support/timeline/timeline-file.ts';
import { timelineFile, timelineSocket } from '../kubelet/support/timeline/timeline-paths.ts';
import { type WhyAnswer, computeWhy } from '../kubelet/support/timeline/why-answer.ts';
import { whyPath } from '../kubelet/support/timeline/why-door.ts';

export interface WhyPlaces {
  socket?: string;
  rootDir: string;
}

interface Options extends WhyPlaces {
  output: 'text' | 'json';
  uid?: string;
}

interface Wanted {
  namespace: string;
  name: string;
  uid: string | undefined;
}

const answerMaxMs = 5000;
const answerMaxBytes = 4 * 1024 * 1024;

export async function run(args: readonly string[]): Promise<void> {
  const [kind, ...rest] = args;
  if (kind === 'service') return (await import('./why-service.ts')).run(rest);
  if (kind === 'connect') return (await import('./why-service.ts')).runConnect(rest);
  return runPod(args);
}

async function runPod(args: readonly string[]): Promise<void> {
  const program = new Command('gantry why')
    .description(
      'Tells why a pod of this node is as it is, and what comes next; also for pods that are gone, and without a kubelet. ' +
        'Or why a Service can or cannot be reached from here: see gantry why service --help.',
    )
    .addArgument(new Argument('<kind>', 'what it is about').choices(['pod', 'service']))
    .argument('<name>', 'NAMESPACE/NAME; without a namespace: default')
    .addOption(new Option('-o, --output <format>', 'how it is printed').choices(['text', 'json']).default('text'))
    .option('--uid <uid>', 'of several pods of the name, this one')
    .option('--root-dir <dir>', "the kubelet's root directory", '/var/lib/kubelet')
    .option('--socket <path>', 'socket of the kubelet; default: in its root directory')
    .allowExcessArguments(false);
  program.parse([...args], { from: 'user' });
  const options = program.opts<Options>();
  const wanted = { ...parsePodName(program.args[1] ?? ''), uid: options.uid };
  const { answer, silence } = await askWhy(wanted, options, stopSignal());
  process.stdout.write(
    options.output === 'json' ? `${JSON.stringify(answer, undefined, 2)}\n` : formatWhy(answer, silence),
  );
  if (answer.situation === 'Unknown') process.exitCode = 1;
}

/** @throws for what is no pod's name */
export function parsePodName(text: string): { namespace: string; name: string } {
  const parts = text.split('/');
  const [namespace = '', name = ''] = parts.length === 1 ? ['default', text] : parts;
  if (parts.length > 2 || namespace === '' || name === '') {
    throw new Error(`Cannot tell which pod "${text}" is: expected NAMESPACE/NAME`);
  }
  return { namespace, name };
}

/** @throws when neither the kubelet nor its file can tell anything */
export async function askWhy(
  wanted: Wanted,
  { socket, rootDir }: WhyPlaces,
  signal: AbortSignal,
): Promise<{ answer: WhyAnswer; silence?: string }> {
  const path = socket ?? timelineSocket(rootDir);
  try {
    return { answer: await askKubelet(path, wanted, signal) };
  } catch (err) {
    if (errnoOf(err) === 'EACCES')
      throw new Error(`Cannot ask the kubelet at "${path}": only root may`, { cause: err });
    const answer = await readFromFile(timelineFile(rootDir), wanted);
    if (answer === undefined) {
      throw new Error(`Cannot ask the kubelet at "${path}", and there is no file of it below "${rootDir}"`, {
        cause: err,
      });
    }
    return { answer, silence: describeError(err) };
  }
}

async function askKubelet(
  socketPath: string,
  { namespace, name, uid }: Wanted,
  signal: AbortSignal,
): Promise<WhyAnswer> {
  const path = whyPath(namespace, name, uid);
  return await withDeadline('The answer of the kubelet', answerMaxMs, systemClock, signal, async (inner) => {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ socketPath, path, signal: inner }, resolve).once('error', reject).end();
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > answerMaxBytes) throw new Error(`the answer has more than ${answerMaxBytes} bytes`);
      chunks.push(chunk);
    }
    const text = Buffer.concat(chunks).toString('utf8');
    if (response.statusCode !== 200) throw new Error(`it answers with status ${response.statusCode ?? 0}: ${text}`);
    return parseAnswer(text);
  });
}

function parseAnswer(text: string): WhyAnswer {
  const answer = JSON.parse(text) as Partial<WhyAnswer>;
  if (answer.kind !== 'PodExplanation' || answer.version !== 1) {
    throw new Error('it answers with something else than a PodExplanation of version 1');
  }
  return answer as WhyAnswer; // kind and version say so
}

/** Undefined when no kubelet has ever written one. */
async function readFromFile(path: string, wanted: Wanted): Promise<WhyAnswer | undefined> {
  const { records, starts } = await readTimelines(path);
  if (starts.length === 0 && records.length === 0) return undefined;
  return computeWhy({
    ...wanted,
    records: records
      .filter(({ namespace, name }) => namespace === wanted.namespace && name === wanted.name)
      .toSorted(newestFirst),
    live: undefined,
    names: records.map(({ namespace, name }) => `${namespace}/${name}`),
    starts,
    nowMs: systemClock.nowMs(),
  });
}
