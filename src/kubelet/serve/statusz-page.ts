/**
 * `/statusz`: what upstream's page says of the process (text, or the API's `Statusz` as JSON), and below it what ours
 * adds: what the process costs, and which pods wait for one step for too long.
 */
import { rfc3339Seconds } from '../../base/clock.ts';
import { gantryVersion, kubernetesVersion } from '../../base/version.ts';
import { type Exchange, answerJson, answerText } from './exchange.ts';
import type { Statusz } from './serve-need.ts';

const paths = ['/configz', '/healthz', '/metrics'];
const warning =
  'Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.';

export function answerStatusz(exchange: Exchange, status: Statusz): void {
  const form = statuszForm(exchange.request.headers.accept);
  if (form === 'text') answerText(exchange, 200, statuszText(status));
  else if (form === 'json') answerJson(exchange, 200, JSON.stringify(statuszObject(status)));
  else answerText(exchange, 406, 'the server was unable to respond with a content type that the client supports\n');
}

/** Undefined for what nobody serves. */
export function statuszForm(accept: string | undefined): 'text' | 'json' | undefined {
  if (accept === undefined || accept === '') return 'text';
  for (const wish of accept.split(',')) {
    const [type = '', ...parameters] = wish.split(';').map((part) => part.trim());
    if (type === '*/*' || type === 'text/plain' || type === 'text/*') return 'text';
    if (
      type === 'application/json' &&
      ['v=v1beta1', 'g=config.k8s.io', 'as=Statusz'].every((one) => parameters.includes(one))
    ) {
      return 'json';
    }
  }
  return undefined;
}

export function statuszText(status: Statusz): string {
  const rows: Array<[string, string]> = [
    ['Started', new Date(status.startedMs).toUTCString()],
    ['Up', upText(uptimeSeconds(status))],
    ['Go version', `none (Node.js ${process.version})`],
    ['Binary version', gantryVersion],
    ['Emulation version', kubernetesVersion.gitVersion],
    ['Paths', paths.join(' ')],
    ['Wake-ups per second', status.wakeUpsPerSecond.toFixed(1)],
    ['CPU', `${status.cpuPercent.toFixed(2)}% of a core`],
    ['Resident memory', `${Math.round(status.residentBytes / 1024 / 1024)} MiB`],
    ['Event-loop delay, p99', `${status.eventLoopDelayP99Ms.toFixed(1)} ms`],
    ['Fenced pods', String(status.fencedPods.length)],
  ];
  const fenced = status.fencedPods.map(
    ({ pod, uid, step, ageSeconds, limitSeconds }) =>
      `  ${pod} (${uid}): step "${step}" runs for ${ageSeconds}s, longer than ${limitSeconds}s`,
  );
  const lines = ['', 'kubelet statusz', warning, '', ...rows.map(([name, value]) => `${name}: ${value}`), ...fenced];
  return `${lines.join('\n')}\n`;
}

function statuszObject(status: Statusz): object {
  const { startedMs, nowMs: _, ...gantry } = status;
  return {
    kind: 'Statusz',
    apiVersion: 'config.k8s.io/v1beta1',
    metadata: { name: 'kubelet' },
    startTime: rfc3339Seconds(startedMs),
    uptimeSeconds: uptimeSeconds(status),
    goVersion: '',
    binaryVersion: gantryVersion,
    emulationVersion: kubernetesVersion.gitVersion,
    paths,
    gantry,
  };
}

const uptimeSeconds = ({ startedMs, nowMs }: Statusz): number => Math.max(0, Math.floor((nowMs - startedMs) / 1000));

/** `1 hr 02 min 03 sec`, as upstream writes it. */
function upText(seconds: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${Math.floor(seconds / 3600)} hr ${two(Math.floor((seconds % 3600) / 60))} min ${two(seconds % 60)} sec`;
}
