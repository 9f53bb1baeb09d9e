import { expect, it } from 'vitest';
import { parseAddressesByLink } from './bound-addresses.ts';

it('reads addresses of both families, of interfaces that are down, too', () => {
  const json = `[
    {"ifname":"lo","flags":["UP"],"addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8},{"family":"inet6","local":"::1"}]},
    {"ifname":"kube-ipvs0","flags":["NOARP"],"operstate":"DOWN","addr_info":[{"family":"inet","local":"10.96.0.1","prefixlen":32}]},
    {"ifname":"eth0","addr_info":[]}, {}]`;
  expect([...parseAddressesByLink(json)]).toEqual([
    ['lo', ['127.0.0.1', '::1']],
    ['kube-ipvs0', ['10.96.0.1']],
    ['eth0', []],
  ]);
});
