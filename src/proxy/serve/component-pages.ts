/** `/flagz` and `/statusz`: how this process was started and what it is, for people or as the API's objects. Pure. */
import { rfc3339Seconds } from '../../base/clock.ts';
import { gantryVersion, kubernetesVersion } from '../../base/version.ts';

export interface PageAnswer {
  readonly code: number;
  readonly contentType: string;
  readonly body: string;
}

const plain = 'text/plain; charset=utf-8';
const warning =
  'Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.';
const unacceptable: PageAnswer = {
  code: 406,
  contentType: plain,
  body: 'the server was unable to respond with a content type that the client supports\n',
};

export function flagzPage(flags: Readonly<Record<string, string>>, accept: string | undefined): PageAnswer {
  const sorted = Object.entries(flags).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const lines = ['', 'kube-proxy flagz', warning, '', ...sorted.map(([name, value]) => `${name}=${value}`)];
  return inForm('Flagz', accept, `${lines.join('\n')}\n`, { flags: Object.fromEntries(sorted) });
}

export interface ProxyStatus {
  startedMs: number;
  nowMs: number;
  /** What the server answers on. */
  paths: readonly string[];
}

export function statuszPage({ startedMs, nowMs, paths }: ProxyStatus, accept: string | undefined): PageAnswer {
  const uptimeSeconds = Math.max(0, Math.floor((nowMs - startedMs) / 1000));
  const rows = [
    ['Started', new Date(startedMs).toUTCString()],
    ['Up', upText(uptimeSeconds)],
    ['Go version', `none (Node.js ${process.version})`],
    ['Binary version', gantryVersion],
    ['Emulation version', kubernetesVersion.gitVersion],
    ['Paths', paths.join(' ')],
  ];
  const lines = ['', 'kube-proxy statusz', warning, '', ...rows.map(([name, value]) => `${name}: ${value}`)];
  return inForm('Statusz', accept, `${lines.join('\n')}\n`, {
    startTime: rfc3339Seconds(startedMs),
    uptimeSeconds,
    goVersion: '',
    binaryVersion: gantryVersion,
    emulationVersion: kubernetesVersion.gitVersion,
    paths,
  });
}

function inForm(kind: string, accept: string | undefined, text: string, fields: object): PageAnswer {
  if (accept === undefined || accept === '') return { code: 200, contentType: plain, body: text };
  for (const wish of accept.split(',')) {
    const [type = '', ...parameters] = wish.split(';').map((part) => part.trim());
    if (['*/*', 'text/*', 'text/plain'].includes(type)) return { code: 200, contentType: plain, body: text };
    const isObject = ['v=v1beta1', 'g=config.k8s.io', `as=${kind}`].every((one) => parameters.includes(one));
    if (type !== 'application/json' || !isObject) continue;
    const object = { kind, apiVersion: 'config.k8s.io/v1beta1', metadata: { name: 'kube-proxy' }, ...fields };
    return { code: 200, contentType: 'application/json', body: JSON.stringify(object) };
  }
  return unacceptable;
}

/** `1 hr 02 min 03 sec`, as upstream writes it. */
function upText(seconds: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${Math.floor(seconds / 3600)} hr ${two(Math.floor((seconds % 3600) / 60))} min ${two(seconds % 60)} sec`;
}
