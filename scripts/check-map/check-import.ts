/** Who may import whom: ARCHITECTURE.md's table as code. Pure. */

/** `main → commands → products → client, bootstrap → adapters → objects → base`; products never import each other. */
const products = [
  'kubelet',
  'proxy',
  'cluster-dns',
  'pod-network',
  'network-policy',
  'apiserver',
  'scheduler',
  'controllers',
  'cloud',
  'lab',
  'doctor',
  'explain',
];
const steps = ['desired', 'dispatch', 'execute', 'observe', 'report', 'serve'];

/** The one place of a package; a package that is not listed may be used by every room above `base`. */
const packageHomes: Record<string, string[]> = {
  '@grpc/grpc-js': ['src/base/grpc.ts'],
  '@grpc/proto-loader': ['src/base/grpc.ts'],
  'dns-packet': ['src/cluster-dns/wire/'],
  execa: ['src/adapters/processes/'],
  koffi: ['src/adapters/mounts/', 'src/adapters/program-memory/', 'src/adapters/nftables/'],
  pino: ['src/base/logger.ts'],
  'pino-pretty': ['src/base/logger.ts'],
  systeminformation: ['src/adapters/host/'],
};

/** The client's vocabulary: names, kinds of failure, no I/O. Steps and rooms may use it as it is. */
const vocabulary = ['src/client/api-client.ts', 'src/client/resource-types.ts'];

/** Types that steps and rooms of the kubelet have in common. */
const models = ['src/kubelet/pod-model.ts', 'src/kubelet/volume-model.ts'];

interface Place {
  /** `base`, `objects`, `adapters`, `client`, `bootstrap`, a product, `commands` or `main`. */
  area: string;
  /** The room inside it, with the step or adapter: `kubelet/desired`, `kubelet/support/volumes`, `adapters/cri`. */
  room: string;
}

/** @param path from the root: `src/kubelet/desired/desired.ts` */
export function placeOf(path: string): Place {
  const parts = path.split('/').slice(1);
  const [area = '', second = '', third = ''] = parts;
  if (parts.length === 1) return { area: 'main', room: 'main' };
  if (area === 'adapters') return { area, room: `adapters/${second}` };
  if (area === 'kubelet' && parts.length > 2) {
    return { area, room: second === 'support' ? `kubelet/support/${third}` : `kubelet/${second}` };
  }
  return { area, room: area };
}

/** Why `from` must not import `to`, in words; undefined when it may. Both are paths from the root. */
export function checkImport(from: string, to: string, isType: boolean): string | undefined {
  const a = placeOf(from);
  const b = placeOf(to);
  if (a.room === b.room) return undefined;
  const may = (...areas: string[]): string | undefined =>
    areas.includes(b.area) ? undefined : `${a.room} may import only ${areas.join(', ')}`;

  switch (a.area) {
    case 'main':
      return may('commands', 'base');
    case 'commands':
      return b.area === 'main' ? 'nobody imports main' : undefined;
    case 'client':
    case 'bootstrap':
      return may('adapters', 'objects', 'base');
    case 'adapters':
      if (b.room === 'adapters/processes') return undefined;
      if (b.area === 'adapters') return `an adapter imports no other adapter but adapters/processes`;
      return may('objects', 'base');
    case 'objects':
      return may('base');
    case 'base':
      return may();
    default:
  }
  if (!products.includes(a.area)) return `"src/${a.area}" is no room that the import table knows`;
  if (products.includes(b.area) && b.area !== a.area) return `products do not import each other`;
  if (b.area === 'commands' || b.area === 'main') return `${a.area} does not import what is above it`;
  return isPartOfTheLine(a.room) ? checkKubeletPart(a.room, to, b, isType) : undefined;
}

/** A step of the kubelet's line or a room of its support: they meet only in `kubelet.ts`. */
function isPartOfTheLine(room: string): boolean {
  return room.startsWith('kubelet/');
}

function checkKubeletPart(room: string, to: string, b: Place, isType: boolean): string | undefined {
  if (models.includes(to) || vocabulary.includes(to) || b.area === 'objects' || b.area === 'base') return undefined;
  if (b.area === 'adapters' || b.area === 'client') {
    return isType
      ? undefined
      : `${room} may import only types of ${b.room}: the real thing is plugged in by kubelet.ts`;
  }
  if (b.room === 'kubelet') return `${room} may import only the models of the kubelet's own files`;
  const kind = steps.some((step) => b.room === `kubelet/${step}`) ? 'another step' : 'another room';
  return `${room} does not import ${kind} (${b.room}): it states what it needs, and kubelet.ts plugs it in`;
}

/** Why `from` must not import a package; undefined when it may. */
export function checkPackage(
  from: string,
  name: string,
  isType: boolean,
  dependencies: readonly string[],
): string | undefined {
  if (!dependencies.includes(name)) return `"${name}" is not among the dependencies of package.json`;
  const homes = packageHomes[name];
  if (homes === undefined || homes.some((home) => from.startsWith(home))) return undefined;
  if (isType && from.includes('/generated/')) return undefined;
  return `"${name}" is imported only in ${homes.join(' or ')}`;
}

/** `@scope/name/path` → `@scope/name`, `yaml/util` → `yaml`. */
export function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}
