export async function run(_args: readonly string[]): Promise<void> {
  throw new Error('kube-scheduler is not built yet');
}
