/**
 * Network policies whose API is the standard input: started by network-policy-matrix.test.ts inside a network namespace.
 * Each line is `{"put": object}` or `{"delete": object}`; the first lines up to `{"synced": true}` are the first lists.
 * Arguments: the node's name, and a directory as `/var/lib/cni`.
 */
import { createInterface } from 'node:readline';
import { watchAttachments } from '../../src/adapters/cni/attachments.ts';
import { systemClock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/logger.ts';
import { stopSignal } from '../../src/base/stop-signal.ts';
import type { KubeObject, ResourceType } from '../../src/client/api-client.ts';
import { namespaces, networkPolicies, nodes, pods } from '../../src/client/resource-types.ts';
import { NetworkPolicies } from '../../src/network-policy/network-policy.ts';
import { FakeApi } from '../fakes/fake-api.ts';

const api = new FakeApi();
const never = new AbortController().signal;
const types: readonly ResourceType<KubeObject>[] = [namespaces, networkPolicies, nodes, pods] as never;
const [nodeName = '', cacheDirectory = ''] = process.argv.slice(2);
const log = createLogger({ name: 'network-policy', verbosity: 4, fd: 1 });
const policies = new NetworkPolicies(
  { nodeName, lookPeriodMs: 500 },
  {
    client: api,
    events: {
      record: (target, type, reason, message) => log.info({ target: target.name, type, reason, message }, 'event'),
    },
    watchAttachments: (onChange, signal) => watchAttachments(cacheDirectory, onChange, signal),
    clock: systemClock,
    log,
  },
);

async function take(line: string): Promise<void> {
  const {
    put,
    delete: gone,
    synced,
    metrics,
  } = JSON.parse(line) as {
    put?: KubeObject;
    delete?: KubeObject;
    synced?: true;
    metrics?: true;
  };
  if (synced) {
    void policies.run(stopSignal()).then(() => process.exit(0)); // a failure ends the process, as an unhandled one
  }
  if (metrics) process.stdout.write(`${JSON.stringify({ metrics: await policies.metrics(never) })}\n`);
  const object = put ?? gone;
  const type = types.find(({ kind }) => kind === object?.kind);
  if (object === undefined || type === undefined) return;
  const { namespace, name } = object.metadata;
  const there = api.find(type, namespace, name);
  if (put === undefined) await api.delete(type, { namespace, name }, { gracePeriodSeconds: 0 });
  else if (there === undefined) await api.create(type, put);
  else await api.update(type, { ...put, metadata: { ...there.metadata, ...put.metadata } });
}

let turn = Promise.resolve();
createInterface({ input: process.stdin }).on('line', (line) => {
  turn = turn.then(() => take(line));
});
