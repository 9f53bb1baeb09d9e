/**
 * The few kinds of operating failure that some caller acts on. Adapters translate foreign codes into these;
 * layers above add a sentence with `cause`, and the predicates look through the whole chain.
 */

/** The thing asked for is not there. Callers that delete treat it as success. */
export class NotFoundError extends Error {
  override name = 'NotFoundError';
}

/** The thing changed under us, or exists already: read again and decide anew. */
export class ConflictError extends Error {
  override name = 'ConflictError';
}

/** The other side is away or refuses for now: try again later. */
export class UnavailableError extends Error {
  override name = 'UnavailableError';
}

/** The other side took longer than it was given. */
export class DeadlineError extends Error {
  override name = 'DeadlineError';
}

/** The other side does not have this call (an older runtime): do without it. */
export class UnimplementedError extends Error {
  override name = 'UnimplementedError';
}

/** What the user wrote (flags, files, objects) is wrong in the listed ways. */
export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly problems: readonly string[];
  constructor(what: string, problems: readonly string[]) {
    super(`${what}: ${problems.join('; ')}`);
    this.problems = problems;
  }
}

export const isNotFound = (error: unknown): boolean => hasKind(error, NotFoundError);
export const isConflict = (error: unknown): boolean => hasKind(error, ConflictError);
export const isUnavailable = (error: unknown): boolean => hasKind(error, UnavailableError);
export const isDeadline = (error: unknown): boolean => hasKind(error, DeadlineError);
export const isUnimplemented = (error: unknown): boolean => hasKind(error, UnimplementedError);

/** The errno name (`ENOENT`, `EBUSY` …) of a failed system call; undefined for any other error. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Looks through the `cause` chain, so that adding context never hides the kind. */
function hasKind(error: unknown, kind: new (...args: never[]) => Error): boolean {
  let e = error;
  while (e instanceof Error) {
    if (e instanceof kind) return true;
    e = (e as Error).cause; // `instanceof kind` narrowed it away
  }
  return false;
}

/** The chain's messages in one line, outermost first: for events, conditions and terminals. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let e = error; e !== undefined; e = e instanceof Error ? e.cause : undefined) {
    const text = e instanceof Error ? e.message : String(e);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
  }
  return parts.join(': ');
}
