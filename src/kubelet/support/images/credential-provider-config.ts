/**
 * The files of `--image-credential-provider-config`: which plugin to ask for which images. Pure; every problem is
 * reported at once, with the provider's name.
 */
import { parseDocument } from 'yaml';

export interface TokenAttributes {
  audience: string;
  cacheType: 'Token' | 'ServiceAccount';
  /** Pods without an account are not this provider's. */
  requireServiceAccount: boolean;
  requiredAnnotations: readonly string[];
  optionalAnnotations: readonly string[];
}

export interface CredentialProviderConfig {
  /** Of the program in the folder of plugins, too. */
  name: string;
  matchImages: readonly string[];
  defaultCacheMs: number;
  /** What is spoken with the plugin. */
  apiVersion: string;
  args: readonly string[];
  env: ReadonlyArray<{ name: string; value: string }>;
  tokens: TokenAttributes | undefined;
}

interface ReadContext {
  parseDurationMs(text: string): number | undefined;
}

const configVersions = ['v1', 'v1beta1', 'v1alpha1'].map((version) => `kubelet.config.k8s.io/${version}`);
const pluginV1 = 'credentialprovider.kubelet.k8s.io/v1';
const pluginVersions = ['v1', 'v1beta1', 'v1alpha1'].map((version) => `credentialprovider.kubelet.k8s.io/${version}`);

/** The providers of all files, in the files' order. */
export function parseCredentialProviders(
  files: ReadonlyArray<{ path: string; text: string }>,
  context: ReadContext,
): { providers: CredentialProviderConfig[]; problems: string[] } {
  const problems: string[] = [];
  const providers = files.flatMap((file) => parseFile(file, context, problems));
  const names = new Set<string>();
  for (const { name } of providers) {
    if (names.has(name)) problems.push(`duplicate provider name "${name}" in --image-credential-provider-config`);
    names.add(name);
  }
  return { providers, problems };
}

function parseFile(
  { path, text }: { path: string; text: string },
  context: ReadContext,
  problems: string[],
): CredentialProviderConfig[] {
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true });
  if (document.errors.length > 0) {
    problems.push(...document.errors.map(({ message }) => `${path}: ${message.split('\n')[0] ?? ''}`));
    return [];
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  const top = new Reader(value, path, problems);
  const version = top.text('apiVersion');
  const kind = top.text('kind');
  if (kind !== 'CredentialProviderConfig' || !configVersions.includes(version)) {
    problems.push(`${path}: expected apiVersion ${configVersions[0]}, kind CredentialProviderConfig`);
    return [];
  }
  const list = top.list('providers');
  if (list.length === 0) problems.push(`${path}: providers: at least 1 item in plugins is required`);
  top.refuseOthers(['apiVersion', 'kind', 'providers']);
  return list.map((item, i) => readProvider(new Reader(item, `${path}: providers[${i}]`, problems), version, context));
}

function readProvider(reader: Reader, version: string, { parseDurationMs }: ReadContext): CredentialProviderConfig {
  const name = reader.text('name');
  if (name === '' || name === '.' || name === '..' || /[/\s]/.test(name)) {
    reader.complain(`name: "${name}" must be the name of a program, without spaces and slashes`);
  }
  const matchImages = reader.texts('matchImages');
  if (matchImages.length === 0) reader.complain('matchImages: at least 1 item in matchImages is required');
  for (const pattern of matchImages) {
    if (!/^[^/\s:]+(:\d+)?(\/[^\s*?[\]]*)?$/.test(pattern))
      reader.complain(`matchImages: "${pattern}" is not a pattern`);
  }
  const duration = reader.text('defaultCacheDuration');
  const defaultCacheMs = parseDurationMs(duration);
  if (defaultCacheMs === undefined || defaultCacheMs < 0) {
    reader.complain(`defaultCacheDuration: "${duration}" must be a duration of 0s or more`);
  }
  const apiVersion = reader.text('apiVersion');
  if (!pluginVersions.includes(apiVersion)) {
    reader.complain(`apiVersion: "${apiVersion}" must be one of ${pluginVersions.join(', ')}`);
  }
  const env = reader.list('env').map((item, i) => {
    const one = reader.below(item, `env[${i}]`);
    one.refuseOthers(['name', 'value']);
    const variable = { name: one.text('name'), value: one.text('value') };
    if (variable.name === '') one.complain('name: it is required');
    return variable;
  });
  const tokens = readTokens(reader, apiVersion, version);
  reader.refuseOthers(providerFields);
  return {
    name,
    matchImages,
    defaultCacheMs: defaultCacheMs ?? 0,
    apiVersion,
    args: reader.texts('args'),
    env,
    tokens,
  };
}

