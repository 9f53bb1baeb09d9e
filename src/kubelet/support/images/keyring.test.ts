import { describe, expect, it } from 'vitest';
import type { Secret } from '../../../objects/generated/core-v1.ts';
import { fittingCredentials, matchesImage, secretKeyring } from './keyring.ts';

const encode = (text: string): string => Buffer.from(text).toString('base64');
const config = (auths: Record<string, unknown>): Secret => ({
  metadata: { name: 's', namespace: 'ns', uid: 'u' },
  type: 'kubernetes.io/dockerconfigjson',
  data: { '.dockerconfigjson': encode(JSON.stringify({ auths })) },
});
const entry = (username: string): object => ({ username, password: `of ${username}` });
const users = (repository: string, ...secrets: Secret[]): string[] =>
  fittingCredentials(repository, secretKeyring(secrets)).map(({ credential }) => credential.username);

describe('matchesImage', () => {
  it.each([
    ['r.test', 'r.test/web', true],
    ['r.test', 'other.test/web', false],
    ['r.test', 'r.test:5000/web', false],
    ['r.test:5000', 'r.test:5000/web', true],
    ['r.test:5000', 'r.test/web', false],
    ['r.test:5000/team', 'r.test:5000/team/web', true],
    ['r.test/team', 'r.test/teams/web', true], // a prefix of the text, not of its parts
    ['r.test/other', 'r.test/team/web', false],
    ['r.test/team/web', 'r.test/team/web', true],
    ['*.test', 'r.test/web', true],
    ['*.test', 'a.r.test/web', false],
    ['*.*.test', 'a.r.test/web', true],
    ['*', 'localhost/web', true],
    ['r.*', 'r.test/web', true],
    ['reg*.test', 'registry.test/web', true],
    ['reg*.test', 'my.test/web', false],
    ['r?.test', 'r1.test/web', true],
    ['r[0-3].test', 'r1.test/web', true],
    ['r[0-3].test', 'r4.test/web', false],
    ['r[^0].test', 'r4.test/web', true],
    ['r[z-a].test', 'rb.test/web', false],
    ['*.test/te*m', 'r.test/team/web', false], // no patterns in paths
    ['rxtest', 'r.test/web', false],
    ['r+.test', 'rr.test/web', false],
  ])('%s for %s: %s', (pattern, repository, want) => expect(matchesImage(pattern, repository)).toBe(want));
});

describe('fittingCredentials', () => {
  it.each([
    {
      name: 'with a scheme and a path of the API',
      keys: ['https://r.test/v2/'],
      repository: 'r.test/web',
      want: ['https://r.test/v2/'],
    },
    {
      name: 'with http',
      keys: ['http://r.test/v1/team'],
      repository: 'r.test/team/web',
      want: ['http://r.test/v1/team'],
    },
    {
      name: 'the default registry by its old name',
      keys: ['https://index.docker.io/v1/'],
      repository: 'docker.io/library/web',
      want: ['https://index.docker.io/v1/'],
    },
    {
      name: 'the default registry by its new name first, and then alone',
      keys: ['https://index.docker.io/v1/', 'docker.io'],
      repository: 'docker.io/library/web',
      want: ['docker.io'],
    },
    { name: 'the old name fits no other registry', keys: ['index.docker.io'], repository: 'r.test/web', want: [] },
    {
      name: 'the more specific first',
      keys: ['r.test', '*.test', 'r.test/team', 'r.test/team/web'],
      repository: 'r.test/team/web',
      want: ['r.test/team/web', 'r.test/team', 'r.test', '*.test'],
    },
  ])('$name', ({ keys, repository, want }) => {
    expect(users(repository, config(Object.fromEntries(keys.map((key) => [key, entry(key)]))))).toEqual(want);
  });

  it('keeps the order of the secrets among equals, and knows whose each is', () => {
    const second = {
      ...config({ 'https://r.test': entry('second') }),
      metadata: { name: 't', namespace: 'ns', uid: 'v' },
    };
    const found = fittingCredentials('r.test/web', secretKeyring([config({ 'r.test': entry('first') }), second]));
    expect(found.map(({ credential }) => credential.username)).toEqual(['first', 'second']);
    expect(found[1]?.origin).toMatchObject({ kind: 'secret', secret: { uid: 'v', namespace: 'ns', name: 't' } });
  });

  it('the same credential has the same hash wherever it is kept, another one another', () => {
    const hashOf = (secret: Secret): unknown => secretKeyring([secret]).map(({ origin }) => origin);
    const one = hashOf(config({ 'r.test': entry('me') }));
    expect(hashOf(config({ 'other.test': { auth: encode('me:of me') } }))).toEqual(one);
    expect(hashOf(config({ 'r.test': { username: 'me', password: 'x' } }))).not.toEqual(one);
    expect(JSON.stringify(one)).not.toContain('of me');
  });
});

describe('secrets', () => {
  it.each([
    { name: 'user and password', value: entry('me'), want: { username: 'me', password: 'of me' } },
    {
      name: 'auth, with colons in the password',
      value: { auth: encode('me:a:b') },
      want: { username: 'me', password: 'a:b' },
    },
    { name: 'auth without padding', value: { auth: 'bWU6YQ' }, want: { username: 'me', password: 'a' } },
    {
      name: 'auth before user and password',
      value: { auth: encode('me:a'), username: 'other', password: 'x' },
      want: { username: 'me', password: 'a' },
    },
    { name: 'nothing but an empty auth', value: { auth: '' }, want: undefined },
    { name: 'an auth without a colon', value: { auth: encode('me') }, want: undefined },
    { name: 'an entry without a password', value: { username: 'me' }, want: undefined },
    { name: 'null for an entry', value: null, want: undefined },
  ])('$name', ({ value, want }) =>
    expect(fittingCredentials('r.test/web', secretKeyring([config({ 'r.test': value })]))[0]?.credential).toEqual(want),
  );

  it('the older form', () => {
    const secret: Secret = {
      metadata: { name: 's' },
      type: 'kubernetes.io/dockercfg',
      data: { '.dockercfg': encode(JSON.stringify({ 'r.test': entry('me') })) },
    };
    expect(users('r.test/web', secret)).toEqual(['me']);
  });

  it.each([
    { name: 'another type', type: 'Opaque', text: '{"auths":{"r.test":{"username":"a","password":"b"}}}' },
    { name: 'no JSON', text: '{' },
    { name: 'nothing', text: '' },
    { name: 'null for the whole', text: 'null' },
    { name: 'a list for the whole', text: '[]' },
    { name: 'a text for its auths', text: '{"auths":"r.test"}' },
  ])('a secret with $name fits nothing', ({ type = 'kubernetes.io/dockerconfigjson', text }) =>
    expect(users('r.test/web', { metadata: { name: 's' }, type, data: { '.dockerconfigjson': encode(text) } })).toEqual(
      [],
    ),
  );
});
