/**
 * Bodies in Kubernetes' protobuf form as plain JSON values: typed clients send these. Numbers of fields come from a
 * generated table, on first use. Empty strings are dropped, for the wire cannot tell them from absent ones.
 */
import { rfc3339Seconds } from '../../base/clock.ts';
import type { JsonObject } from '../resources/api-object.ts';
import { protobufText } from '../resources/generated/protobuf.ts';
import { typeNamed, typeOfKind } from '../resources/schema.ts';
import { badRequest } from '../resources/status-error.ts';

interface ProtoField {
  name: string;
  type: string;
  shape: 'one' | 'list' | 'map';
}

const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00]);
/** A zero `time.Time`: year 1. */
const zeroTimeSeconds = -62_135_596_800;
/** Here an empty string means something else than none. */
const keptWhenEmpty = new Set(['storageClassName']);
const depthMax = 64;

let messages: Map<string, Map<number, ProtoField>> | undefined;

function fieldsOf(message: string): Map<number, ProtoField> {
  if (messages === undefined) {
    messages = new Map();
    for (const line of protobufText.split('\n')) {
      const [name = '', ...fields] = line.split(' ');
      const byNumber = new Map<number, ProtoField>();
      for (const text of fields) {
        const [number = '', field = '', type = ''] = text.split('~');
        const shape = type.startsWith('*') ? 'list' : type.startsWith('%') ? 'map' : 'one';
        byNumber.set(Number(number), { name: field, type: shape === 'one' ? type : type.slice(1), shape });
      }
      messages.set(name, byNumber);
    }
  }
  return messages.get(message) ?? new Map();
}

/** @throws {StatusError} 400 when the bytes are no such message */
export function decodeProtobuf(body: Buffer): JsonObject {
  if (!body.subarray(0, 4).equals(magic)) {
    throw badRequest('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]');
  }
  try {
    const envelope = readFields(body.subarray(4));
    const typeMeta = readFields(bytesOf(envelope, 1));
    const apiVersion = bytesOf(typeMeta, 1).toString('utf8');
    const kind = bytesOf(typeMeta, 2).toString('utf8');
    const type = kind === 'DeleteOptions' ? typeNamed('meta.v1.DeleteOptions') : typeOfKind(apiVersion, kind);
    if (type === undefined) throw badRequest(`no kind "${kind}" is registered for version "${apiVersion}"`);
    return { ...decodeMessage(bytesOf(envelope, 2), type.name, 0), apiVersion, kind };
  } catch (err) {
    if (err instanceof RangeError) throw badRequest(`the protobuf body cannot be read: ${err.message}`);
    throw err;
  }
}

/** A field as it stands on the wire: a number, or bytes. */
interface WireField {
  number: number;
  value: bigint | Buffer;
}

function bytesOf(fields: readonly WireField[], number: number): Buffer {
  const found = fields.findLast((field) => field.number === number)?.value;
  return Buffer.isBuffer(found) ? found : Buffer.alloc(0);
}

/** @throws {RangeError} when the bytes end too soon */
function readFields(bytes: Buffer): WireField[] {
  const fields: WireField[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('a number is too long');
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >>> 3;
    switch (tag & 7) {
      case 0:
        fields.push({ number, value: varint() });
        break;
      case 1:
        fields.push({ number, value: take(8) });
        break;
      case 2:
        fields.push({ number, value: take(Number(varint())) });
        break;
      case 5:
        fields.push({ number, value: take(4) });
        break;
      default:
        throw new RangeError(`unknown wire type ${tag & 7}`);
    }
  }
  return fields;

  function take(length: number): Buffer {
    if (at + length > bytes.length) throw new RangeError('the message ends too soon');
    at += length;
    return bytes.subarray(at - length, at);
  }
}

function decodeMessage(bytes: Buffer, message: string, depth: number): JsonObject {
  if (depth > depthMax) throw new RangeError('the message is nested too deeply');
  const known = fieldsOf(message);
  const type = typeNamed(message);
  const out: JsonObject = {};
  for (const { number, value } of readFields(bytes)) {
    const field = known.get(number);
    if (field === undefined) continue; // a newer client's field: the wire has no name for it
    const { name, shape } = field;
    if (shape === 'map') {
      const entry = readFields(Buffer.isBuffer(value) ? value : Buffer.alloc(0));
      const map: JsonObject = (out[name] ??= {}) as JsonObject; // made right here
      const item = entry.findLast((one) => one.number === 2)?.value ?? Buffer.alloc(0);
      map[bytesOf(entry, 1).toString('utf8')] = decodeValue(item, field.type, depth) ?? '';
    } else if (shape === 'list') {
      const list: unknown[] = (out[name] ??= []) as unknown[]; // made right here
      list.push(decodeValue(value, field.type, depth) ?? '');
    } else {
      const decoded = decodeValue(value, field.type, depth);
      const isInlined = type !== undefined && !type.fields.has(name) && typeof decoded === 'object';
      if (isInlined) Object.assign(out, decoded);
      else if (decoded !== undefined && (decoded !== '' || keptWhenEmpty.has(name))) out[name] = decoded;
    }
  }
  return out;
}

function decodeValue(value: bigint | Buffer, type: string, depth: number): unknown {
  if (typeof value === 'bigint') {
    if (type === 'bool') return value !== 0n;
    return Number(BigInt.asIntN(64, value));
  }
  switch (type) {
    case 'string':
      return value.toString('utf8');
    case 'bytes':
      return value.toString('base64');
    case 'double':
      return value.readDoubleLE(0);
    case 'list':
      return readFields(value)
        .filter(({ number }) => number === 1)
        .map((item) => (Buffer.isBuffer(item.value) ? item.value.toString('utf8') : ''));
    case 'Quantity':
      return bytesOf(readFields(value), 1).toString('utf8') || '0';
    case 'IntOrString':
      return decodeIntOrString(value);
    case 'RawExtension':
    case 'meta.v1.FieldsV1':
      return JSON.parse(bytesOf(readFields(value), 1).toString('utf8') || 'null');
    case 'meta.v1.Time':
    case 'meta.v1.MicroTime':
      return decodeTime(value, type === 'meta.v1.MicroTime');
    default:
      return decodeMessage(value, type, depth + 1);
  }
}

function numberOf(fields: readonly WireField[], number: number): number {
  const found = fields.findLast((field) => field.number === number)?.value;
  return typeof found === 'bigint' ? Number(BigInt.asIntN(64, found)) : 0;
}

function decodeIntOrString(bytes: Buffer): number | string {
  const fields = readFields(bytes);
  return numberOf(fields, 1) === 0 ? numberOf(fields, 2) : bytesOf(fields, 3).toString('utf8');
}

function decodeTime(bytes: Buffer, isMicro: boolean): string | undefined {
  const fields = readFields(bytes);
  const seconds = numberOf(fields, 1);
  if (fields.length === 0 || seconds === zeroTimeSeconds || seconds === 0) return undefined;
  const whole = rfc3339Seconds(seconds * 1000);
  if (!isMicro) return whole;
  const micros = Math.floor(numberOf(fields, 2) / 1000);
  return `${whole.slice(0, -1)}.${String(micros).padStart(6, '0')}Z`;
}
