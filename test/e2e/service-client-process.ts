/**
 * A client of Services in a network namespace, which does as a line of its input says and answers with one:
 *
 *     {"id": 1, "tries": [{"protocol": "TCP", "ip": "10.96.0.1", "port": 80, "from": "192.0.2.7"}], "timeoutMs": 500}
 *     {"id": 1, "answers": ["NAME ADDRESS PORT", "refused", "nothing"]}
 *
 *     {"id": 2, "load": {"ip": "10.96.0.1", "port": 80, "perSecond": 200, "count": 4000}}
 *     {"id": 2, "answers": ["opened 4000", …]}                 what was lost, and who has answered how often
 *
 * A load goes on until its count is reached and `{"id": 3, "end": true}` has come.
 *
 * With a port as its argument it is a server, too: it answers as the pods do, with the name `outside`.
 */
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { systemClock } from '../../src/base/clock.ts';

interface Try {
  protocol: 'TCP' | 'UDP';
  ip: string;
  port: number;
  from?: string;
}

interface Load {
  ip: string;
  port: number;
  perSecond: number;
  count: number;
}

interface Request {
  id: number;
  tries?: Try[];
  timeoutMs?: number;
  load?: Load;
  end?: true;
}

const never = new AbortController().signal;
/** Longer than the kernel waits until it sends a SYN again, twice. */
const loadTimeoutMs = 5000;
let hasEnded = false;

/** @returns what came, or how it failed */
function tryTcp({ ip, port, from }: Try, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port, ...(from === undefined ? {} : { localAddress: from }) });
    const end = (text: string): void => {
      socket.destroy();
      resolve(text);
    };
    let heard = '';
    socket.setTimeout(timeoutMs, () => end('nothing'));
    socket.on('data', (data) => (heard += data.toString('utf8')));
    socket.once('end', () => end(heard.trim() === '' ? 'closed' : heard.trim()));
    socket.once('error', (err) => end(nameOf(err)));
  });
}

function tryUdp({ ip, port, from }: Try, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const timeout = AbortSignal.timeout(timeoutMs);
    let isOver = false;
    const end = (text: string): void => {
      if (isOver) return;
      isOver = true;
      socket.close();
      resolve(text);
    };
    socket.once('message', (data) => end(data.toString('utf8').trim()));
    socket.on('error', (err) => end(nameOf(err)));
    timeout.addEventListener('abort', () => end('nothing'), { once: true });
    socket.bind(0, from, () => socket.connect(port, ip, () => socket.send('who')));
  });
}

function nameOf(err: Error): string {
  return 'code' in err && err.code === 'ECONNREFUSED' ? 'refused' : err.message;
}

async function runLoad({ ip, port, perSecond, count }: Load): Promise<string[]> {
  const startMs = systemClock.monotonicMs();
  const lost: string[] = [];
  const names = new Map<string, number>();
  const one = async (i: number): Promise<void> => {
    const answer = await tryTcp({ protocol: 'TCP', ip, port }, loadTimeoutMs);
    const words = answer.split(' ');
    const [name = ''] = words;
    if (words.length === 3) names.set(name, (names.get(name) ?? 0) + 1);
    else lost.push(`lost ${i}, opened after ${Math.round((i * 1000) / perSecond)} ms: ${answer}`);
  };
  const open: Promise<void>[] = [];
  while (open.length < count || !hasEnded) {
    const due = Math.floor(((systemClock.monotonicMs() - startMs) * perSecond) / 1000);
    while (open.length < due) open.push(one(open.length));
    await systemClock.sleep(1000 / perSecond, never);
  }
  await Promise.all(open);
  return [`opened ${open.length}`, ...lost, ...[...names].map(([name, times]) => `answered ${name} ${times}`)];
}

function answersOf({ tries = [], timeoutMs = 1000, load }: Request): Promise<string[]> {
  if (load !== undefined) return runLoad(load);
  return Promise.all(tries.map((one) => (one.protocol === 'TCP' ? tryTcp : tryUdp)(one, timeoutMs)));
}

const [serverPort] = process.argv.slice(2).map(Number);
if (serverPort !== undefined) {
  const answer = (address = ''): string => `outside ${address.replace('::ffff:', '')} ${serverPort}\n`;
  createServer((socket) => {
    socket.on('error', () => {}); // the other side hangs up as it likes
    socket.end(answer(socket.remoteAddress));
  }).listen(serverPort, '0.0.0.0');
  const socket = createSocket('udp4');
  socket.on('message', (_, { address, port }) => socket.send(answer(address), port, address));
  socket.bind(serverPort);
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line) as Request; // the test's own
  if (request.end) hasEnded = true;
  void answersOf(request).then((answers) => {
    process.stdout.write(`${JSON.stringify({ id: request.id, answers })}\n`);
  });
});
