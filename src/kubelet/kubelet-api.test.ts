import { expect, it } from 'vitest';
import { FakeApi } from '../../test/fakes/fake-api.ts';
import { FakeClock } from '../base/clock.ts';
import { NotFoundError, UnavailableError } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import type { KubeList, KubeObject, ListOptions, ResourceType } from '../client/api-client.ts';
import { KubeletApi } from './kubelet-api.ts';

const signal = new AbortController().signal;

/** A server that has some versions of a group. */
class ApiWith extends FakeApi {
  readonly #versions: readonly string[];
  constructor(versions: readonly string[]) {
    super();
    this.#versions = versions;
  }
  override async list<T extends KubeObject>(type: ResourceType<T>, options: ListOptions): Promise<KubeList<T>> {
    if (this.#versions.includes('down')) throw new UnavailableError('connection refused');
    if (!this.#versions.some((version) => type.prefix.endsWith(`/${version}`))) throw new NotFoundError('not served');
    return await super.list(type, options);
  }
}

const apiWith = (...versions: string[]): KubeletApi =>
  new KubeletApi({
    client: new ApiWith(versions),
    nodeName: 'node-1',
    readPod: () => {
      throw new Error('no pod is read here');
    },
    clock: new FakeClock(),
    log: silentLogger,
  });

it.each([
  { versions: ['v1beta1', 'v1alpha1'], want: '/apis/certificates.k8s.io/v1beta1' },
  { versions: ['v1alpha1'], want: '/apis/certificates.k8s.io/v1alpha1' },
  { versions: ['v1'], want: undefined },
])('of a server with $versions trust bundles are read as $want', async ({ versions, want }) => {
  const watch = await apiWith(...versions).watchTrustBundles(() => {}, signal);
  expect(watch?.type.prefix).toBe(want);
});

it('a server that does not answer is not taken for one without trust bundles', async () => {
  await expect(apiWith('down').watchTrustBundles(() => {}, signal)).rejects.toThrow('connection refused');
});
