/**
 * Puts Services into etcd as the API server would have stored them: ten thousand creations through the API would take
 * minutes. Runs inside the test node.
 *
 *     node test/bench/seed-services.ts '{"etcdUrl": …, "from": 0, "to": 100}'
 */
import { Etcd } from '../../src/adapters/etcd/etcd.ts';
import { storedMeasured, storedNode, storedServices } from './proxy-services.ts';

export interface SeedOptions {
  etcdUrl: string;
  caFile: string;
  certFile: string;
  keyFile: string;
  /** Those before are there already. */
  from: number;
  to: number;
}

const writesAtOnce = 64;
const never = new AbortController().signal;

const options = JSON.parse(process.argv[2] ?? '{}') as SeedOptions; // given by our own program
const etcd = new Etcd({ ...options, endpoints: [options.etcdUrl], timeoutMs: 60_000 });
const values = [
  ...storedServices(options.from, options.to),
  ...(options.from === 0 ? [storedNode(), ...storedMeasured()] : []),
].values();
await Promise.all(
  Array.from({ length: writesAtOnce }, async () => {
    for (const { key, value } of values) {
      const { written } = await etcd.writeIf({ key, value, expectedRevision: 0 }, never);
      if (!written) throw new Error(`Cannot seed "${key}": it is there already`);
    }
  }),
);
etcd.close();
