const saysNothing = /^(utils?|helpers?|common|misc|index)$/;

/** Why a file or folder must not be called so; undefined when it may. Pure. @param path from the root */
export function checkName(path: string): string | undefined {
  const stem = (path.split('/').at(-1) ?? '').replace(/\.[\w.]+$/, '');
  const words = stem.split('-');
  const empty = words.find((word) => saysNothing.test(word));
  if (empty !== undefined) return `"${path}": "${empty}" says nothing; name it by what it does or owns`;
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(stem)) return `"${path}" is not in kebab-case`;
  return undefined;
}
