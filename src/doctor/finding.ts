/** What a check found, and how it is shown. Pure. */

export interface Finding {
  /** Stable, for scripts: `cni.add`. */
  readonly id: string;
  readonly status: 'ok' | 'fail' | 'skipped';
  /** What is so, in one line. */
  readonly message: string;
  /** What mends it; only with `fail`. */
  readonly fix?: string;
}

export const ok = (id: string, message: string): Finding => ({ id, status: 'ok', message });
export const fail = (id: string, message: string, fix: string): Finding => ({ id, status: 'fail', message, fix });
export const skipped = (id: string, message: string): Finding => ({ id, status: 'skipped', message });

/** One line per finding; a failure ends with its fix. */
export function formatFindings(findings: readonly Finding[]): string {
  const width = Math.max(0, ...findings.map(({ id }) => id.length));
  const words = { ok: 'ok  ', fail: 'FAIL', skipped: 'skip' } as const;
  return findings
    .map(({ id, status, message, fix }) => {
      const end = fix === undefined ? '' : ` → ${oneLine(fix)}`;
      return `${words[status]}  ${id.padEnd(width)}  ${oneLine(message)}${end}\n`;
    })
    .join('');
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ').trim();
}
