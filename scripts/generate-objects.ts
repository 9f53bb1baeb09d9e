/**
 * Writes `src/objects/generated/<group>-<version>.ts` from the field table `src/objects/facts/api-schema.tsv`:
 * plain interfaces, no run-time cost. Run with `npm run generate`.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

interface Definition {
  fields: Array<{ name: string; type: string; required: boolean }>;
  scalar: string | undefined;
  isTopLevel: boolean;
}

const factsPath = 'src/objects/facts/api-schema.tsv';
const outDir = 'src/objects/generated';

/** Served by default in 1.36: the GA versions. Beside them the beta versions that can be switched on. */
const wantedVersion = /\.(v1|v2|certificates\.v1beta1)$/;

/** Fields that every object we read has, though the schema calls them optional. */
const alwaysThere = new Set([
  'meta.v1.ObjectMeta.name',
  'core.v1.Pod.spec',
  'core.v1.Service.spec',
  'core.v1.Node.spec',
  'core.v1.Container.image',
  'apps.v1.Deployment.spec',
  'apps.v1.ReplicaSet.spec',
  'core.v1.PodTemplateSpec.spec',
  'coordination.v1.Lease.spec',
]);

const definitions = new Map<string, Definition>();
for (const line of readFileSync(factsPath, 'utf8').split('\n')) {
  if (line === '' || line.startsWith('#')) continue;
  const columns = line.split('\t');
  const [definition = '', name = '', type = '', required = ''] = columns;
  const known = definitions.get(definition) ?? { fields: [], scalar: undefined, isTopLevel: false };
  definitions.set(definition, known);
  if (name === '') {
    if (type !== 'object') known.scalar = type;
  } else {
    if (name === 'metadata' && type.endsWith('.ObjectMeta')) known.isTopLevel = true;
    known.fields.push({ name, type, required: required === 'yes' });
  }
}

/** `io.k8s.api.core.v1.Pod` → `{ file: 'core-v1', name: 'Pod' }`; undefined for what has no file of its own. */
function place(definition: string): { file: string; name: string } | undefined {
  const parts = definition.split('.');
  const name = parts.pop() ?? '';
  const version = parts.at(-1) ?? '';
  const group = parts.at(-2) ?? '';
  if (!wantedVersion.test(`.${version}`) && !wantedVersion.test(`.${group}.${version}`)) return undefined;
  return { file: `${group}-${version}`, name };
}

const special: Record<string, string> = {
  'io.k8s.apimachinery.pkg.api.resource.Quantity': 'string',
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': 'number | string',
  'io.k8s.apimachinery.pkg.apis.meta.v1.Time': 'string',
  'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime': 'string',
  'io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1': 'Record<string, unknown>',
  'io.k8s.apimachinery.pkg.runtime.RawExtension': 'unknown',
  'io.k8s.apimachinery.pkg.apis.meta.v1.Patch': 'unknown',
};

function tsType(type: string, file: string, imports: Map<string, Set<string>>): string {
  if (type.startsWith('[]')) {
    const inner = tsType(type.slice(2), file, imports);
    return inner.includes(' ') ? `Array<${inner}>` : `${inner}[]`;
  }
  if (type.startsWith('map[string]'))
    return `Record<string, ${tsType(type.slice('map[string]'.length), file, imports)}>`;
  const known = special[type];
  if (known !== undefined) return known;
  if (type === '' || type === 'object') return 'unknown';
  if (type.startsWith('string')) return 'string';
  if (type.startsWith('integer') || type.startsWith('number')) return 'number';
  if (type === 'boolean') return 'boolean';
  const target = place(type);
  if (target === undefined || !definitions.has(type)) return 'unknown';
  if (target.file !== file) {
    const names = imports.get(target.file) ?? new Set();
    imports.set(target.file, names.add(target.name));
  }
  return target.name;
}

const files = new Map<string, { imports: Map<string, Set<string>>; body: string[] }>();
for (const [definition, { fields, scalar, isTopLevel }] of definitions) {
  const at = place(definition);
  if (at === undefined || special[definition] !== undefined) continue;
  const out = files.get(at.file) ?? { imports: new Map<string, Set<string>>(), body: [] };
  files.set(at.file, out);
  if (fields.length === 0) {
    const type = scalar === undefined ? 'Record<string, unknown>' : tsType(scalar, at.file, out.imports);
    out.body.push(`export type ${at.name} = ${type};`);
    continue;
  }
  const short = definition.replace(/^io\.k8s\.(api|apimachinery\.pkg\.apis)\./, '');
  const lines = fields.map(({ name, type, required }) => {
    const key = /^[A-Za-z_]\w*$/.test(name) ? name : `'${name}'`;
    const ts = tsType(type, at.file, out.imports);
    const isThere =
      required ||
      alwaysThere.has(`${short}.${name}`) ||
      (isTopLevel && name === 'metadata' && !at.name.endsWith('TemplateSpec'));
    return isThere ? `  ${key}: ${ts};` : `  ${key}?: ${ts === 'unknown' ? ts : `${ts} | undefined`};`;
  });
  out.body.push(`export interface ${at.name} {\n${lines.join('\n')}\n}`);
}

rmSync(outDir, { recursive: true, force: true });
mkdirSync(outDir, { recursive: true });
for (const [file, { imports, body }] of files) {
  const head = [
    `// Generated by \`npm run generate\` from ${factsPath}; do not edit.`,
    ...[...imports]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([from, names]) => `import type { ${[...names].toSorted().join(', ')} } from './${from}.ts';`),
  ];
  writeFileSync(`${outDir}/${file}.ts`, `${head.join('\n')}\n\n${body.join('\n\n')}\n`);
}
console.log(`${files.size} files in ${outDir}`);
