/** The container must not be created; the text is its waiting message (`CreateContainerConfigError`). */
export class SecurityContextError extends Error {
  override name = 'SecurityContextError';
}
