/** PEM text: what lies in its blocks, and the other way round. Pure. */

const block = /^-----BEGIN ([^\n-]+)-----[ \t\r]*\n([\s\S]*?)^-----END \1-----/gm;

/** The content of every block, whatever its type; headers, and text between blocks, are dropped, and so is what is no PEM. */
export function pemBlocks(text: string): Buffer[] {
  return [...text.matchAll(block)].flatMap(([, , body = '']) => {
    const lines = body.split('\n').map((line) => line.trim());
    const headersEnd = lines[0]?.includes(':') === true ? lines.indexOf('') : -1;
    const encoded = lines.slice(headersEnd + 1).join('');
    return /^[A-Za-z0-9+/]+={0,2}$/.test(encoded) ? [Buffer.from(encoded, 'base64')] : [];
  });
}

export function pemBlock(type: string, content: Buffer): string {
  const lines = content.toString('base64').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${type}-----`, ...lines, `-----END ${type}-----`, ''].join('\n');
}
