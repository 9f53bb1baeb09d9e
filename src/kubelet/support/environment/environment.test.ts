import { describe, expect, it } from 'vitest';
import { bytesOfText } from '../../../base/byte-text.ts';
import { NotFoundError, UnavailableError } from '../../../base/errors.ts';
import type { Container, Pod, PodSpec, Service } from '../../../objects/generated/core-v1.ts';
import { type EnvironmentSources, makeEnvironment } from './environment.ts';

const signal = new AbortController().signal;
const base64 = (text: string): string => Buffer.from(text).toString('base64');

const configMaps: Record<string, Record<string, string>> = { cm: { k: 'v', 'odd.key-1': 'odd', '1st': 'first' } };
const secrets: Record<string, Record<string, string>> = {
  sec: { pw: base64('geheim'), k: base64('from secret') },
  binary: { bytes: Buffer.from([0xff, 0x24, 0x80]).toString('base64') },
};

const svc: Service = {
  metadata: { namespace: 'ns', name: 'db' },
  spec: { clusterIP: '10.0.0.9', ports: [{ port: 5432 }] },
};

const sources: EnvironmentSources = {
  podIps: ['10.1.2.3'],
  hostIps: ['192.168.0.1'],
  nodeAllocatable: { cpu: '2', memory: '1Gi' },
  services: [svc],
  getConfigMap: (_, name) => {
    const data = configMaps[name];
    if (name === 'away') return Promise.reject(new UnavailableError('the API is away'));
    if (data === undefined) return Promise.reject(new NotFoundError(`configmaps "${name}" not found`));
    return Promise.resolve({ metadata: { name }, data, binaryData: { bin: 'AA==' } });
  },
  getSecret: (_, name) => {
    const data = secrets[name];
    if (data === undefined) return Promise.reject(new NotFoundError(`secrets "${name}" not found`));
    return Promise.resolve({ metadata: { name }, data });
  },
};

async function make(
  fields: Partial<Container>,
  spec: Partial<PodSpec> = { enableServiceLinks: false },
  overrides: Partial<EnvironmentSources> = {},
): Promise<Record<string, string>> {
  const container: Container = { name: 'c', image: 'i', ...fields };
  const pod: Pod = {
    metadata: { name: 'p', namespace: 'ns', uid: 'u', annotations: { 'kubernetes.io/config.source': 'api' } },
    spec: { containers: [container], ...spec },
  };
  const variables = await makeEnvironment(pod, container, { ...sources, ...overrides }, signal);
  expect(new Set(variables.map(({ name }) => name)).size).toBe(variables.length);
  return Object.fromEntries(variables.map(({ name, value }) => [name, value]));
}

