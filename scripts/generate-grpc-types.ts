/** Writes the folder `generated` of each adapter that speaks gRPC from `proto/`, with the loader options of `src/base/grpc.ts`. */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';

const options =
  '--keepCase --longs=String --enums=String --defaults --oneofs --importFileExtension=.ts --grpcLib=@grpc/grpc-js';
for (const [adapter, file] of [
  ['cri', 'cri-v1.proto'],
  ['csi', 'csi-v1.proto'],
  ['etcd', 'etcd-v3.proto'],
  ['plugin-registration', 'plugin-registration.proto'],
] as const) {
  const outDir = resolve('src/adapters', adapter, 'generated');
  rmSync(outDir, { recursive: true, force: true });
  execFileSync(
    resolve('node_modules/.bin/proto-loader-gen-types'),
    [...options.split(' '), `--outDir=${outDir}`, '--', file],
    {
      cwd: 'proto',
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
}
