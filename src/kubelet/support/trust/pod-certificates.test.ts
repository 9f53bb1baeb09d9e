import { createPrivateKey, createPublicKey } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import { loadX509 } from '../../../bootstrap/x509.ts';
import { FakeClock } from '../../../base/clock.ts';
import { UnavailableError } from '../../../base/errors.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { PodCertificateRequest } from '../../../objects/generated/certificates-v1beta1.ts';
import { pemBlock } from './pem-blocks.ts';
import { type CredentialBundle, PodCertificates } from './pod-certificates.ts';
import { makePodKey } from './pod-key.ts';

describe('makePodKey', () => {
  it.each(['RSA3072', 'RSA4096', 'ECDSAP256', 'ECDSAP384', 'ECDSAP521', 'ED25519'])('%s', async (keyType) => {
    const { privateKey, request } = await makePodKey(keyType);
    expect(privateKey).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    const { Pkcs10CertificateRequest } = await loadX509();
    const read = new Pkcs10CertificateRequest(request);
    expect(await read.verify()).toBe(true);
    expect(read.subject).toBe('');
    expect(read.attributes).toEqual([]);
    // the private key is the one of the request
    const publicKey = createPublicKey({ key: Buffer.from(read.publicKey.rawData), format: 'der', type: 'spki' });
    const own = createPublicKey(createPrivateKey(privateKey));
    expect(own.export({ type: 'spki', format: 'der' })).toEqual(publicKey.export({ type: 'spki', format: 'der' }));
  });

  it('of a kind that there is not', async () => {
    await expect(makePodKey('DSA1024')).rejects.toThrow('while generating keypair: unknown key type "DSA1024"');
  });
});

const uid = 'uid-1';
const source = {
  signerName: 'example.com/s',
  keyType: 'ED25519',
  maxExpirationSeconds: 7200,
  userAnnotations: { a: 'b' },
};
const minuteMs = 60_000;
const chain = (name: string): string => pemBlock('CERTIFICATE', Buffer.from(name));

let clock: FakeClock;
let created: PodCertificateRequest[];
let known: Map<string, PodCertificateRequest>;
let failure: Error | undefined;
let events: string[];
let changes: string[];
let stop: AbortController;
let running: Promise<void>;
let certificates: PodCertificates;
const pod = testPod({ serviceAccountName: 'sa' }, { uid, namespace: 'ns', name: 'web' });

