/**
 * A pod of network-policy-matrix.test.ts: answers on TCP and UDP, and tries others when it is told to. A line of input
 * is `{"id": 1, "timeoutMs": 300, "targets": ["10.0.0.1 TCP 80"]}`, one of output `{"id": 1, "open": [...]}`. With `"say"` it
 * is said to the first target on a connection that is kept, and what comes back is told.
 */
import { createSocket } from 'node:dgram';
import { type Socket, connect, createServer, isIPv6 } from 'node:net';
import { createInterface } from 'node:readline';

const ports = process.argv.slice(2).map(Number);
const sendsMax = 3;

for (const port of ports) {
  createServer((socket) => {
    socket.on('error', () => {}); // the other side hangs up as it likes
    socket.pipe(socket);
  }).listen(port, '::');
  const socket = createSocket({ type: 'udp6' });
  socket.on('message', (_, { address, port: from }) => socket.send('yes', from, address));
  socket.bind(port, '::');
}

function tryTcp(ip: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port, timeout: timeoutMs });
    const end = (isOpen: boolean): void => {
      // one that waits for a connection would be reset once it has one, and goes on trying
      if (isOpen) socket.resetAndDestroy();
      else socket.destroy();
      resolve(isOpen);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}

function tryUdp(ip: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(ip) ? 'udp6' : 'udp4');
    const signal = AbortSignal.timeout(timeoutMs);
    let isOver = false;
    const end = (isOpen: boolean): void => {
      if (isOver) return;
      isOver = true;
      socket.close();
      resolve(isOpen);
    };
    socket.once('message', () => end(true));
    socket.on('error', () => end(false));
    signal.addEventListener('abort', () => end(false), { once: true });
    for (let i = 0; i < sendsMax; i++) socket.send('?', port, ip);
  });
}

const kept = new Map<string, Socket>();

/** On one connection that stays open from the first time on. */
function sayOnKept(target: string, text: string, onHeard: (text: string) => void): void {
  const [host = '', , port] = target.split(' ');
  const socket = kept.get(target) ?? connect({ host, port: Number(port) });
  kept.set(target, socket);
  socket.once('data', (data) => onHeard(data.toString('utf8')));
  socket.write(text);
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, timeoutMs, targets, say } = JSON.parse(line) as {
    id: number;
    timeoutMs: number;
    targets: string[];
    say?: string;
  };
  if (say !== undefined) {
    sayOnKept(targets[0] ?? '', say, (heard) => process.stdout.write(`${JSON.stringify({ id, open: [heard] })}\n`));
    return;
  }
  const tries = targets.map(async (target) => {
    const [ip = '', protocol, port] = target.split(' ');
    const isOpen = await (protocol === 'UDP' ? tryUdp : tryTcp)(ip, Number(port), timeoutMs);
    return isOpen ? [target] : [];
  });
  void Promise.all(tries).then((open) => process.stdout.write(`${JSON.stringify({ id, open: open.flat() })}\n`));
});
process.stdout.write('{"ready":true}\n');
