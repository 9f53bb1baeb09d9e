import { readFileSync } from 'node:fs';
import https from 'node:https';
import { parse } from 'yaml';

/** As much of an object as the driver's helpers read. */
export interface KubeObject {
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    annotations?: Record<string, string>;
    finalizers?: string[];
    deletionTimestamp?: string;
  };
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
}

interface Kubeconfig {
  clusters: Array<{ cluster: { server: string; 'certificate-authority-data'?: string } }>;
  users: Array<{ user: { 'client-certificate-data'?: string; 'client-key-data'?: string; token?: string } }>;
}

/** A client of the API for kubeconfigs with one cluster, one user, and everything in them. */
export class KubeApi {
  readonly #server: URL;
  readonly #agent: https.Agent;
  readonly #headers: Record<string, string>;

  private constructor(server: URL, agent: https.Agent, headers: Record<string, string>) {
    this.#server = server;
    this.#agent = agent;
    this.#headers = headers;
  }

  static async open(kubeconfig: string): Promise<KubeApi> {
    const { clusters, users } = parse(readFileSync(kubeconfig, 'utf8')) as Kubeconfig; // the lab's
    const [cluster, user] = [clusters[0]?.cluster, users[0]?.user];
    if (cluster === undefined || user === undefined) throw new Error(`${kubeconfig} names no cluster or no user`);
    const bytes = (data: string | undefined): { value: Buffer | undefined } => ({
      value: data === undefined ? undefined : Buffer.from(data, 'base64'),
    });
    const agent = new https.Agent({
      keepAlive: true,
      ca: bytes(cluster['certificate-authority-data']).value,
      cert: bytes(user['client-certificate-data']).value,
      key: bytes(user['client-key-data']).value,
    });
    const headers = user.token === undefined ? {} : { authorization: `Bearer ${user.token}` };
    return new KubeApi(new URL(cluster.server), agent, { ...headers });
  }

  /** @throws {Error} with the server's status code as `code` */
  async request<T>(method: string, path: string, body?: object, type = 'application/json'): Promise<T> {
    const chunks: string[] = [];
    const statusCode = await this.#send(method, path, body, type, (chunk) => chunks.push(chunk));
    const text = chunks.join('');
    if (statusCode >= 300)
      throw Object.assign(new Error(`${method} ${path}: ${statusCode} ${text}`), { code: statusCode });
    return JSON.parse(text) as T;
  }

  patch(path: string, body: object): Promise<KubeObject> {
    return this.request('PATCH', path, body, 'application/merge-patch+json');
  }

  async list(path: string): Promise<KubeObject[]> {
    return (await this.request<{ items: KubeObject[] }>('GET', path)).items;
  }

  /** Undefined when there is none. */
  async get(path: string): Promise<KubeObject | undefined> {
    return await this.request<KubeObject>('GET', path).catch((err: Error & { code?: number }) => {
      if (err.code === 404) return undefined;
      throw err;
    });
  }

  /** Reconciles now and whenever something changes at one of the paths, one after the other, for ever. */
  async follow(paths: readonly string[], reconcile: () => Promise<void>): Promise<void> {
    let isDue = true;
    let wake = (): void => {};
    const mark = (): void => {
      isDue = true;
      wake();
    };
    for (const path of paths) void this.#watch(path, mark);
    for (;;) {
      if (!isDue) await new Promise<void>((resolve) => (wake = resolve));
      isDue = false;
      await reconcile();
    }
  }

  async #watch(path: string, onEvent: () => void): Promise<void> {
    for (;;) {
      // a server that goes away is asked again when it is back
      await this.#send('GET', `${path}?watch=true`, undefined, '', onEvent).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  #send(
    method: string,
    path: string,
    body: object | undefined,
    type: string,
    onChunk: (chunk: string) => void,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      const headers = { ...this.#headers, ...(body === undefined ? {} : { 'content-type': type }) };
      const request = https.request(
        new URL(path, this.#server),
        { agent: this.#agent, method, headers },
        (response) => {
          response.setEncoding('utf8');
          response.on('data', onChunk);
          response.on('end', () => resolve(response.statusCode ?? 0));
          response.on('error', reject);
        },
      );
      request.on('error', reject);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