describe('makeEnvironment', () => {
  it('expands values from what stands above, then from services; results of valueFrom are not expanded', async () => {
    const env = [
      { name: 'A', value: 'a' },
      { name: 'B', value: '$(A)-$(LATER)-$(DB_SERVICE_HOST)' },
      { name: 'LATER', value: 'x' },
      { name: 'EMPTY', value: '' },
      { name: 'SELF', value: '$(SELF)' },
      { name: 'A', value: '$(A)$(A)' },
    ];
    const want = { A: 'aa', B: 'a-$(LATER)-10.0.0.9', LATER: 'x', EMPTY: '', SELF: '$(SELF)' };
    expect(await make({ env }, { enableServiceLinks: true })).toMatchObject(want);
  });

  it('envFrom: every text key as it is named, with prefix; later sources and env win', async () => {
    const envFrom = [
      { configMapRef: { name: 'cm' } },
      { secretRef: { name: 'sec' } },
      { prefix: 'p-', configMapRef: { name: 'cm' } },
      { configMapRef: { name: 'none', optional: true } },
      { secretRef: { name: 'none', optional: true } },
    ];
    expect(await make({ envFrom, env: [{ name: 'pw', value: 'mine $(k)' }] })).toEqual({
      k: 'from secret',
      'odd.key-1': 'odd',
      '1st': 'first',
      pw: 'mine from secret',
      'p-k': 'v',
      'p-odd.key-1': 'odd',
      'p-1st': 'first',
    });
  });

  it('an optional source that has nothing leaves what an earlier source set', async () => {
    const envFrom = [{ configMapRef: { name: 'cm' } }];
    const env = [{ name: 'k', valueFrom: { configMapKeyRef: { name: 'cm', key: 'no', optional: true } } }];
    expect((await make({ envFrom, env }))['k']).toBe('v');
  });

  it('bytes of a secret that are no text reach the runtime as they are, also within other values', async () => {
    const env = [
      { name: 'A', valueFrom: { secretKeyRef: { name: 'binary', key: 'bytes' } } },
      { name: 'B', value: 'x$(A)' },
    ];
    const { A = '', B = '' } = await make({ env });
    expect([...bytesOfText(A)]).toEqual([0xff, 0x24, 0x80]);
    expect([...bytesOfText(B)]).toEqual([0x78, 0xff, 0x24, 0x80]);
  });

  it('reads single keys, fields and resources', async () => {
    const env = [
      { name: 'KEY', valueFrom: { configMapKeyRef: { name: 'cm', key: 'k' } } },
      { name: 'PW', valueFrom: { secretKeyRef: { name: 'sec', key: 'pw' } } },
      { name: 'IP', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.podIP' } } },
      { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
      { name: 'NO', valueFrom: { configMapKeyRef: { name: 'cm', key: 'no', optional: true } } },
      { name: 'NONE', valueFrom: { secretKeyRef: { name: 'none', key: 'x', optional: true } } },
    ];
    expect(await make({ env })).toEqual({ KEY: 'v', PW: 'geheim', IP: '10.1.2.3', CPU: '2' });
  });

  it.each([
    { name: 'a value', key: 'K', optional: false, want: { A: 'v' } },
    { name: 'an optional one that is not there', key: 'NO', optional: true, want: {} },
    { name: 'an optional one that is empty', key: 'EMPTY', optional: true, want: {} },
    {
      name: 'one that is not there',
      key: 'NO',
      optional: false,
      want: 'environment variable key "NO" not found in file "/host/v/dir/env"',
    },
    {
      name: 'a file that cannot be read, optional or not',
      key: 'K',
      optional: true,
      want: "couldn't parse env file",
      text: 'K=v',
    },
  ])('fileKeyRef: $name', async ({ key, optional, want, text }) => {
    const made = make(
      { env: [{ name: 'A', valueFrom: { fileKeyRef: { volumeName: 'v', path: 'dir/env', key, optional } } }] },
      { enableServiceLinks: false },
      {
        volumes: new Map([['v', { hostPath: '/host/v' }]]),
        mounts: { readFileIn: () => Promise.resolve(Buffer.from(text ?? "K='v'\nEMPTY=''\n")) },
      },
    );
    if (typeof want === 'string') await expect(made).rejects.toThrow(new Error(want));
    else expect(await made).toEqual(want);
  });

  it("a container's own variable hides a service's", async () => {
    const all = await make({ env: [{ name: 'DB_PORT', value: 'mine' }] }, { enableServiceLinks: true });
    expect(all['DB_PORT']).toBe('mine');
    expect(all['DB_SERVICE_PORT']).toBe('5432');
  });

  it('service links are on unless the pod says no', async () => {
    expect((await make({}, {}))['DB_SERVICE_HOST']).toBe('10.0.0.9');
    expect(await make({}, { enableServiceLinks: false })).toEqual({});
  });

  it('waits for the services, except for static pods', async () => {
    await expect(make({}, {}, { services: undefined })).rejects.toThrow(
      new Error('services have not yet been read at least once, cannot construct envvars'),
    );
    const container: Container = { name: 'c', image: 'i' };
    const pod: Pod = {
      metadata: { name: 'p', annotations: { 'kubernetes.io/config.source': 'file' } },
      spec: { containers: [container] },
    };
    expect(await makeEnvironment(pod, container, { ...sources, services: undefined }, signal)).toEqual([]);
  });

  it.each<[Partial<Container>, string]>([
    [{ envFrom: [{ configMapRef: { name: 'none' } }] }, 'configmap "none" not found'],
    [{ envFrom: [{ secretRef: { name: 'none' } }] }, 'secret "none" not found'],
    [
      { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'none', key: 'k' } } }] },
      'configmap "none" not found',
    ],
    [
      { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'cm', key: 'no' } } }] },
      "couldn't find key no in ConfigMap ns/cm",
    ],
    [
      { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'cm', key: 'bin' } } }] },
      "couldn't find key bin in ConfigMap ns/cm",
    ],
    [
      { env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'sec', key: 'no' } } }] },
      "couldn't find key no in Secret ns/sec",
    ],
    [
      { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'away', key: 'k', optional: true } } }] },
      'the API is away',
    ],
    [
      { env: [{ name: 'A', valueFrom: { fileKeyRef: { volumeName: 'v', path: 'p', key: 'k' } } }] },
      'cannot find the volume "v" referenced by FileKeyRef',
    ],
    [
      { env: [{ name: 'A', valueFrom: { fieldRef: { apiVersion: 'v2', fieldPath: 'metadata.name' } } }] },
      'unsupported pod version: v2',
    ],
    [{ env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.x' } } }] }, 'field label not supported: spec.x'],
  ])('%j: %s', async (fields, want) => {
    await expect(make(fields)).rejects.toMatchObject({ message: want });
  });
});
