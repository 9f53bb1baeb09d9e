/** Runs all parts until `parent` aborts or one part ends, stops the rest, waits for them, throws the first failure. */
export async function runTogether(
  parent: AbortSignal,
  parts: ReadonlyArray<(signal: AbortSignal) => Promise<void>>,
): Promise<void> {
  const stop = new AbortController();
  const signal = AbortSignal.any([parent, stop.signal]);
  const failures: unknown[] = [];
  await Promise.allSettled(
    parts.map((run) =>
      run(signal)
        .catch((err: unknown) => {
          if (!signal.aborted) failures.push(err); // what is thrown while stopping is no news
        })
        .finally(() => stop.abort()),
    ),
  );
  if (failures.length > 0) throw failures[0];
}

/** Resolves when `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
