import { describe, expect, it } from 'vitest';
import { CniError, type CniNetworkList } from '../adapters/cni/cni-types.ts';
import { DeadlineError, NotFoundError } from '../base/errors.ts';
import { explainCni } from './explain-cni.ts';
import { formatFindings } from './finding.ts';

const list: CniNetworkList = {
  path: '/etc/cni/net.d/10.conflist',
  name: 'pods',
  cniVersion: '1.0.0',
  disableCheck: false,
  plugins: [],
};
const context = { list, binDirs: ['/opt/cni/bin'], leases: { directory: '/var/lib/cni/networks/pods', count: 253 } };

describe('explainCni', () => {
  it.each([
    {
      name: 'an exhausted pool tells how many leases there are, and where',
      err: new CniError(
        'plugin "bridge" ADD: no IP addresses available in range set: 10.0.0.1-10.0.0.2',
        'bridge',
        11,
        '',
      ),
      message: /pool of network "pods" is exhausted: 253 addresses are leased in \/var\/lib\/cni\/networks\/pods/,
      fix: /enlarge the range in "\/etc\/cni\/net.d\/10.conflist"/,
    },
    {
      name: 'a missing binary names the package',
      err: new NotFoundError('Cannot find CNI plugin "bridge" in /opt/cni/bin'),
      message: /"bridge" in \/opt\/cni\/bin/,
      fix: /apt-get install containernetworking-plugins/,
    },
    {
      name: 'a plugin that hangs',
      err: new DeadlineError('CNI plugin "bridge" ADD took longer than 30s'),
      message: /longer than 30s/,
      fix: /waits for/,
    },
    {
      name: 'an error of the configuration names the file',
      err: new CniError('plugin "bridge" ADD: unknown field', 'bridge', 7, ''),
      message: /unknown field/,
      fix: /correct "\/etc\/cni\/net.d\/10.conflist"/,
    },
  ])('$name', ({ err, message, fix }) => {
    const finding = explainCni('cni.add', err, context);
    expect(finding).toMatchObject({ id: 'cni.add', status: 'fail' });
    expect(finding.message).toMatch(message);
    expect(finding.fix).toMatch(fix);
  });
});

describe('formatFindings', () => {
  it('keeps a finding on one line, whatever a plugin printed', () => {
    const text = formatFindings([
      { id: 'a', status: 'ok', message: 'good' },
      { id: 'longer', status: 'fail', message: 'bad\n  very bad', fix: 'mend it' },
    ]);
    expect(text).toBe('ok    a       good\nFAIL  longer  bad very bad → mend it\n');
  });
});
