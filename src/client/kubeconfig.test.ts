import { describe, expect, it } from 'vitest';
import { parseKubeconfig } from './kubeconfig.ts';

const config = (cluster: string, user: string, more = ''): string =>
  `apiVersion: v1
kind: Config
current-context: main
contexts: [{name: main, context: {cluster: c, user: u${more}}}]
clusters: [{name: c, cluster: {${cluster}}}]
users: [{name: u, user: {${user}}}]
`;

describe('parseKubeconfig', () => {
  it('reads inline data and files relative to the kubeconfig', () => {
    const text = config(
      'server: "https://10.0.0.1:6443/", certificate-authority-data: Y2E=, tls-server-name: api',
      'client-certificate: pki/node.pem, client-key: /abs/node.key',
      ', namespace: team',
    );
    expect(parseKubeconfig(text, '/etc/kubernetes/kubelet.conf')).toEqual({
      server: 'https://10.0.0.1:6443',
      ca: { data: Buffer.from('ca') },
      clientCertificate: { cert: { file: '/etc/kubernetes/pki/node.pem' }, key: { file: '/abs/node.key' } },
      token: undefined,
      tlsServerName: 'api',
      insecureSkipTlsVerify: false,
      namespace: 'team',
    });
  });

  it.each([
    { name: 'a token file wins over a token', user: 'token: a, tokenFile: t', want: { file: '/etc/t' } },
    { name: 'a token', user: 'token: a', want: { value: 'a' } },
    { name: 'nobody', user: '', want: undefined },
  ])('$name', ({ user, want }) => {
    expect(parseKubeconfig(config('server: "https://a"', user), '/etc/conf').token).toEqual(want);
  });

  it.each([
    { name: 'no YAML', text: '{', want: 'no YAML' },
    { name: 'empty', text: '', want: 'empty' },
    { name: 'another kind', text: 'kind: Pod', want: 'kind must be "Config"' },
    { name: 'no current context', text: 'kind: Config', want: 'current-context is not set' },
    { name: 'unknown context', text: 'current-context: x', want: 'contexts has no "x"' },
    { name: 'no server', text: config('', ''), want: 'clusters["c"].server' },
    { name: 'exec plugin', text: config('server: "https://a"', 'exec: {command: x}'), want: 'users["u"].exec' },
    {
      name: 'half a certificate',
      text: config('server: "https://a"', 'client-key: k'),
      want: 'without client-certificate',
    },
    { name: 'bad base64', text: config('server: "https://a", certificate-authority-data: "*"', ''), want: 'no base64' },
    { name: 'a proxy', text: config('server: "https://a", proxy-url: "http://p"', ''), want: 'proxy-url' },
  ])('names what is wrong: $name', ({ text, want }) => {
    expect(() => parseKubeconfig(text, '/etc/conf')).toThrow(want);
    expect(() => parseKubeconfig(text, '/etc/conf')).toThrow('"/etc/conf"');
  });
});
