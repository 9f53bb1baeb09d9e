import { describe, expect, it } from 'vitest';
import { checkPlugin } from './check-plugin.ts';

const good = { name: 'disk.csi.example.com', endpoint: '/var/lib/kubelet/plugins/disk/csi.sock', versions: ['1.0.0'] };

describe('checkPlugin', () => {
  it.each([
    { what: 'a plain plugin', plugin: good, want: undefined },
    { what: 'no versions: for the handler to judge', plugin: { ...good, versions: [] }, want: undefined },
    { what: 'a resource name', plugin: { ...good, name: 'vendor.example/gpu' }, want: undefined },
    { what: 'no name', plugin: { ...good, name: '' }, want: '"" cannot be the name of a plugin' },
    { what: 'a name that climbs', plugin: { ...good, name: 'a/../../b' }, want: 'cannot be the name' },
    { what: 'a name with a line break', plugin: { ...good, name: 'a\nb' }, want: 'cannot be the name' },
    { what: 'a long name', plugin: { ...good, name: 'a'.repeat(254) }, want: 'cannot be the name' },
    { what: 'a relative socket', plugin: { ...good, endpoint: 'csi.sock' }, want: 'has no absolute path' },
    { what: 'a socket elsewhere', plugin: { ...good, endpoint: 'dns:///evil' }, want: 'has no absolute path' },
    { what: 'a long socket', plugin: { ...good, endpoint: `/${'a'.repeat(107)}` }, want: 'has no absolute path' },
    { what: 'a socket with a NUL', plugin: { ...good, endpoint: '/a\0b' }, want: 'has no absolute path' },
    { what: 'many versions', plugin: { ...good, versions: Array<string>(33).fill('1.0.0') }, want: 'more than 32' },
    { what: 'a long version', plugin: { ...good, versions: ['1'.repeat(65)] }, want: 'very long ones' },
  ])('$what', ({ plugin, want }) => {
    const check = (): void => checkPlugin(plugin);
    if (want === undefined) expect(check).not.toThrow();
    else expect(check).toThrow(want);
  });
});
