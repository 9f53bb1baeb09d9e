import { describe, expect, it } from 'vitest';
import { parseNetworkError } from './parse-network-error.ts';

const id = '0123abc';
const rpc = 'rpc error: code = Unknown desc = ';

describe('parseNetworkError', () => {
  it.each([
    {
      name: 'containerd, a plugin that has no address left',
      text: `${rpc}failed to setup network for sandbox "${id}": plugin type="bridge" failed (add): failed to allocate for range 0: no IP addresses available in range set: 10.0.0.1-10.0.0.1`,
      by: 'network plugin "bridge"',
      words: 'failed to allocate for range 0: no IP addresses available in range set: 10.0.0.1-10.0.0.1',
    },
    {
      name: 'containerd, a plugin of a list with a name',
      text: `${rpc}failed to set up network for sandbox "${id}": plugin type="calico" name="k8s" failed (add): stat /var/lib/calico/nodename: no such file or directory`,
      by: 'network plugin "calico"',
      words: 'stat /var/lib/calico/nodename: no such file or directory',
    },
    {
      name: 'containerd, the way down',
      text: `${rpc}failed to destroy network for sandbox "${id}": plugin type="portmap" failed (delete): iptables is locked`,
      by: 'network plugin "portmap"',
      words: 'iptables is locked',
    },
    {
      name: 'CRI-O',
      text: `${rpc}failed to create pod network sandbox k8s_web_ns_uid_0(${id}): error adding pod ns_web to CNI network "crio": plugin type="bridge" failed (add): link not found`,
      by: 'network plugin "bridge"',
      words: 'link not found',
    },
    {
      name: 'a plugin that is not installed',
      text: `${rpc}failed to setup network for sandbox "${id}": failed to find plugin "loopback" in path [/opt/cni/bin]`,
      by: 'network (CNI)',
      words: 'failed to find plugin "loopback" in path [/opt/cni/bin]',
    },
    {
      name: 'a plugin that says nothing',
      text: `${rpc}failed to setup network for sandbox "${id}": netplugin failed with no error message: signal: killed`,
      by: 'network (CNI)',
      words: 'netplugin failed with no error message: signal: killed',
    },
    {
      name: 'no network at all',
      text: `${rpc}failed to setup network for sandbox "${id}": cni plugin not initialized`,
      by: 'network (CNI)',
      words: 'cni plugin not initialized',
    },
    { name: 'something else', text: `${rpc}failed to get sandbox image "pause": not found` },
    { name: 'words of ours in an image name', text: `${rpc}failed to get sandbox image "network/plugin": not found` },
    { name: 'nothing', text: '' },
  ])('$name', ({ text, by, words }) => {
    expect(parseNetworkError(text)).toEqual(by === undefined ? undefined : { by, words });
  });
});
