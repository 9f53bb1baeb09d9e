import { describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import type { EphemeralContainer, PodSpec } from '../../objects/generated/core-v1.ts';
import { refuseEphemeral, refuseUnsupported } from './refuse-unsupported.ts';

const signalled: Partial<PodSpec> = { containers: [testContainer('web', { lifecycle: { stopSignal: 'SIGUSR1' } })] };
const probe = { exec: { command: ['true'] } };
const rows: Array<{ name: string; spec: Partial<PodSpec>; gate?: boolean; want: string | undefined }> = [
  { name: 'an ordinary pod', spec: {}, want: undefined },
  {
    name: 'the action RestartAllContainers',
    spec: {
      containers: [
        testContainer('web', { restartPolicy: 'Never', restartPolicyRules: [{ action: 'RestartAllContainers' }] }),
      ],
    },
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
    want: undefined,
  },
  {
    name: 'a claim of a container',
    spec: { containers: [testContainer('web', { resources: { claims: [{ name: 'gpu' }] } })] },
    want: 'dynamic resource allocation (resources.claims of container "web")',
  },
  {
    name: 'a name of its own on the network of the node',
    spec: { hostNetwork: true, hostnameOverride: 'other' },
    want: "another host name in the host's network (spec.hostnameOverride with spec.hostNetwork)",
  },
  { name: 'a name of its own', spec: { hostnameOverride: 'other' }, want: undefined },
  {
    name: 'a probe of an ordinary init container',
    spec: { initContainers: [testContainer('i', { startupProbe: probe })] },
    want: 'probes of init containers that do not restart always (startupProbe of container "i")',
  },
  {
    name: 'a probe of a sidecar',
    spec: { initContainers: [testContainer('i', { startupProbe: probe, restartPolicy: 'Always' })] },
    want: undefined,
  },
  {
    name: 'restart rules that nothing makes count',
    spec: { containers: [testContainer('web', { restartPolicyRules: [{ action: 'Restart' }] })] },
    want: 'restart rules without a restart policy (restartPolicyRules of container "web")',
  },
  {
    name: 'an ephemeral container, which has its own door',
    spec: { ephemeralContainers: [{ name: 'e', resources: { claims: [{ name: 'gpu' }] } }] },
    want: undefined,
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

describe('refuseEphemeral', () => {
  const ofEphemeral = (field: string): string => `${field} for ephemeral containers (${field} of container "e")`;
  const cases: Array<{ fields: Partial<EphemeralContainer>; want: string | undefined }> = [
    { fields: {}, want: undefined },
    { fields: { stdin: true, tty: true, targetContainerName: 'web', resources: {}, ports: [] }, want: undefined },
    { fields: { volumeDevices: [{ name: 'v', devicePath: '/dev/v' }] }, want: undefined },
    {
      fields: { resources: { claims: [{ name: 'gpu' }] } },
      want: 'dynamic resource allocation (resources.claims of container "e")',
    },
    { fields: { lifecycle: { stopSignal: 'SIGUSR1' } }, want: ofEphemeral('lifecycle') },
    { fields: { ports: [{ containerPort: 80 }] }, want: ofEphemeral('ports') },
    { fields: { livenessProbe: probe }, want: ofEphemeral('livenessProbe') },
    { fields: { readinessProbe: probe }, want: ofEphemeral('readinessProbe') },
    { fields: { startupProbe: probe }, want: ofEphemeral('startupProbe') },
    { fields: { restartPolicy: 'Always' }, want: ofEphemeral('restartPolicy') },
    { fields: { restartPolicyRules: [{ action: 'Restart' }] }, want: ofEphemeral('restartPolicyRules') },
    {
      fields: { resizePolicy: [{ resourceName: 'cpu', restartPolicy: 'NotRequired' }] },
      want: ofEphemeral('resizePolicy'),
    },
  ];
  it.each(cases)('$fields', ({ fields, want }) => {
    const message = `Container requires node features that are not available: ${want}`;
    expect(refuseEphemeral({ name: 'e', image: 'x', ...fields }, { ContainerStopSignals: true })).toEqual(
      want === undefined ? undefined : { reason: 'PodFeatureUnsupported', message },
    );
  });
});
