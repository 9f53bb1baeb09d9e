/** A process in a network namespace that serves and asks: see net-peer-process.ts. */
import type { TestNode } from './network-namespace.ts';

const peerProcess = new URL('net-peer-process.ts', import.meta.url).pathname;

export class NetPeer {
  readonly #started: ReturnType<TestNode['start']>;
  readonly #waiting = new Map<number, (answer: string) => void>();
  #id = 0;

  /** @param netns the node's own namespace, a pod's, or the outside's */
  constructor(node: TestNode, netns: string) {
    this.#started = node.start(['ip', 'netns', 'exec', netns, process.execPath, peerProcess], (line) => {
      if (!line.startsWith('{')) return;
      const { id, answer } = JSON.parse(line) as { id: number; answer: string };
      this.#waiting.get(id)?.(answer);
      this.#waiting.delete(id);
    });
  }

  serve(port: number, as: string): Promise<string> {
    return this.#order({ serve: { port, as } });
  }

  /** `name address` as the server sees us, `ECONNREFUSED`, `timeout` … */
  ask(host: string, port: number, protocol: 'tcp' | 'udp' = 'tcp', timeoutMs = 700): Promise<string> {
    return this.#order({ ask: { protocol, host, port, timeoutMs } });
  }

  /** All different answers to `times` questions, in order of the alphabet. */
  async answers(host: string, port: number, protocol: 'tcp' | 'udp' = 'tcp', times = 30): Promise<string[]> {
    const all = new Set<string>();
    for (let i = 0; i < times; i++) all.add(await this.ask(host, port, protocol));
    return [...all].toSorted();
  }

  hold(host: string, port: number): Promise<string> {
    return this.#order({ hold: { host, port } });
  }

  poke(): Promise<string> {
    return this.#order({ poke: true });
  }

  #order(order: object): Promise<string> {
    const id = ++this.#id;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#started.write(JSON.stringify({ id, ...order }));
    });
  }
}
