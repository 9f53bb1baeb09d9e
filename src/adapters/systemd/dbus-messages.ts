/**
 * Messages of D-Bus as bytes and back: calls go out, replies, errors and signals come in. Pure.
 *
 * @see https://dbus.freedesktop.org/doc/dbus-specification.html#message-protocol-messages
 */
import { DbusReader, type DbusValue, DbusWriter } from './dbus-values.ts';

export interface DbusCall {
  destination: string;
  path: string;
  interface: string;
  member: string;
  signature: string;
  body: readonly DbusValue[];
}

export interface DbusMessage {
  kind: 'call' | 'reply' | 'error' | 'signal';
  /** Of the call that this answers. */
  replySerial: number | undefined;
  member: string | undefined;
  errorName: string | undefined;
  /** Types of the body, `''` without one. */
  signature: string;
  body: Buffer;
}

const kinds = ['call', 'reply', 'error', 'signal'] as const;
const field = { path: 1, interface: 2, member: 3, errorName: 4, replySerial: 5, destination: 6, signature: 8 };
/** Bytes before the header fields: form, kind, flags, version, length of the body, serial, length of the fields. */
const fixedBytes = 16;
/** systemd says no more about a unit than fits many times; the protocol's own bound is 128 MiB. */
const maxBytes = 16 * 1024 * 1024;

export function encodeCall(serial: number, call: DbusCall): Buffer {
  const body = new DbusWriter();
  body.write(call.signature, call.body);
  const fields: DbusValue[] = [
    [field.path, { type: 'o', value: call.path }],
    [field.interface, { type: 's', value: call.interface }],
    [field.member, { type: 's', value: call.member }],
    [field.destination, { type: 's', value: call.destination }],
    ...(call.signature === '' ? [] : [[field.signature, { type: 'g', value: call.signature }]]),
  ];
  const message = new DbusWriter();
  message.write('yyyyuua(yv)', ['l'.charCodeAt(0), 1, 0, 1, body.length, serial, fields]);
  message.align(8);
  return Buffer.concat([message.toBuffer(), body.toBuffer()]);
}

/**
 * The first message in `bytes` and how many of them it takes; undefined while it is incomplete.
 * @throws {RangeError} when this is no D-Bus that we speak
 */
export function decodeMessage(bytes: Buffer): { message: DbusMessage; length: number } | undefined {
  if (bytes.length < fixedBytes) return undefined;
  if (bytes[0] !== 'l'.charCodeAt(0)) throw new RangeError('the other side does not speak little-endian D-Bus');
  const bodyLength = bytes.readUInt32LE(4);
  const fieldsEnd = fixedBytes + bytes.readUInt32LE(12);
  const bodyStart = Math.ceil(fieldsEnd / 8) * 8;
  const length = bodyStart + bodyLength;
  if (length > maxBytes) throw new RangeError(`a D-Bus message of ${length} bytes is too long`);
  if (bytes.length < length) return undefined;

  const kind = kinds[(bytes[1] ?? 0) - 1];
  if (kind === undefined) throw new RangeError(`a D-Bus message is of the unknown kind ${bytes[1]}`);
  const [fields] = new DbusReader(bytes.subarray(0, fieldsEnd), 12).read('a(yv)');
  const known = new Map<DbusValue | undefined, DbusValue>();
  for (const one of Array.isArray(fields) ? fields : []) {
    const [code, variant] = Array.isArray(one) ? one : [];
    if (variant !== undefined && typeof variant === 'object' && 'value' in variant) known.set(code, variant.value);
  }
  const text = (code: number): string | undefined => {
    const value = known.get(code);
    return typeof value === 'string' ? value : undefined;
  };
  const serial = known.get(field.replySerial);
  const message: DbusMessage = {
    kind,
    replySerial: typeof serial === 'number' ? serial : undefined,
    member: text(field.member),
    errorName: text(field.errorName),
    signature: text(field.signature) ?? '',
    body: Buffer.from(bytes.subarray(bodyStart, length)), // a copy: the rest is not kept for it
  };
  return { message, length };
}

export function decodeBody({ signature, body }: Pick<DbusMessage, 'signature' | 'body'>): DbusValue[] {
  return new DbusReader(body).read(signature);
}
