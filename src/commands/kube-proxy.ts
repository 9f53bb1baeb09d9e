export async function run(_args: readonly string[]): Promise<void> {
  throw new Error('kube-proxy is not built yet');
}
