import { describe, expect, it } from 'vitest';
import { decodeProtobuf } from './decode-protobuf.ts';

/** One field of a message: a number, a text or a message. */
function field(number: number, value: number | string | Buffer): Buffer {
  if (typeof value === 'number') return Buffer.concat([varint(number << 3), varint(value)]);
  const bytes = Buffer.from(value);
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest >= 128 ? (rest % 128) | 0x80 : rest);
    if (rest < 128) return Buffer.from(bytes);
  }
}

const message = (...fields: Buffer[]): Buffer => Buffer.concat(fields);

function envelope(apiVersion: string, kind: string, raw: Buffer): Buffer {
  const typeMeta = message(field(1, apiVersion), field(2, kind));
  return message(Buffer.from([0x6b, 0x38, 0x73, 0]), field(1, typeMeta), field(2, raw));
}

describe('decodeProtobuf', () => {
  it('reads maps, times, quantities, bytes and parts that JSON writes into their parent', () => {
    const meta = message(
      field(1, 'p'),
      field(2, ''),
      field(8, message(field(1, 1_767_225_600), field(2, 0))),
      field(11, message(field(1, 'app'), field(2, 'web'))),
    );
    const limits = message(field(1, 'cpu'), field(2, message(field(1, '500m'))));
    const container = message(field(1, 'c'), field(2, 'x'), field(8, message(field(1, limits))));
    const secret = message(field(1, 's'));
    const volume = message(field(1, 'v'), field(2, message(field(6, secret))));
    const spec = message(field(1, volume), field(2, container), field(4, 0), field(11, 0));
    expect(decodeProtobuf(envelope('v1', 'Pod', message(field(1, meta), field(2, spec))))).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', creationTimestamp: '2026-01-01T00:00:00Z', labels: { app: 'web' } },
      spec: {
        volumes: [{ name: 'v', secret: { secretName: 's' } }],
        containers: [{ name: 'c', image: 'x', resources: { limits: { cpu: '500m' } } }],
        terminationGracePeriodSeconds: 0,
        hostNetwork: false,
      },
    });
  });

  it.each([
    ['a body without the magic', Buffer.from('{}'), 'does not appear to be a protobuf message'],
    [
      'a kind that is not served',
      envelope('x/v1', 'Y', Buffer.alloc(0)),
      'no kind "Y" is registered for version "x/v1"',
    ],
    ['a body that ends too soon', envelope('v1', 'Pod', Buffer.from([0x0a, 0x7f, 0x01])), 'the message ends too soon'],
  ])('%s is refused', (_, body, text) => {
    expect(() => decodeProtobuf(body)).toThrow(text);
  });
});
