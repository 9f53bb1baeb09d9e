import { describe, expect, it } from 'vitest';
import { drainedChanges, parseConnections } from './connections.ts';
import { drainKey } from './server-changes.ts';

const list = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.0.0.1:80 rr persistent 10800
  -> 10.1.0.1:80                  Masq    0      2          1
  -> 10.2.0.1:80                  Masq    0      0          0
UDP  10.0.0.1:80 rr
  -> 10.1.0.1:80                  Masq    1      0          4
TCP  [fd00::1]:80 rr
  -> [fd01::1]:80                 Masq    1      7          0
FWM  1 rr
  -> 10.9.0.1:0                   Masq    1      9          9
`;

describe('parseConnections', () => {
  it('adds active and inactive ones, and leaves out what is not ours', () => {
    expect(Object.fromEntries(parseConnections(list))).toEqual({
      '10.0.0.1:80/TCP 10.1.0.1:80': 3,
      '10.0.0.1:80/TCP 10.2.0.1:80': 0,
      '10.0.0.1:80/UDP 10.1.0.1:80': 4,
      '[fd00::1]:80/TCP [fd01::1]:80': 7,
    });
  });
});

describe('drainedChanges', () => {
  it('removes the idle, keeps the busy, forgets the gone', () => {
    const server = { address: '10.0.0.1:80', protocol: 'tcp' } as const;
    const [busy, idle, gone] = ['10.1.0.1:80', '10.2.0.1:80', '10.3.0.1:80'].map((realServer) => {
      const drain = { server, realServer };
      return [drainKey(drain), drain] as const;
    });
    const draining = new Map([busy, idle, gone].filter((each) => each !== undefined));
    const got = drainedChanges(draining, parseConnections(list));
    expect(got.lines).toEqual(['-d -t 10.0.0.1:80 -r 10.2.0.1:80']);
    expect([...got.draining.keys()]).toEqual(['10.0.0.1:80/TCP 10.1.0.1:80']);
  });
});
