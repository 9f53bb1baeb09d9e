/** Makes, limits or stops a slice from inside a node: systemd answers nobody else. Prints what came of it. */
import { Systemd } from '../../../src/adapters/systemd/systemd.ts';
import { systemClock } from '../../../src/base/clock.ts';

const [version = '', what = '', path = '', limits = '{}'] = process.argv.slice(2);
const systemd = new Systemd(version === '1' ? 1 : 2, systemClock);
const { signal } = new AbortController();
if (what === 'start') console.log(await systemd.startSlice(path, JSON.parse(limits), signal));
else if (what === 'limit') await systemd.limitSlice(path, JSON.parse(limits), signal);
else {
  await systemd.stopSlice(path, signal);
  await systemd.stopSlice(path, signal); // twice is success
}
console.log(`owned ${await systemd.isOwned(path)}`);
