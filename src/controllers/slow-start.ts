/**
 * Does `work` `count` times in batches of 1, 2, 4 …: when something is wrong, the first batch shows it and the rest is
 * not tried.
 * @returns how often it succeeded, and the first failure
 */
export async function slowStart(
  count: number,
  work: () => Promise<void>,
): Promise<{ succeeded: number; failure: unknown }> {
  let succeeded = 0;
  for (let batch = 1; succeeded < count; batch *= 2) {
    const size = Math.min(batch, count - succeeded);
    const results = await Promise.allSettled(Array.from({ length: size }, () => work()));
    succeeded += results.filter(({ status }) => status === 'fulfilled').length;
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) return { succeeded, failure: failed.reason };
  }
  return { succeeded, failure: undefined };
}
