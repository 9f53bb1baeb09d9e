export async function run(_args: readonly string[]): Promise<void> {
  throw new Error('lab is not built yet');
}
