import { describe, expect, it } from 'vitest';
import { type Payload, configMapPayload, downwardPayload, secretPayload } from './file-payload.ts';

const texts = (payload: Payload): Record<string, string> =>
  Object.fromEntries([...payload].map(([path, { data, mode }]) => [path, `${data.toString()} ${mode.toString(8)}`]));

describe('configMapPayload', () => {
  const configMap = { metadata: { name: 'm' }, data: { a: '1', b: '2' }, binaryData: { bin: 'AP8=', a: 'eA==' } };
  it.each([
    { name: 'all keys, text before binary', items: undefined, want: { a: '1 644', b: '2 644', bin: '\0\ufffd 644' } },
    { name: 'an empty list means all keys', items: [], want: { a: '1 644', b: '2 644', bin: '\0\ufffd 644' } },
    {
      name: 'items with path and mode',
      items: [
        { key: 'a', path: 'x/y', mode: 0o400 },
        { key: 'b', path: 'b' },
      ],
      want: { 'x/y': '1 400', b: '2 644' },
    },
  ])('$name', ({ items, want }) => {
    expect(texts(configMapPayload({ items }, configMap, 0o644))).toEqual(want);
  });

  it('binary content is kept byte for byte', () => {
    expect(configMapPayload({}, configMap, 0o644).get('bin')?.data).toEqual(Buffer.from([0, 0xff]));
  });

  it('a missing key is an error, unless optional', () => {
    const items = [{ key: 'k', path: 'k' }];
    expect(() => configMapPayload({ items }, configMap, 0o644)).toThrow(
      new Error('configmap references non-existent config key: k'),
    );
    expect(configMapPayload({ items, optional: true }, configMap, 0o644).size).toBe(0);
    expect(configMapPayload({ items, optional: true }, undefined, 0o644).size).toBe(0);
  });
});

it('secretPayload decodes, and names a missing key', () => {
  const secret = { metadata: { name: 's' }, data: { k: Buffer.from('geheim').toString('base64') } };
  expect(texts(secretPayload({}, secret, 0o400))).toEqual({ k: 'geheim 400' });
  expect(() => secretPayload({ items: [{ key: 'x', path: 'x' }] }, secret, 0o400)).toThrow(
    new Error('references non-existent secret key: x'),
  );
});

describe('downwardPayload', () => {
  const fields = {
    field: (path: string): string => {
      if (path.startsWith('status')) throw new Error(`unsupported fieldPath: ${path}`);
      return `<${path}>`;
    },
    resource: ({ resource }: { resource: string }): string => `[${resource}]`,
  };
  it('writes fields and resources', () => {
    const items = [
      { path: 'name', fieldRef: { fieldPath: 'metadata.name' }, mode: 0o600 },
      { path: 'd/cpu', resourceFieldRef: { resource: 'limits.cpu', containerName: 'c' } },
    ];
    expect(texts(downwardPayload(items, fields, 0o644))).toEqual({
      name: '<metadata.name> 600',
      'd/cpu': '[limits.cpu] 644',
    });
  });
  it('says all problems at once, in brackets', () => {
    const item = (path: string): { path: string; fieldRef: { fieldPath: string } } => ({
      path,
      fieldRef: { fieldPath: `status.${path}` },
    });
    expect(() => downwardPayload([item('a')], fields, 0o644)).toThrow(new Error('unsupported fieldPath: status.a'));
    expect(() => downwardPayload([item('a'), item('b')], fields, 0o644)).toThrow(
      new Error('[unsupported fieldPath: status.a, unsupported fieldPath: status.b]'),
    );
  });
});
