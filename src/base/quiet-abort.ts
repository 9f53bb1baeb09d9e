/**
 * The reason to abort with where only the end of a wait counts. Without one each `abort()` makes an exception with its
 * stack, which costs more than the wait.
 */
export const waitIsOver = new Error('the wait is over');
