import { describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import type { PodSpec } from '../../objects/generated/core-v1.ts';
import { refuseUnsupported } from './refuse-unsupported.ts';

const signalled: Partial<PodSpec> = { containers: [testContainer('web', { lifecycle: { stopSignal: 'SIGUSR1' } })] };
const rows: Array<{ name: string; spec: Partial<PodSpec>; gate?: boolean; want: string | undefined }> = [
  { name: 'an ordinary pod', spec: {}, want: undefined },
  {
    name: 'the action RestartAllContainers',
    spec: { containers: [testContainer('web', { restartPolicyRules: [{ action: 'RestartAllContainers' }] })] },
    want: undefined,
  },
  {
    name: 'resource claims',
    spec: { resourceClaims: [{ name: 'gpu' }] },
    want: 'dynamic resource allocation (spec.resourceClaims)',
  },
  {
    name: 'a raw block volume',
    spec: { initContainers: [testContainer('i', { volumeDevices: [{ name: 'v', devicePath: '/dev/v' }] })] },
    want: 'raw block volumes (volumeDevices of container "i")',
  },
  {
    name: 'a claim of a container',
    spec: { containers: [testContainer('web', { resources: { claims: [{ name: 'gpu' }] } })] },
    want: 'dynamic resource allocation (resources.claims of container "web")',
  },
  { name: 'a stop signal, gate on', spec: signalled, gate: true, want: undefined },
  {
    name: 'a stop signal, gate off',
    spec: signalled,
    want: 'a stop signal (lifecycle.stopSignal of container "web"; this node has the feature gate ContainerStopSignals off)',
  },
];

describe('refuseUnsupported', () => {
  it.each(rows)('$name', ({ spec, gate = false, want }) => {
    const refusal = refuseUnsupported(testPod(spec), { ContainerStopSignals: gate });
    expect(refusal).toEqual(
      want === undefined
        ? undefined
        : { reason: 'PodFeatureUnsupported', message: `Pod requires node features that are not available: ${want}` },
    );
  });
});
