import { describe, expect, it } from 'vitest';
import { parseCredentialProviders } from './credential-provider-config.ts';

const parseDurationMs = (text: string): number | undefined =>
  /^\d+s$/.test(text) ? Number.parseInt(text, 10) * 1000 : undefined;
const parse = (...texts: string[]): ReturnType<typeof parseCredentialProviders> =>
  parseCredentialProviders(
    texts.map((text, i) => ({ path: `f${i}`, text })),
    { parseDurationMs },
  );

const whole = `apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: ecr
  matchImages: ["*.dkr.ecr.*.amazonaws.com", "r.test:5000/team"]
  defaultCacheDuration: 60s
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  args: [get]
  env: [{name: A, value: b}]
`;
const tokens = `  tokenAttributes:
    serviceAccountTokenAudience: registry
    cacheType: Token
    requireServiceAccount: true
    requiredServiceAccountAnnotationKeys: [a]
    optionalServiceAccountAnnotationKeys: [b]
`;

describe('parseCredentialProviders', () => {
  it('reads everything that a file may say', () => {
    expect(parse(whole + tokens, whole.replace('ecr', 'other'))).toEqual({
      problems: [],
      providers: [
        {
          name: 'ecr',
          matchImages: ['*.dkr.ecr.*.amazonaws.com', 'r.test:5000/team'],
          defaultCacheMs: 60_000,
          apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
          args: ['get'],
          env: [{ name: 'A', value: 'b' }],
          tokens: {
            audience: 'registry',
            cacheType: 'Token',
            requireServiceAccount: true,
            requiredAnnotations: ['a'],
            optionalAnnotations: ['b'],
          },
        },
        expect.objectContaining({ name: 'other', tokens: undefined }),
      ],
    });
  });

  it.each([
    {
      name: 'another kind',
      from: 'CredentialProviderConfig',
      to: 'KubeletConfiguration',
      want: 'f0: expected apiVersion kubelet.config.k8s.io/v1, kind CredentialProviderConfig',
    },
    { name: 'no YAML', from: 'providers:', to: 'providers: [', want: /^f0: / },
    {
      name: 'no name',
      from: 'name: ecr',
      to: 'name: ""',
      want: /providers\[0\]: name: "" must be the name of a program/,
    },
    {
      name: 'a path for a name',
      from: 'name: ecr',
      to: 'name: ../ecr',
      want: /name: "..\/ecr" must be the name of a program/,
    },
    {
      name: 'a pattern with a scheme',
      from: 'r.test:5000/team',
      to: 'https://r.test',
      want: /matchImages: "https:\/\/r.test" is not a pattern/,
    },
    {
      name: 'no patterns',
      from: '["*.dkr.ecr.*.amazonaws.com", "r.test:5000/team"]',
      to: '[]',
      want: /at least 1 item in matchImages is required/,
    },
    { name: 'no duration', from: '60s', to: 'long', want: /defaultCacheDuration: "long" must be a duration/ },
    {
      name: 'another version',
      from: 'credentialprovider.kubelet.k8s.io/v1',
      to: 'v2',
      want: /apiVersion: "v2" must be one of/,
    },
    { name: 'a number for an argument', from: '[get]', to: '[1]', want: /args: 1 must be a text/ },
    { name: 'a field that nobody knows', from: 'args:', to: 'arguments:', want: /unknown field "arguments"/ },
    {
      name: 'a cache type that is none',
      from: 'cacheType: Token',
      to: 'cacheType: Pod',
      want: /tokenAttributes: cacheType: "Pod" must be/,
    },
    {
      name: 'no word about the account',
      from: '    requireServiceAccount: true\n',
      to: '',
      want: /requireServiceAccount: it must be true or false/,
    },
    {
      name: 'annotations of no account',
      from: 'requireServiceAccount: true',
      to: 'requireServiceAccount: false',
      want: /it needs requireServiceAccount: true/,
    },
    { name: 'annotations twice', from: 'Keys: [b]', to: 'Keys: [a]', want: /both required and optional: a/ },
    {
      name: 'no audience',
      from: 'Audience: registry',
      to: 'Audience: ""',
      want: /serviceAccountTokenAudience: it is required/,
    },
    {
      name: 'tokens for an older plugin',
      from: 'kubelet.k8s.io/v1\n  args',
      to: 'kubelet.k8s.io/v1beta1\n  args',
      want: /tokenAttributes: it is only supported for/,
    },
  ])('names what is wrong: $name', ({ from, to, want }) => {
    const text = whole + tokens;
    expect(text).toContain(from);
    expect(parse(text.replace(from, to)).problems.join('; ')).toMatch(want);
  });

  it('a name may be used once, over all files', () => {
    expect(parse(whole, whole).problems).toEqual([
      'duplicate provider name "ecr" in --image-credential-provider-config',
    ]);
  });
});
