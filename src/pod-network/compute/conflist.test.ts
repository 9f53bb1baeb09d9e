import { describe, expect, it } from 'vitest';
import { podConflistName, podConflistText } from '../../adapters/cni/pod-conflist.ts';
import { planConflist } from './conflist.ts';

const podCidrs = ['10.244.1.0/24', 'fd00:1:0:1::/64'];
const wanted = podConflistText({ podCidrs, mtu: 1400 });
const own = { name: podConflistName, content: wanted };
const older = { name: podConflistName, content: podConflistText({ podCidrs, mtu: 1500 }) };
const cilium = { name: '05-cilium.conflist', content: '{"name":"cilium"}' };
const podman = { name: '87-podman.conflist', content: '{"name":"podman"}' };

describe('planConflist', () => {
  it.each([
    { name: 'an empty directory', files: [], want: { kind: 'write' } },
    { name: 'what is wanted already', files: [own], want: { kind: 'keep' } },
    { name: 'other inputs', files: [older], want: { kind: 'write' } },
    { name: 'files that no runtime reads', files: [{ name: '00-x.bak', content: '' }], want: { kind: 'write' } },
    { name: 'foreign, after ours', files: [podman], want: { kind: 'write' } },
    { name: 'foreign, first', files: [cilium], want: { kind: 'stand-back', foreign: '05-cilium.conflist' } },
    { name: 'foreign, first, ours there', files: [cilium, own], want: { kind: 'keep', foreign: '05-cilium.conflist' } },
    {
      name: 'foreign, first, broken',
      files: [{ ...cilium, content: '{' }],
      want: {
        kind: 'stand-back',
        foreign: '05-cilium.conflist',
        problem:
          '"05-cilium.conflist" comes first and is not JSON: the runtime cannot start pods until it is mended or removed',
      },
    },
    {
      name: 'our name, written by somebody else',
      files: [{ name: podConflistName, content: '{"name":"gantry"}' }],
      want: {
        kind: 'refuse',
        problem: '"10-gantry.conflist" was written by somebody else: remove it, and it will be written anew',
      },
    },
    {
      name: 'our name, torn',
      files: [{ name: podConflistName, content: wanted.slice(0, 40) }],
      want: {
        kind: 'refuse',
        problem:
          '"10-gantry.conflist" is not JSON, so nobody knows who wrote it: remove it, and it will be written anew',
      },
    },
  ])('$name', ({ files, want }) => {
    expect(planConflist(wanted, files)).toEqual(want);
  });
});
