import { expect, it } from 'vitest';
import { checkName } from './check-name.ts';

it.each([
  { path: 'src/base/run-loop.ts', good: true },
  { path: 'src/base/run-loop.test.ts', good: true },
  { path: 'src/kubelet/execute', good: true },
  { path: 'src/objects/fnv1a.ts', good: true },
  { path: 'src/base/utils.ts', good: false },
  { path: 'src/base/string-util.ts', good: false },
  { path: 'test/helpers', good: false },
  { path: 'src/lab/common.ts', good: false },
  { path: 'src/lab/index.ts', good: false },
  { path: 'src/lab/createCluster.ts', good: false },
  { path: 'src/lab/create_cluster.ts', good: false },
])('checkName of $path: $good', ({ path, good }) => {
  expect(checkName(path) === undefined).toBe(good);
});
