/** The kubelet's own chains alone, with the real tools: started by proxy-iptables.test.ts inside a network namespace. */
import { Iptables } from '../../src/adapters/iptables/iptables.ts';
import { systemClock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/logger.ts';
import { stopSignal } from '../../src/base/stop-signal.ts';
import { runFirewall } from '../../src/kubelet/support/firewall/firewall.ts';

const tools = { IPv4: new Iptables({ family: 'IPv4' }), IPv6: new Iptables({ family: 'IPv6' }) };
const log = createLogger({ name: 'kubelet', verbosity: 4, fd: 1 });
await runFirewall({ tools, clock: systemClock, log }, stopSignal());
process.exit(0);
