/** Where the server of `probe-server-process.ts` listens, and what it notes of a request. */
export const probePorts = { http: 18_080, https: 18_443, grpc: 18_050, bareGrpc: 18_051, nobody: 18_001 } as const;

export interface ProbedRequest {
  path: string;
  version: string;
  host: string;
  agent: string;
  accept: string;
  /** The values of header `X-Asked`, with `|` between them. */
  asked: string;
}
