/** A key pair for a pod, and the request that proves that we have it. */
import { type KeyObject, generateKeyPair, sign } from 'node:crypto';
import { promisify } from 'node:util';

export interface PodKey {
  /** PKCS#8 as PEM. */
  privateKey: string;
  /** PKCS#10 as DER: of no name, with nothing in it but the key. */
  request: Buffer;
}

const generate = promisify(generateKeyPair);

/** @throws {Error} in upstream's words for a kind of key that there is not */
export async function makePodKey(keyType: string): Promise<PodKey> {
  const { publicKey, privateKey } = await keyPair(keyType);
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    request: certificateRequest(publicKey, privateKey, keyType),
  };
}

async function keyPair(keyType: string): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  switch (keyType) {
    case 'RSA3072':
      return await generate('rsa', { modulusLength: 3072 });
    case 'RSA4096':
      return await generate('rsa', { modulusLength: 4096 });
    case 'ECDSAP256':
      return await generate('ec', { namedCurve: 'P-256' });
    case 'ECDSAP384':
      return await generate('ec', { namedCurve: 'P-384' });
    case 'ECDSAP521':
      return await generate('ec', { namedCurve: 'P-521' });
    case 'ED25519':
      return await generate('ed25519');
    default:
      throw new Error(`while generating keypair: unknown key type "${keyType}"`);
  }
}

/** How each kind of key signs: the digest, and the algorithm's identifier as DER. */
function signatureOf(keyType: string): { digest: string | null; identifier: Buffer } {
  const none = Buffer.from('0500', 'hex'); // NULL: RSA's has it, the others have no parameters
  if (keyType.startsWith('RSA'))
    return { digest: 'sha256', identifier: sequence(objectId('2a864886f70d01010b'), none) };
  if (keyType === 'ED25519') return { digest: null, identifier: sequence(objectId('2b6570')) };
  const [digest, last] = { ECDSAP384: ['sha384', '03'], ECDSAP521: ['sha512', '04'] }[keyType] ?? ['sha256', '02'];
  return { digest: digest ?? null, identifier: sequence(objectId(`2a8648ce3d0403${last}`)) };
}

/** RFC 2986, with an empty subject and no attributes. */
function certificateRequest(publicKey: KeyObject, privateKey: KeyObject, keyType: string): Buffer {
  const version = Buffer.from('020100', 'hex'); // INTEGER 0
  const attributes = Buffer.from('a000', 'hex'); // [0], none
  const info = sequence(version, sequence(), publicKey.export({ type: 'spki', format: 'der' }), attributes);
  const { digest, identifier } = signatureOf(keyType);
  const signature = sign(digest, info, privateKey);
  return sequence(info, identifier, tagged(0x03, Buffer.concat([Buffer.alloc(1), signature])));
}

const sequence = (...parts: Buffer[]): Buffer => tagged(0x30, Buffer.concat(parts));
const objectId = (hex: string): Buffer => tagged(0x06, Buffer.from(hex, 'hex'));

/** DER: tag, length, content. */
function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const bytes = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}
