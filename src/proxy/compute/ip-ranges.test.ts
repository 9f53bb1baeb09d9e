import { describe, expect, it } from 'vitest';
import { cidrContains, familyOfIp, parseCidr } from './ip-ranges.ts';
import { matchingAddresses, nodePortAddresses } from './node-port-addresses.ts';

describe('familyOfIp', () => {
  it.each([
    ['10.0.0.1', 'IPv4'],
    ['fd00::1', 'IPv6'],
    ['fe80::1%eth0', undefined],
    ['10.0.0.1\n-A INPUT -j ACCEPT', undefined],
    ['010.0.0.1', undefined],
    ['host', undefined],
  ])('%j: %s', (ip, want) => {
    expect(familyOfIp(ip)).toBe(want);
  });
});

describe('parseCidr', () => {
  it.each([
    ['10.0.0.0/8', { text: '10.0.0.0/8', family: 'IPv4', address: '10.0.0.0', prefix: 8 }],
    ['fd00::/64', { text: 'fd00::/64', family: 'IPv6', address: 'fd00::', prefix: 64 }],
    ['10.0.0.0/33', undefined],
    ['10.0.0.0/', undefined],
    ['10.0.0.0', undefined],
    ['10.0.0.0/08', undefined],
  ])('%s', (text, want) => {
    expect(parseCidr(text)).toEqual(want);
  });

  it.each([
    ['10.1.0.0/16', '10.1.255.255', true],
    ['10.1.0.0/16', '10.2.0.0', false],
    ['10.1.0.0/16', 'fd00::1', false],
    ['fd00::/64', 'fd00::ffff', true],
    ['0.0.0.0/0', '203.0.113.1', true],
  ])('%s contains %s: %s', (text, ip, want) => {
    const cidr = parseCidr(text);
    expect(cidr !== undefined && cidrContains(cidr, ip)).toBe(want);
  });
});

describe('nodePortAddresses', () => {
  it.each([
    { name: 'nothing configured: all addresses', configured: [], isMatchAll: true, loopback: true, matching: [] },
    {
      name: 'a range: the addresses inside',
      configured: ['192.168.0.0/24'],
      isMatchAll: false,
      loopback: false,
      matching: ['192.168.0.2'],
    },
    {
      name: 'loopback by name',
      configured: ['192.168.0.0/24', '127.0.0.0/8'],
      isMatchAll: false,
      loopback: true,
      matching: ['127.0.0.1', '192.168.0.2'],
    },
    {
      name: 'ranges of the other family only: all',
      configured: ['fd00::/8'],
      isMatchAll: true,
      loopback: true,
      matching: [],
    },
    {
      name: 'a range of everything counts alone',
      configured: ['10.0.0.0/8', '0.0.0.0/0'],
      isMatchAll: true,
      loopback: true,
      matching: [],
    },
    {
      name: 'primary: the node’s own',
      configured: ['primary'],
      isMatchAll: false,
      loopback: false,
      matching: ['192.168.0.2'],
    },
  ])('$name', ({ configured, isMatchAll, loopback, matching }) => {
    const addresses = nodePortAddresses(configured, ['192.168.0.2', 'fd00::2'], 'IPv4');
    expect(addresses.isMatchAll).toBe(isMatchAll);
    expect(addresses.containsIpv4Loopback).toBe(loopback);
    expect(matchingAddresses(addresses, ['127.0.0.1', '192.168.0.2', '10.9.9.9'])).toEqual(matching);
  });
});
