import { describe, expect, it } from 'vitest';
import { parseFlows } from './conntrack.ts';

describe('parseFlows', () => {
  it('reads where a flow goes and who answers, and passes over what is no flow', () => {
    const text = [
      'udp      17 22 src=10.1.0.5 dst=10.96.0.10 sport=4711 dport=53 [UNREPLIED] src=10.1.0.2 dst=10.1.0.5 sport=5353 dport=4711 mark=0 use=1',
      'udp      17 22 src=fd00::5 dst=fd00::10 sport=1 dport=2 src=fd00::2 dst=fd00::5 sport=3 dport=1 [ASSURED] mark=0 use=1',
      'conntrack v1.4.7 (conntrack-tools): 2 flow entries have been shown.',
      '',
    ].join('\n');
    expect(parseFlows(text)).toEqual([
      { toIp: '10.96.0.10', toPort: 53, replyFromIp: '10.1.0.2', replyFromPort: 5353 },
      { toIp: 'fd00::10', toPort: 2, replyFromIp: 'fd00::2', replyFromPort: 3 },
    ]);
  });
});
