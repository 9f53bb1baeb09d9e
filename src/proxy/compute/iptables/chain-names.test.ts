import { describe, expect, it } from 'vitest';
import { testEndpoint, testPort } from '../test-objects.ts';
import { endpointChainName, isServiceChain, serviceChainNames } from './chain-names.ts';

describe('serviceChainNames', () => {
  it.each([
    { namespace: 'ns1', name: 'svc1', portName: 'p80', protocol: 'tcp', want: 'XPGD46QRK7WJZT7O' },
    { namespace: 'default', name: 'kubernetes', portName: 'https', protocol: 'tcp', want: 'NPX46M4PTMTKRN6Y' },
    { namespace: 'kube-system', name: 'kube-dns', portName: 'dns', protocol: 'udp', want: 'TCOU7JCQXEZGVUNU' },
    { namespace: 'kube-system', name: 'kube-dns', portName: 'dns-tcp', protocol: 'tcp', want: 'ERIFXISQEP7F7OF4' },
  ] as const)('$namespace/$name:$portName is upstream’s $want', ({ want, ...port }) => {
    expect(serviceChainNames(testPort(port))).toEqual({
      cluster: `KUBE-SVC-${want}`,
      local: `KUBE-SVL-${want}`,
      external: `KUBE-EXT-${want}`,
      firewall: `KUBE-FW-${want}`,
    });
  });
});

describe('endpointChainName', () => {
  it('is upstream’s', () => {
    const port = testPort({ namespace: 'ns1', name: 'svc1', portName: 'p80' });
    expect(endpointChainName(port, testEndpoint('10.180.0.1', { port: 80 }))).toBe('KUBE-SEP-SXIVWICOYRO3J4NJ');
  });
});

describe('isServiceChain', () => {
  it.each([
    ['KUBE-SVC-XPGD46QRK7WJZT7O', true],
    ['KUBE-FW-XPGD46QRK7WJZT7O', true],
    ['KUBE-FIREWALL', false],
    ['KUBE-SERVICES', false],
    ['CNI-HOSTPORT-DNAT', false],
  ])('%s: %s', (chain, want) => {
    expect(isServiceChain(chain)).toBe(want);
  });
});
