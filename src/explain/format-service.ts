/** `gantry why service` for people. Pure. */
import type { Explanation } from './explain-service.ts';
import type { EndpointFact, ServiceFacts } from './service-facts.ts';

const rowsMax = 20;

export function formatService(facts: ServiceFacts, { cause, next }: Explanation): string {
  const { service, proxy, similar, gaps } = facts;
  const lines = [`Service: ${facts.namespace}/${facts.name}${service === undefined ? '' : ` (${describe(service)})`}`];
  lines.push(`Cause:   ${cause}`);
  next.forEach((text, i) => lines.push(`${i === 0 ? 'Next:   ' : '        '} ${text}`));
  if (similar.length > 0) lines.push(`Known:   ${similar.join(', ')}`);
  if (service === undefined) return textOf(lines);
  const mode = proxy.mode ?? `does not answer (${proxy.silence ?? 'no reason known'})`;
  lines.push(
    `Node:    ${facts.node}, kube-proxy ${mode}${proxy.mode !== undefined && !proxy.isHealthy ? ', unhealthy' : ''}`,
  );
  for (const gap of gaps) lines.push(`Note:    ${gap}`);
  section(lines, ['ADDRESS', 'KIND', 'WANTED', 'INSTALLED'], facts.frontends, (frontend) => [
    frontend.text,
    frontend.kind,
    frontend.wanted,
    frontend.installed === undefined ? 'not known' : frontend.isAsWanted ? 'the same' : frontend.installed,
  ]);
  section(lines, ['ENDPOINT', 'STATE', 'POD', 'NODE'], facts.endpoints, (endpoint) => [
    `${endpoint.address}/${endpoint.protocol.toLowerCase()}`,
    stateOf(endpoint),
    endpoint.pod,
    endpoint.node,
  ]);
  const unready = facts.pods.filter(({ isReady }) => !isReady);
  section(lines, ['POD', 'PHASE', 'WHY NOT READY'], unready, (pod) => [pod.name, pod.phase, pod.whyNot]);
  section(lines, ['CONNECTION', 'FROM', 'OUTCOME', 'TOOK', 'REACHED'], facts.tries, (made) => [
    `${made.to}${made.isDirect ? ' (directly)' : ''}`,
    made.from,
    made.outcome,
    `${made.tookMs} ms`,
    made.reached ?? '',
  ]);
  section(lines, ['POLICY', 'TO', 'VERDICT'], facts.policies, (policy) => [
    policy.from,
    policy.to,
    `${policy.isAllowed ? 'allowed' : 'denied'}: ${policy.words}`,
  ]);
  section(lines, ['FLOW', ''], facts.flows, (flow) => [flow.text, flow.isStale ? 'stale' : '']);
  return textOf(lines);
}

/** Messages of pods are others' words: a terminal is not to obey them, nor do they make lines that look like ours. */
function textOf(lines: readonly string[]): string {
  return `${lines.map((line) => line.replaceAll(/\p{Cc}/gu, ' ')).join('\n')}\n`;
}

function describe({ type, clusterIps, selector }: NonNullable<ServiceFacts['service']>): string {
  return [type, clusterIps.join(', '), selector === undefined ? 'no selector' : `selector ${selector}`]
    .filter((part) => part !== '')
    .join(', ');
}

function stateOf({ isReady, isServing, isTerminating }: EndpointFact): string {
  if (isTerminating) return isServing ? 'terminating, still serving' : 'terminating';
  return isReady ? 'ready' : 'not ready';
}

function section<T>(lines: string[], head: readonly string[], items: readonly T[], row: (item: T) => string[]): void {
  if (items.length === 0) return;
  const rows = [head, ...items.slice(0, rowsMax).map(row)];
  const widths = head.map((_, i) => Math.max(...rows.map((cells) => cells[i]?.length ?? 0)));
  lines.push(
    '',
    ...rows.map((cells) =>
      cells
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    ),
  );
  if (items.length > rowsMax) lines.push(`(and ${items.length - rowsMax} more)`);
}
