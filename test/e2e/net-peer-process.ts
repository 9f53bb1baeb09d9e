/**
 * Somebody on the network: started inside a network namespace, told by lines of JSON what to serve and whom to ask.
 * `{"id", "serve": {"port", "as"}}` answers TCP and UDP clients with the name and the client's address;
 * `{"id", "ask": {"protocol", "host", "port", "timeoutMs"}}` tells what came back, or the error's code;
 * `{"id", "hold": {"host", "port"}}` keeps a connection open, `{"id", "poke": true}` asks over it once more.
 */
import { createSocket } from 'node:dgram';
import { type Socket, connect, createServer, isIPv6 } from 'node:net';
import { createInterface } from 'node:readline';

interface Ask {
  protocol: 'tcp' | 'udp';
  host: string;
  port: number;
  timeoutMs: number;
}

const plain = (address = ''): string => address.replace(/^::ffff:/, '');

function serve({ port, as }: { port: number; as: string }): Promise<string> {
  const tcp = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(`${as} ${plain(socket.remoteAddress)}\n`));
  });
  // TCP and UDP alike: bound to no address, so that each answer comes from the address that was asked
  const udp = createSocket({ type: 'udp6', ipv6Only: false });
  udp.on('message', (_, { address, port: from }) => udp.send(`${as} ${plain(address)}\n`, from, address));
  return new Promise((resolve) => {
    udp.bind(port, () => tcp.listen({ port, host: '::' }, () => resolve('serving')));
  });
}

function ask({ protocol, host, port, timeoutMs }: Ask): Promise<string> {
  return protocol === 'tcp' ? askTcp(host, port, timeoutMs) : askUdp(host, port, timeoutMs);
}

function askTcp(host: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs }, () => socket.write('who\n'));
    const end = (text: string): void => {
      socket.destroy();
      resolve(text.trim());
    };
    socket.on('data', (data) => end(String(data)));
    socket.on('timeout', () => end('timeout'));
    socket.on('error', (err) => end('code' in err ? String(err.code) : err.message));
  });
}

function askUdp(host: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    const end = (text: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve(text.trim());
    };
    const timer = setTimeout(() => end('timeout'), timeoutMs);
    socket.on('message', (data) => end(String(data)));
    socket.on('error', (err) => end('code' in err ? String(err.code) : err.message));
    socket.connect(port, host, () => socket.send('who\n'));
  });
}

let held: Socket | undefined;

function hold({ host, port }: { host: string; port: number }): Promise<string> {
  return new Promise((resolve) => {
    held = connect({ host, port }, () => resolve('held'));
    held.on('error', (err) => resolve(err.message));
  });
}

function poke(): Promise<string> {
  return new Promise((resolve) => {
    held?.once('data', (data) => resolve(String(data).trim()));
    held?.write('still there?\n');
  });
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line) as { id: number; serve?: { port: number; as: string }; ask?: Ask; poke?: true } & {
    hold?: { host: string; port: number };
  };
  const say = (answer: string): void => console.log(JSON.stringify({ id: order.id, answer }));
  if (order.serve !== undefined) void serve(order.serve).then(say);
  else if (order.ask !== undefined) void ask(order.ask).then(say);
  else if (order.hold !== undefined) void hold(order.hold).then(say);
  else if (order.poke === true) void poke().then(say);
});
