export async function run(_args: readonly string[]): Promise<void> {
  throw new Error('kube-apiserver is not built yet');
}
