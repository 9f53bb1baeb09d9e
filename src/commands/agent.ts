export async function run(_args: readonly string[]): Promise<void> {
  throw new Error('agent is not built yet');
}
