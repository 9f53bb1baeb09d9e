export async function run(_args: readonly string[]): Promise<void> {
  throw new Error('kube-controller-manager is not built yet');
}