const providerFields = ['name', 'matchImages', 'defaultCacheDuration', 'apiVersion', 'args', 'env', 'tokenAttributes'];

function readTokens(reader: Reader, apiVersion: string, version: string): TokenAttributes | undefined {
  const raw = reader.value('tokenAttributes');
  if (raw === undefined) return undefined;
  const one = reader.below(raw, 'tokenAttributes');
  if (apiVersion !== pluginV1 || version !== configVersions[0]) {
    one.complain(`it is only supported for ${configVersions[0]} with plugins of ${pluginV1}`);
  }
  const audience = one.text('serviceAccountTokenAudience');
  if (audience === '') one.complain('serviceAccountTokenAudience: it is required');
  const cacheType = one.text('cacheType');
  if (cacheType !== 'Token' && cacheType !== 'ServiceAccount') {
    one.complain(`cacheType: "${cacheType}" must be Token or ServiceAccount`);
  }
  const requireServiceAccount = one.value('requireServiceAccount');
  if (typeof requireServiceAccount !== 'boolean') one.complain('requireServiceAccount: it must be true or false');
  const requiredAnnotations = one.texts('requiredServiceAccountAnnotationKeys');
  const optionalAnnotations = one.texts('optionalServiceAccountAnnotationKeys');
  if (requireServiceAccount === false && requiredAnnotations.length > 0) {
    one.complain('requiredServiceAccountAnnotationKeys: it needs requireServiceAccount: true');
  }
  const doubled = requiredAnnotations.filter((key) => optionalAnnotations.includes(key));
  if (doubled.length > 0) one.complain(`annotation keys are both required and optional: ${doubled.join(', ')}`);
  one.refuseOthers([
    'serviceAccountTokenAudience',
    'cacheType',
    'requireServiceAccount',
    'requiredServiceAccountAnnotationKeys',
    'optionalServiceAccountAnnotationKeys',
  ]);
  return {
    audience,
    cacheType: cacheType === 'Token' ? 'Token' : 'ServiceAccount',
    requireServiceAccount: requireServiceAccount === true,
    requiredAnnotations,
    optionalAnnotations,
  };
}

/** Fields of one object of a file; what is wrong with them is noted with their place. */
class Reader {
  readonly #fields: Record<string, unknown>;
  readonly #place: string;
  readonly #problems: string[];

  constructor(value: unknown, place: string, problems: string[]) {
    this.#place = place;
    this.#problems = problems;
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    this.#fields = isObject ? { ...value } : {};
    if (!isObject) this.complain('it must be an object');
  }

  complain(problem: string): void {
    this.#problems.push(`${this.#place}: ${problem}`);
  }

  below(value: unknown, field: string): Reader {
    return new Reader(value, `${this.#place}.${field}`, this.#problems);
  }

  value(field: string): unknown {
    return this.#fields[field] ?? undefined;
  }

  text(field: string): string {
    const value = this.value(field);
    if (value !== undefined && typeof value !== 'string') this.complain(`${field}: it must be a text`);
    return typeof value === 'string' ? value : '';
  }

  list(field: string): unknown[] {
    const value = this.value(field);
    if (value !== undefined && !Array.isArray(value)) this.complain(`${field}: it must be a list`);
    return Array.isArray(value) ? value : [];
  }

  texts(field: string): string[] {
    return this.list(field).flatMap((item) => {
      if (typeof item === 'string') return [item];
      this.complain(`${field}: ${JSON.stringify(item)} must be a text`);
      return [];
    });
  }

  refuseOthers(known: readonly string[]): void {
    for (const field of Object.keys(this.#fields)) {
      if (!known.includes(field)) this.complain(`unknown field "${field}"`);
    }
  }
}