beforeEach(() => {
  clock = new FakeClock(Date.UTC(2026, 0, 1));
  created = [];
  known = new Map();
  failure = undefined;
  events = [];
  changes = [];
  stop = new AbortController();
  certificates = new PodCertificates({
    requests: {
      get: ({ namespace, name }) => known.get(`${namespace}/${name}`),
      hasSynced: true,
      run: (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    },
    create: (request) => {
      if (failure !== undefined) return Promise.reject(failure);
      const name = `${request.metadata.generateName}${created.length}`;
      const made = {
        ...request,
        metadata: { ...request.metadata, name, creationTimestamp: new Date(clock.nowMs()).toISOString() },
      };
      created.push(made);
      known.set(`ns/${name}`, made);
      return Promise.resolve(made);
    },
    identify: () => Promise.resolve({ serviceAccountUid: 'sa-uid', nodeName: 'node-1', nodeUid: 'node-uid' }),
    onChange: (changed) => changes.push(changed),
    event: (_, type, reason, message) => events.push(`${type} ${reason}: ${message}`),
    clock,
    log: silentLogger,
  });
  running = certificates.run(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await running;
});

const bundle = (): CredentialBundle => certificates.bundle(pod, 'v', 0, source);
const notYet = 'credential bundle is not issued yet';

/** The signer's answer to the newest request, and word of it. */
function answer(type: string, status: PodCertificateRequest['status'] = {}): void {
  const request = created.at(-1);
  if (request === undefined) throw new Error('nothing was asked for');
  const condition = { type, status: 'True', reason: 'Because', message: 'it "is" so', lastTransitionTime: '' };
  known.set(`ns/${request.metadata.name}`, { ...request, status: { conditions: [condition], ...status } });
  certificates.markPod(uid);
}

const after = (ms: number): string => new Date(clock.nowMs() + ms).toISOString();

async function issueFirst(): Promise<void> {
  expect(bundle).toThrow(notYet);
  await expect.poll(() => created.length).toBe(1);
  answer('Issued', {
    certificateChain: `x\n${chain('one')}`,
    beginRefreshAt: after(60 * minuteMs),
    notAfter: after(120 * minuteMs),
  });
  await expect.poll(() => changes).toEqual([uid]);
}

/** Two rounds of the look at all places, which come every one to two minutes. */
const looks = async (): Promise<void> => {
  await clock.advance(2 * minuteMs);
  await clock.advance(2 * minuteMs);
};

describe('PodCertificates', () => {
  it('asks once for a place, and gives what was issued', async () => {
    expect(bundle).toThrow(notYet);
    expect(bundle).toThrow(notYet);
    await issueFirst();
    const { privateKey, certificateChain } = bundle();
    expect(privateKey).toContain('BEGIN PRIVATE KEY');
    expect(certificateChain).toBe(chain('one'));
    expect(created).toHaveLength(1);
    expect(created[0]).toMatchObject({
      metadata: {
        namespace: 'ns',
        generateName: 'req-',
        ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'web', uid }],
      },
      spec: {
        signerName: 'example.com/s',
        podName: 'web',
        podUID: uid,
        serviceAccountName: 'sa',
        serviceAccountUID: 'sa-uid',
        nodeName: 'node-1',
        nodeUID: 'node-uid',
        maxExpirationSeconds: 7200,
        unverifiedUserAnnotations: { a: 'b' },
      },
    });
    expect(() => certificates.bundle(pod, 'v', 1, source)).toThrow(notYet); // another place, another key
    await expect.poll(() => created.length).toBe(2);
  });

  it('takes an answer that is no verdict for none', async () => {
    expect(bundle).toThrow(notYet);
    await expect.poll(() => created.length).toBe(1);
    answer('Looking');
    await looks();
    expect(bundle).toThrow(notYet);
    expect([changes, events]).toEqual([[], []]);
    expect(created).toHaveLength(1);
  });

  it.each([
    ['Denied', 'was denied', 'denied'],
    ['Failed', 'failed', 'failed'],
  ])('%s is for good', async (type, said, verdict) => {
    expect(bundle).toThrow(notYet);
    await expect.poll(() => created.length).toBe(1);
    answer(type);
    await expect.poll(() => changes).toEqual([uid]);
    const why = String.raw`reason="Because" message="it \"is\" so"`;
    expect(bundle).toThrow(new Error(`PodCertificateRequest was permanently ${verdict}: ${why}`));
    expect(events).toEqual([`Warning ${type}: PodCertificateRequest ns/req-0 ${said}, ${why.replace(' m', ', m')}`]);
    await looks();
    expect(created).toHaveLength(1);
  });

  it('is renewed from its time on, the old one given out meanwhile', async () => {
    await issueFirst();
    const old = bundle();
    await clock.advance(59 * minuteMs);
    expect(created).toHaveLength(1);
    await clock.advance(6 * minuteMs); // up to five minutes later, by chance
    await looks();
    await expect.poll(() => created.length).toBe(2);
    expect(bundle()).toEqual(old);
    expect(created[1]?.spec.stubPKCS10Request).not.toBe(created[0]?.spec.stubPKCS10Request);
    answer('Issued', {
      certificateChain: chain('two'),
      beginRefreshAt: after(60 * minuteMs),
      notAfter: after(120 * minuteMs),
    });
    await expect.poll(() => changes).toEqual([uid, uid]);
    expect(bundle().certificateChain).toBe(chain('two'));
    expect(bundle().privateKey).not.toBe(old.privateKey);
    expect(events).toEqual([]);
  });

  it('says once that it is late, and once that it is over', async () => {
    await issueFirst();
    await clock.advance(60 * minuteMs);
    for (let i = 0; i < 10; i++) await looks();
    await expect.poll(() => events).toEqual(['Warning CertificateOverdueForRefresh: PodCertificate refresh overdue']);
    for (let i = 0; i < 10; i++) await looks();
    await expect.poll(() => events[1]).toBe('Warning CertificateExpired: PodCertificate expired');
    await looks();
    expect(events).toHaveLength(2);
    expect(created).toHaveLength(2);
    expect(bundle().certificateChain).toBe(chain('one')); // better than none
  });

  it('asks again when the request is deleted, ten minutes after it was made at the earliest', async () => {
    expect(bundle).toThrow(notYet);
    await expect.poll(() => created.length).toBe(1);
    known.clear();
    await clock.advance(9 * minuteMs);
    expect(created).toHaveLength(1);
    await clock.advance(7 * minuteMs);
    await looks();
    await expect.poll(() => created.length).toBe(2);
  });

  it('tries again while the API is away, and forgets with the pod', async () => {
    failure = new UnavailableError('connection refused');
    expect(bundle).toThrow(notYet);
    await looks();
    failure = undefined;
    expect(bundle).toThrow(notYet);
    await expect.poll(() => created.length).toBe(1);
    certificates.forget(uid);
    answer('Issued', { certificateChain: chain('one'), beginRefreshAt: after(1), notAfter: after(1) });
    await looks();
    expect(changes).toEqual([]);
  });
});
