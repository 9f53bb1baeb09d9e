import { describe, expect, it } from 'vitest';
import type { Protocol } from '../../proxy-model.ts';
import { parseCidr } from '../ip-ranges.ts';
import { type Draining, type ServerChangesInput, drainKey, parseIpvsadmSave, serverChanges } from './server-changes.ts';
import { serverKey } from './wanted-state.ts';

const vip = '10.0.0.1:80';
const a = '10.1.0.1:80';
const b = '10.2.0.1:80';

function wants(realServers: readonly string[], protocol: Protocol = 'tcp', affinitySeconds?: number) {
  const server = { protocol, address: vip, affinitySeconds, realServers: new Set(realServers) };
  return new Map([[serverKey(server), server]]);
}
const drain = (realServer: string): Draining => ({ server: { address: vip, protocol: 'tcp' }, realServer });
const busy = new Map([[drainKey(drain(b)), 1]]);

function changes(save: string, input: Partial<ServerChangesInput>) {
  const { lines, draining } = serverChanges({
    wanted: new Map(),
    existing: parseIpvsadmSave(save),
    family: 'IPv4',
    scheduler: 'rr',
    isFirst: false,
    draining: new Map(),
    connections: new Map(),
    excluded: [],
    ...input,
  });
  return { lines, draining: [...draining.keys()] };
}

const saved = `-A -t ${vip} -s rr\n-a -t ${vip} -r ${a} -m -w 1\n-a -t ${vip} -r ${b} -m -w 1\n`;
const savedDrained = saved.replace(`${b} -m -w 1`, `${b} -m -w 0`);

describe('serverChanges', () => {
  it.each<{ name: string; save: string; input: Partial<ServerChangesInput>; lines: string[]; draining?: string[] }>([
    {
      name: 'nothing is there: all is made',
      save: '',
      input: { wanted: wants([a, b]) },
      lines: saved.trim().split('\n'),
    },
    { name: 'all agrees: nothing to do', save: saved, input: { wanted: wants([a, b]), isFirst: true }, lines: [] },
    {
      name: 'UDP with affinity',
      save: '',
      input: { wanted: wants([a], 'udp', 10800) },
      lines: [`-A -u ${vip} -s rr -p 10800`, `-a -u ${vip} -r ${a} -m -w 1`],
    },
    { name: 'SCTP', save: '', input: { wanted: wants([], 'sctp') }, lines: [`-A --sctp-service ${vip} -s rr`] },
    {
      name: 'affinity ends',
      save: saved.replace('rr', 'rr -p 5'),
      input: { wanted: wants([a, b]) },
      lines: [`-E -t ${vip} -s rr`],
    },
    {
      name: 'another scheduler, with its flag',
      save: saved,
      input: { wanted: wants([a, b]), scheduler: 'mh' },
      lines: [`-E -t ${vip} -s mh -b mh-port`],
    },
    {
      name: 'that scheduler is there already',
      save: saved.replace('-s rr', '-s mh -b mh-port'),
      input: { wanted: wants([a, b]), scheduler: 'mh' },
      lines: [],
    },
    {
      name: 'an idle real server goes at once',
      save: saved,
      input: { wanted: wants([a]) },
      lines: [`-d -t ${vip} -r ${b}`],
    },
    {
      name: 'a busy one only gets no new connections',
      save: saved,
      input: { wanted: wants([a]), connections: busy },
      lines: [`-e -t ${vip} -r ${b} -m -w 0`],
      draining: [drainKey(drain(b))],
    },
    {
      name: 'one that drains is left in peace',
      save: savedDrained,
      input: { wanted: wants([a]), connections: busy, draining: new Map([[drainKey(drain(b)), drain(b)]]) },
      lines: [],
      draining: [drainKey(drain(b))],
    },
    {
      name: 'one that drained goes',
      save: savedDrained,
      input: { wanted: wants([a]), draining: new Map([[drainKey(drain(b)), drain(b)]]) },
      lines: [`-d -t ${vip} -r ${b}`],
    },
    {
      name: 'one that drains over a restart is known by its place and its connections',
      save: savedDrained,
      input: { wanted: wants([a]), connections: busy, isFirst: true },
      lines: [],
      draining: [drainKey(drain(b))],
    },
    {
      name: 'one that drains and comes back is made anew',
      save: savedDrained,
      input: { wanted: wants([a, b]), connections: busy, draining: new Map([[drainKey(drain(b)), drain(b)]]) },
      lines: [`-d -t ${vip} -r ${b}`, `-a -t ${vip} -r ${b} -m -w 1`],
    },
    {
      name: 'the first sync trusts no weight',
      save: savedDrained,
      input: { wanted: wants([a, b]), isFirst: true },
      lines: [`-e -t ${vip} -r ${b} -m -w 1`],
    },
    { name: 'later ones do', save: savedDrained, input: { wanted: wants([a, b]) }, lines: [] },
    { name: 'an unknown virtual server goes', save: saved, input: {}, lines: [`-D -t ${vip}`] },
    { name: 'one of the other family stays', save: '-A -t [fd00::1]:80 -s rr\n', input: {}, lines: [] },
    { name: 'one by firewall mark is not ours', save: '-A -f 1 -s rr\n', input: {}, lines: [] },
  ])('$name', ({ save, input, lines, draining = [] }) => {
    expect(changes(save, input)).toEqual({ lines, draining });
  });

  it('drains TCP alone', () => {
    const save = `-A -u ${vip} -s rr\n-a -u ${vip} -r ${b} -m -w 1\n`;
    const connections = new Map([[drainKey({ server: { address: vip, protocol: 'udp' }, realServer: b }), 3]]);
    expect(changes(save, { wanted: wants([], 'udp'), connections }).lines).toEqual([`-d -u ${vip} -r ${b}`]);
  });

  it.each([
    { cidr: '10.0.0.0/24', family: 'IPv4', save: saved, lines: [] },
    { cidr: '10.9.0.0/24', family: 'IPv4', save: saved, lines: [`-D -t ${vip}`] },
    { cidr: 'fd00::/64', family: 'IPv6', save: '-A -t [fd00::1]:80 -s rr\n', lines: [] },
    { cidr: 'fd09::/64', family: 'IPv6', save: '-A -t [fd00::1]:80 -s rr\n', lines: ['-D -t [fd00::1]:80'] },
  ] as const)('with $cidr excluded, of $save: $lines', ({ cidr, family, save, lines }) => {
    const excluded = [parseCidr(cidr)].filter((range) => range !== undefined);
    expect(changes(save, { excluded, family }).lines).toEqual(lines);
  });
});
