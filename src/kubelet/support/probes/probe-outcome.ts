/** What one attempt of a probe says. */
export type ProbeOutcome =
  /** A warning counts as success, and makes an event. */
  | { kind: 'success' | 'warning' | 'failure'; output: string }
  /** The attempt itself went wrong: it says nothing about the container. */
  | { kind: 'error'; result: 'failure' | 'unknown'; err: unknown };

/** Output of probed things that we keep, in bytes. */
export const outputMaxBytes = 10 * 1024;

/** Whole seconds as Go prints durations: `1s`, `1m30s`, `1h0m0s`. */
export function goSeconds(seconds: number): string {
  const h = Math.floor(seconds / 3600);
  const m = Math.floor((seconds % 3600) / 60);
  const s = seconds % 60;
  if (h > 0) return `${h}h${m}m${s}s`;
  return m > 0 ? `${m}m${s}s` : `${s}s`;
}

/** `address:port`, with brackets around IPv6. */
export function joinHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Why a connection failed, in the words that Go programs use and people look for. */
export function networkErrorText(err: unknown, hostPort: string): string {
  const code = err instanceof Error && 'code' in err ? err.code : undefined;
  switch (code) {
    case 'ECONNREFUSED':
      return `dial tcp ${hostPort}: connect: connection refused`;
    case 'EHOSTUNREACH':
      return `dial tcp ${hostPort}: connect: no route to host`;
    case 'ENETUNREACH':
      return `dial tcp ${hostPort}: connect: network is unreachable`;
    case 'ETIMEDOUT':
      return `dial tcp ${hostPort}: connect: connection timed out`;
    case 'ENOTFOUND':
      return `dial tcp: lookup ${hostPort.replace(/:\d+$/, '')}: no such host`;
    case 'ECONNRESET':
      // Node says "socket hang up" when the other side closed without an answer
      return err instanceof Error && err.message === 'socket hang up'
        ? 'EOF'
        : `read tcp ${hostPort}: connection reset by peer`;
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return 'http: server gave HTTP response to HTTPS client';
    default:
      return err instanceof Error ? err.message : String(err);
  }
}
