/** A registry as a process of its own, inside a node: `registry-process.ts DIRECTORY PORT`. */
import { appendFileSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type RegistryRules, createRegistry } from '../../fakes/registry.ts';

const [directory = '', port = ''] = process.argv.slice(2);

createRegistry({
  archive: readFileSync(join(directory, 'images.tar')),
  rules: async () => JSON.parse(await readFile(join(directory, 'rules.json'), 'utf8')) as RegistryRules, // the test's
  onRequest: (text) => appendFileSync(join(directory, 'requests.log'), `${text}\n`),
}).listen(Number(port), '127.0.0.1', () => void writeFile(join(directory, 'ready'), ''));
