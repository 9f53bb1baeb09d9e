/**
 * A node's network inside a virtual machine: pods in namespaces of their own behind it, and a client outside. Each pod
 * serves what tells its name and whom it sees.
 */
import type { VirtualMachine } from './virtual-machine.ts';

/** The node towards its pods, and towards the outside. */
export const nodeAddress = { inside: '10.77.0.1', outside: '10.78.0.1' } as const;
export const addresses = { a: '10.77.0.2', b: '10.77.0.3', client: '10.77.0.4', outside: '10.78.0.2' } as const;
export type Place = keyof typeof addresses | 'node';
export const servedPort = 8080;

/** Answers every line, of TCP and of UDP, with its name and the client's address. */
const server = `
const [name] = process.argv.slice(2);
const { createSocket } = require('node:dgram');
require('node:net').createServer((socket) => {
  const from = socket.remoteAddress;
  socket.on('error', () => {});
  socket.on('data', () => socket.write(name + ' ' + from + '\\n'));
}).listen(${servedPort}, '0.0.0.0');
const udp = createSocket('udp4', (_, { port, address }) => udp.send(name + ' ' + address + '\\n', port, address));
udp.bind(${servedPort});
`;

const setUp = `
sysctl -qw net.ipv4.ip_forward=1
place() { # name address of-the-node
  ip netns add $1
  ip -n $1 link set lo up
  ip link add v-$1 type veth peer name eth0 netns $1
  ip addr add $3/32 dev v-$1
  ip link set v-$1 up
  ip -n $1 addr add $2/32 dev eth0
  ip -n $1 link set eth0 up
  ip -n $1 route add $3 dev eth0
  ip -n $1 route add default via $3
  ip route add $2/32 dev v-$1
}
place a ${addresses.a} ${nodeAddress.inside}
place b ${addresses.b} ${nodeAddress.inside}
place client ${addresses.client} ${nodeAddress.inside}
place outside ${addresses.outside} ${nodeAddress.outside}
for name in a b; do
  systemd-run --quiet --unit serve-$name ip netns exec $name node /root/server.js $name
done
for name in a b; do
  until ip netns exec $name bash -c 'exec 3<>/dev/tcp/127.0.0.1/${servedPort}' 2>/dev/null; do sleep 0.2; done
done`;

export class SmallNetwork {
  readonly #machine: VirtualMachine;

  private constructor(machine: VirtualMachine) {
    this.#machine = machine;
  }

  static async make(machine: VirtualMachine): Promise<SmallNetwork> {
    await machine.write('/root/server.js', server);
    await machine.run(setUp);
    return new SmallNetwork(machine);
  }

  /** What answers to `times` new connections, each as `NAME CLIENT`; `-` for none. */
  async ask(from: Place, address: string, times = 1, protocol: 'tcp' | 'udp' = 'tcp'): Promise<string[]> {
    const path = `/dev/${protocol}/${address.replace(':', '/')}`;
    // the shell's own `read` takes a datagram byte by byte, and loses all but the first
    const once = `exec 3<>${path}; echo hello >&3; head -n 1 <&3`;
    const script = `for i in $(seq ${times}); do
  line=$(timeout 5 bash -c '${once}' 2>/dev/null || true); echo "\${line:--}"
done`;
    return (await this.#machine.run(`${within(from)} bash <<'END'\n${script}\nEND`)).trim().split('\n');
  }

  /** Opens a connection that stays until `hangUp`. */
  async open(from: Place, address: string): Promise<void> {
    const hold = `exec 3<>/dev/tcp/${address.replace(':', '/')}
while read word < /run/held.in; do echo hello >&3; read -t 4 line <&3 && echo "$line" > /run/held.out || echo - > /run/held.out; done`;
    await this.#machine.write('/root/hold.sh', hold);
    await this.#machine.run(`
rm -f /run/held.in /run/held.out; mkfifo /run/held.in /run/held.out
systemd-run --quiet --unit held ${within(from)} bash /root/hold.sh`);
  }

  /** What answers on the open connection. */
  async askOpen(): Promise<string> {
    return (await this.#machine.run('echo ask > /run/held.in; timeout 10 cat /run/held.out')).trim();
  }

  async hangUp(): Promise<void> {
    await this.#machine.run('systemctl stop held');
  }
}

function within(place: Place): string {
  return place === 'node' ? '' : `ip netns exec ${place}`;
}
