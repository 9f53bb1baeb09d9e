import { describe, expect, it } from 'vitest';
import type { TableSink } from '../../../adapters/nftables/read-table-text.ts';
import { tableDifferences } from './installed-check.ts';
import { TransactionText } from './transaction-text.ts';

const context = {
  family: 'IPv4' as const,
  masqueradeMark: '0x00004000',
  masqueradeAll: false,
  localTraffic: undefined,
  nodePortIps: undefined,
  serviceCidrs: [],
};

describe('tableDifferences', () => {
  it.each([
    { name: 'as written', set: 'service-ips', key: '10.96.0.1 . tcp . 80', value: 'goto cluster-tcp-1' },
    { name: 'port 17', set: 'udp-endpoints', key: '10.96.0.1 . 17 . 0', value: '10.1.1.1 . 17' },
    { name: 'port 6 of IPv6', set: 'tcp-endpoints', key: 'fd00::1 . 6 . 0', value: 'fd00:1::1 . 6' },
    { name: 'endpoint 17', set: 'tcp-endpoints', key: '10.96.0.1 . 80 . 17', value: '10.1.1.1 . 80' },
    { name: 'port 132 with ranges', set: 'source-ranges', key: '1.2.3.4 . tcp . 132 . 10.0.0.0/8', value: '' },
    {
      name: 'a protocol by number',
      set: 'source-ranges',
      key: '1.2.3.4 . tcp . 17 . 10.0.0.0/8',
      value: '',
      printed: '1.2.3.4 . 6 . 17 . 10.0.0.0/8',
    },
    {
      name: 'a hairpin by number',
      set: 'hairpin-connections',
      key: '10.1.1.1 . 10.1.1.1 . udp . 17',
      value: '',
      printed: '10.1.1.1 . 10.1.1.1 . 17 . 17',
    },
  ])('finds nothing wrong with an element that the tool prints: $name', async ({ set, key, value, printed }) => {
    const text = new TransactionText(context);
    text.elements('add', [[`${set} ${key}`, value]]);
    const element = printed ?? (value === '' ? key : `${key} : ${value}`);
    const look = async (told: string): Promise<string[]> => {
      const nft = {
        chainNames: () => Promise.resolve([]),
        readTable: (_family: string, _name: string, sink: TableSink) => Promise.resolve(sink.onElement(set, told)),
      };
      return tableDifferences(nft, ['ip', 'kube-proxy'], text, new Set(), new AbortController().signal);
    };
    expect(await look(element)).toEqual([]);
    expect(await look(`1${element}`)).toEqual([`elements of ${set}`]);
  });
});
