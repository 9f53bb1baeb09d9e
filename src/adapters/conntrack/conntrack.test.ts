import { describe, expect, it } from 'vitest';
import { parseFlow } from './conntrack.ts';

describe('parseFlow', () => {
  it.each([
    {
      line: 'udp      17 22 src=10.1.0.5 dst=10.96.0.10 sport=4711 dport=53 [UNREPLIED] src=10.1.0.2 dst=10.1.0.5 sport=5353 dport=4711 mark=0 use=1',
      want: { toIp: '10.96.0.10', toPort: 53, replyFromIp: '10.1.0.2', replyFromPort: 5353 },
    },
    {
      line: 'udp      17 22 src=fd00::5 dst=fd00::10 sport=1 dport=2 src=fd00::2 dst=fd00::5 sport=3 dport=1 [ASSURED] mark=0 use=1',
      want: { toIp: 'fd00::10', toPort: 2, replyFromIp: 'fd00::2', replyFromPort: 3 },
    },
    {
      line: 'sctp     132 599 ESTABLISHED src=10.1.0.1 dst=10.96.0.1 sport=1 dport=2 packets=3 bytes=180 src=10.2.0.1 dst=10.1.0.1 sport=9 dport=1 packets=1 bytes=60 [ASSURED] mark=0 use=1',
      want: { toIp: '10.96.0.1', toPort: 2, replyFromIp: '10.2.0.1', replyFromPort: 9 },
    },
    { line: 'conntrack v1.4.7 (conntrack-tools): 2 flow entries have been shown.', want: undefined },
    {
      line: 'icmp     1 29 src=10.1.0.1 dst=10.1.0.2 type=8 code=0 id=1 src=10.1.0.2 dst=10.1.0.1 type=0 code=0 id=1 use=1',
      want: undefined,
    },
    { line: '', want: undefined },
  ])('$line', ({ line, want }) => expect(parseFlow(line)).toEqual(want));
});
