/** One figure of the kubelet's /metrics, as an administrator may read it. */
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import type { DataSource, ServerAccess } from '../../src/client/kubeconfig.ts';

const kubeletPort = 10250;

/** @returns what asks for the metric's first sample; undefined when there is none */
export function kubeletMetric(access: ServerAccess, host: string, name: string): () => Promise<number | undefined> {
  return async () => {
    const { clientCertificate } = access;
    if (clientCertificate === undefined) throw new Error('the kubeconfig has no client certificate');
    const [cert, key] = await Promise.all([read(clientCertificate.cert), read(clientCertificate.key)]);
    const text = await get({ host, cert, key });
    const line = text.split('\n').find((one) => one.startsWith(`${name}{`) || one.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1));
  };
}

const read = async (source: DataSource): Promise<Buffer> =>
  'data' in source ? source.data : await readFile(source.file);

function get({ host, cert, key }: { host: string; cert: Buffer; key: Buffer }): Promise<string> {
  return new Promise((resolve, reject) => {
    // the kubelet of the benchmark signs its certificate itself
    const options = { host, port: kubeletPort, path: '/metrics', cert, key, rejectUnauthorized: false, agent: false };
    const asked = request(options, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(pieces).toString('utf8'));
        else reject(new Error(`Cannot read the kubelet's metrics: HTTP ${response.statusCode}`));
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}
