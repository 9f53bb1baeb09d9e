/** Keeps the inputs of the tools that the proxy calls, so that the tools can be timed alone on the very same. */
import { chmod, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecordedInput } from './replay-rules.ts';

/** Each with the words of its calls that read rules from their standard input. */
const tools = { 'iptables-restore': '*', 'ip6tables-restore': '*', nft: '*-f*' };

/** Tools of the same names that write their input to `directory` on its way. Returns the folder to be put on the PATH. */
export async function makeRecorders(directory: string): Promise<string> {
  const bin = join(directory, 'bin');
  await mkdir(bin, { recursive: true });
  for (const [tool, pattern] of Object.entries(tools)) {
    const path = join(bin, tool);
    await writeFile(
      path,
      `#!/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
case "$*" in
${pattern})
  name="${directory}/$(date +%s%N)-${tool}"
  for arg in "$@"; do echo "$arg"; done > "$name.args"
  tee "$name.input" | ${tool} "$@" ;;
*) exec ${tool} "$@" ;;
esac
`,
    );
    await chmod(path, 0o755);
  }
  return bin;
}

/** What has been recorded so far, in the order of the calls. */
export async function recordedInputs(directory: string): Promise<RecordedInput[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.input')).toSorted();
  return Promise.all(
    names.map(async (name) => {
      const base = name.slice(0, -'.input'.length);
      const args = (await readFile(join(directory, `${base}.args`), 'utf8')).split('\n').slice(0, -1);
      return { tool: base.slice(base.indexOf('-') + 1), args, path: join(directory, name) };
    }),
  );
}
