import { expect, it } from 'vitest';
import type { MountEntry } from '../../../adapters/mounts/mounts.ts';
import { otherReferences } from './other-references.ts';

const entry = (target: string, device = '8:1', root = '/'): MountEntry => ({
  id: 1,
  device,
  root,
  target,
  options: [],
  propagation: [],
  fsType: 'ext4',
  source: '/dev/sda1',
  superOptions: [],
});
const path = '/var/lib/kubelet/plugins/kubernetes.io/local-volume/mounts/pv';

it.each<[string, MountEntry[], string[]]>([
  ['alone', [entry(path)], []],
  ['not mounted', [entry('/elsewhere')], []],
  ['in a pod', [entry(path), entry('/var/lib/kubelet/pods/u/volumes/x/pv')], ['/var/lib/kubelet/pods/u/volumes/x/pv']],
  ['the same place seen through another root', [entry(path), entry(`/rootfs${path}`)], []],
  ['another directory of it is another thing', [entry(path), entry('/mnt', '8:1', '/sub')], []],
  ['another device', [entry(path), entry('/mnt', '8:2')], []],
])('%s', (_, entries, want) => {
  expect(otherReferences(entries, path)).toEqual(want);
});
