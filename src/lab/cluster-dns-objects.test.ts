import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { clusterDnsObjects } from './cluster-dns-objects.ts';

const manifest = fileURLToPath(new URL('../../manifests/cluster-dns.yaml', import.meta.url));

describe('clusterDnsObjects', () => {
  it('stand only where the image is, where that is not everywhere', () => {
    const options = { dnsIp: '10.96.0.10', domain: 'cluster.local', replicas: 1 };
    const affinities = [clusterDnsObjects(options), clusterDnsObjects({ ...options, nodeNames: ['a', 'b'] })].map(
      (objects) => JSON.stringify(objects.at(-1)).match(/"nodeAffinity".*?"values":(\[.*?\])/)?.[1],
    );
    expect(affinities).toEqual([undefined, '["a","b"]']);
  });

  it('are what the manifest has', () => {
    const documents = parseAllDocuments(readFileSync(manifest, 'utf8')).map((document): unknown => document.toJS());
    expect(documents).toEqual(clusterDnsObjects({ dnsIp: '10.96.0.10', domain: 'cluster.local', replicas: 2 }));
  });
});
