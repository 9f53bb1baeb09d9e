/**
 * A client of Services in a network namespace, which does as a line of its input says and answers with one:
 *
 *     {"id": 1, "tries": [{"protocol": "TCP", "ip": "10.96.0.1", "port": 80, "from": "192.0.2.7"}], "timeoutMs": 500}
 *     {"id": 1, "answers": ["NAME ADDRESS PORT", "refused", "nothing"]}
 *
 * With a port as its argument it is a server, too: it answers as the pods do, with the name `outside`.
 */
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

interface Try {
  protocol: 'TCP' | 'UDP';
  ip: string;
  port: number;
  from?: string;
}

interface Request {
  id: number;
  tries: Try[];
  timeoutMs: number;
}

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

function answersOf({ tries, timeoutMs }: Request): Promise<string[]> {
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
  void answersOf(request).then((answers) => {
    process.stdout.write(`${JSON.stringify({ id: request.id, answers })}\n`);
  });
});
