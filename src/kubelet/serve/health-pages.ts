import { describeError } from '../../base/errors.ts';
import { type Exchange, answerText } from './exchange.ts';
import type { HealthCheck } from './serve-need.ts';

type NamedCheck = { name: string; check: HealthCheck };

const ping: NamedCheck = { name: 'ping', check: () => Promise.resolve() };

/** `/healthz` (all checks) and `/healthz/<name>` (one). */
export async function answerHealth(
  exchange: Exchange,
  checks: readonly NamedCheck[],
  only: string | undefined,
): Promise<void> {
  const all = [ping, ...checks];
  if (only !== undefined) {
    const failure = await failureOf(all.find(({ name }) => name === only) ?? ping, exchange.signal);
    if (failure === undefined) answerText(exchange, 200, 'ok');
    else answerText(exchange, 500, `internal server error: ${describeError(failure)}\n`);
    return;
  }
  const excluded = exchange.query.getAll('exclude');
  const failures = await Promise.all(
    all.map(async (named) => (excluded.includes(named.name) ? undefined : failureOf(named, exchange.signal))),
  );
  const lines = all.map(({ name }, i) => {
    if (excluded.includes(name)) return `[+]${name} excluded: ok\n`;
    return failures[i] === undefined ? `[+]${name} ok\n` : `[-]${name} failed: reason withheld\n`;
  });
  const unknown = excluded.filter((wanted) => all.every(({ name }) => name !== wanted)).map((name) => `"${name}"`);
  if (unknown.length > 0) {
    lines.push(`warn: some health checks cannot be excluded: no matches for ${unknown.join(', ')}\n`);
  }
  if (failures.some((failure) => failure !== undefined)) {
    answerText(exchange, 500, `${lines.join('')}healthz check failed\n`);
  } else if (exchange.query.has('verbose')) {
    answerText(exchange, 200, `${lines.join('')}healthz check passed\n`);
  } else {
    answerText(exchange, 200, 'ok');
  }
}

async function failureOf({ check }: NamedCheck, signal: AbortSignal): Promise<unknown> {
  try {
    await check(signal);
    return undefined;
  } catch (err) {
    return err ?? new Error('failed');
  }
}
