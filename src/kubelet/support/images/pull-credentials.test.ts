import { describe, expect, it } from 'vitest';
import type { Secret } from '../../../objects/generated/core-v1.ts';
import { credentialsFor } from './pull-credentials.ts';

const encode = (text: string): string => Buffer.from(text).toString('base64');
const config = (auths: Record<string, object>): Secret => ({
  metadata: { name: 's' },
  type: 'kubernetes.io/dockerconfigjson',
  data: { '.dockerconfigjson': encode(JSON.stringify({ auths })) },
});
const entry = (username: string): object => ({ username, password: `of ${username}` });
const users = (repository: string, ...secrets: Secret[]): string[] =>
  credentialsFor(repository, secrets).map(({ username }) => username);

describe('credentialsFor', () => {
  it.each([
    { name: 'the registry', keys: ['registry.test'], repository: 'registry.test/web', want: ['registry.test'] },
    {
      name: 'with a scheme and a path of the API',
      keys: ['https://registry.test/v2/'],
      repository: 'registry.test/web',
      want: ['https://registry.test/v2/'],
    },
    {
      name: 'the default registry by its old name',
      keys: ['https://index.docker.io/v1/'],
      repository: 'docker.io/library/web',
      want: ['https://index.docker.io/v1/'],
    },
    { name: 'another registry', keys: ['other.test'], repository: 'registry.test/web', want: [] },
    { name: 'another port', keys: ['registry.test'], repository: 'registry.test:5000/web', want: [] },
    {
      name: 'the longest first',
      keys: ['registry.test', 'registry.test/team'],
      repository: 'registry.test/team/web',
      want: ['registry.test/team', 'registry.test'],
    },
    { name: 'another path', keys: ['registry.test/other'], repository: 'registry.test/team/web', want: [] },
    { name: 'a star for one label', keys: ['*.test'], repository: 'registry.test/web', want: ['*.test'] },
    { name: 'a star is not two labels', keys: ['*.test'], repository: 'a.registry.test/web', want: [] },
    { name: 'a star in a label', keys: ['reg*.test'], repository: 'registry.test/web', want: ['reg*.test'] },
    { name: 'a dot is a dot', keys: ['registryxtest'], repository: 'registry.test/web', want: [] },
  ])('$name', ({ keys, repository, want }) => {
    expect(users(repository, config(Object.fromEntries(keys.map((key) => [key, entry(key)]))))).toEqual(want);
  });

  it('reads user and password from `auth`, with colons in the password', () => {
    expect(credentialsFor('r.test/web', [config({ 'r.test': { auth: encode('me:a:b') } })])).toEqual([
      { username: 'me', password: 'a:b' },
    ]);
  });

  it('reads the older form', () => {
    const secret: Secret = {
      metadata: { name: 's' },
      type: 'kubernetes.io/dockercfg',
      data: { '.dockercfg': encode(JSON.stringify({ 'r.test': entry('me') })) },
    };
    expect(users('r.test/web', secret)).toEqual(['me']);
  });

  it('keeps the order of the secrets among equals', () => {
    expect(users('r.test/web', config({ 'r.test': entry('first') }), config({ 'r.test': entry('second') }))).toEqual([
      'first',
      'second',
    ]);
  });

  it.each([
    { name: 'another type', secret: { ...config({ 'r.test': entry('me') }), type: 'Opaque' } },
    {
      name: 'no JSON',
      secret: {
        metadata: { name: 's' },
        type: 'kubernetes.io/dockerconfigjson',
        data: { '.dockerconfigjson': encode('{') },
      },
    },
    { name: 'nothing in it', secret: { metadata: { name: 's' }, type: 'kubernetes.io/dockerconfigjson' } },
    {
      name: 'null for the whole',
      secret: {
        metadata: { name: 's' },
        type: 'kubernetes.io/dockerconfigjson',
        data: { '.dockerconfigjson': encode('null') },
      },
    },
    {
      name: 'null for an entry',
      secret: {
        metadata: { name: 's' },
        type: 'kubernetes.io/dockerconfigjson',
        data: { '.dockerconfigjson': encode('{"auths":{"r.test":null}}') },
      },
    },
    { name: 'an entry without a password', secret: config({ 'r.test': { username: 'me' } }) },
  ])('a secret with $name fits nothing', ({ secret }) => expect(users('r.test/web', secret as Secret)).toEqual([]));
});
