import type { EnvVar } from '../../../objects/generated/core-v1.ts';

/**
 * `$(NAME)` in the words of a probe's command, from the literal values of the container's environment only; a name
 * that is not there stays as it is written, and `$$` is a dollar.
 */
export function expandCommand(command: readonly string[], env: readonly EnvVar[]): string[] {
  const values = new Map(env.map(({ name, value }) => [name, value ?? '']));
  return command.map((word) =>
    word.replace(/\$\$|\$\(([^()]*)\)/g, (match, name: string | undefined) =>
      name === undefined ? '$' : (values.get(name) ?? match),
    ),
  );
}
