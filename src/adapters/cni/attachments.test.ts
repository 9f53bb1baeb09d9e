import { describe, expect, it } from 'vitest';
import { parseAttachment } from './attachments.ts';

const file = (more: object = {}): string =>
  JSON.stringify({
    kind: 'cniCacheV1',
    ifName: 'eth0',
    networkName: 'gantry',
    netns: '/run/netns/a',
    cniArgs: [
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAMESPACE', 'shop'],
      ['K8S_POD_NAME', 'web'],
      ['K8S_POD_UID', 'u'],
    ],
    result: { ips: [{ address: '10.0.0.5/24', gateway: '10.0.0.1' }, { address: 'fd00::5/64' }] },
    ...more,
  });

describe('what libcni remembers of an attachment', () => {
  it('is whose it is, and its addresses', () => {
    expect(parseAttachment(file())).toEqual({
      namespace: 'shop',
      name: 'web',
      uid: 'u',
      ips: ['10.0.0.5', 'fd00::5'],
      netns: '/run/netns/a',
    });
  });

  it('tells the network namespace by its interface where the file does not', () => {
    const interfaces = [{ name: 'veth1' }, { name: 'eth0', sandbox: '/var/run/netns/b' }];
    expect(parseAttachment(file({ netns: undefined, result: { interfaces } }))?.netns).toBe('/var/run/netns/b');
  });

  it.each([
    { name: 'another interface', more: { ifName: 'net1' } },
    { name: 'no pod', more: { cniArgs: [] } },
    { name: 'a file of another kind', more: { cniArgs: 'x' } },
  ])('is nothing to us: $name', ({ more }) => {
    expect(parseAttachment(file(more))).toBeUndefined();
  });

  it('is read again when it is torn', () => {
    expect(() => parseAttachment(file().slice(0, 40))).toThrow(SyntaxError);
  });
});
