/**
 * One end of UDP flows, for proxy-flows.test.ts, inside a network namespace.
 *
 *     node udp-peer-process.ts serve NAME PORT          answers every datagram with its name
 *     node udp-peer-process.ts ask SOURCE-PORT IP PORT  sends one for every line of its input, always from the same
 *                                                       port, and prints who answered
 */
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';

const [what, ...args] = process.argv.slice(2);
const socket = createSocket('udp4');
// a refused datagram fails the next call: the test sees that nobody has answered
socket.on('error', () => {});

if (what === 'serve') {
  const [name = '', port] = args;
  socket.on('message', (_, from) => socket.send(name, from.port, from.address));
  socket.bind(Number(port), () => console.log('ready'));
} else {
  const [source, ip = '', port] = args;
  socket.on('message', (name) => console.log(name.toString('utf8')));
  socket.bind(Number(source), () => {
    createInterface({ input: process.stdin }).on('line', () => socket.send('who', Number(port), ip, () => {}));
    console.log('ready');
  });
}
