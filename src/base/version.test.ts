import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { gantrySemver, gantryVersion, kubernetesVersion } from './version.ts';

it("is the package's version, on the Kubernetes version that we are compatible with", () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect(gantrySemver).toBe(manifest.version);
  expect(gantryVersion).toBe(`v1.36.0+gantry.${manifest.version}`);
  expect(kubernetesVersion.gitVersion).toBe(`v${kubernetesVersion.major}.${kubernetesVersion.minor}.0`);
});
