export async function run(_args: readonly string[]): Promise<void> {
  throw new Error('kubelet is not built yet');
}
