export async function run(_args: readonly string[]): Promise<void> {
  throw new Error('doctor is not built yet');
}
