/**
 * Bytes that are nearly always UTF-8 as text, and back without loss: a byte that is no UTF-8 becomes a lone surrogate,
 * U+DC80 to U+DCFF, which no text has otherwise. So a binary secret goes through everything that is made for text.
 */
import { isUtf8 } from 'node:buffer';

const escapeBase = 0xdc00;

export function textOfBytes(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const length = characterLength(bytes, at);
    text +=
      length === 0
        ? String.fromCharCode(escapeBase + (bytes[at] ?? 0))
        : bytes.subarray(at, at + length).toString('utf8');
    at += Math.max(length, 1);
  }
  return text;
}

export function bytesOfText(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8');
  const parts: Buffer[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const isEscaped = code >= escapeBase + 0x80 && code <= escapeBase + 0xff;
    parts.push(isEscaped ? Buffer.from([code - escapeBase]) : Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
}

/** How many bytes the character at `at` has; 0 when what stands there is none. */
function characterLength(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const character = bytes.subarray(at, at + length);
  return character.length === length && isUtf8(character) ? length : 0;
}
