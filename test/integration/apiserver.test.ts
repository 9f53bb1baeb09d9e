import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryStorage } from '../../src/apiserver/storage/memory-storage.ts';
import { type Answer, type TestServer, podNamed, startTestServer } from './apiserver-fixture.ts';

let server: TestServer;
const core = '/api/v1/namespaces/default';
const merge = 'application/merge-patch+json';

beforeAll(async () => {
  server = await startTestServer(new MemoryStorage());
  await server.call('POST', `${core}/serviceaccounts`, { body: { metadata: { name: 'default' } } });
});
afterAll(() => server.stop());

/** A node that is ready to have pods bound to it. */
async function makeNode(name: string, port = 1): Promise<void> {
  const status = {
    addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
  };
  expect((await server.call('POST', '/api/v1/nodes', { body: { metadata: { name }, status } })).code).toBe(201);
}

async function bind(pod: string, node: string): Promise<Answer> {
  return server.call('POST', `${core}/pods/${pod}/binding`, {
    body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: pod }, target: { kind: 'Node', name: node } },
  });
}

describe('who may ask', () => {
  it.each([
    ['/healthz', 200],
    ['/livez', 200],
    ['/readyz', 200],
    ['/version', 200],
    ['/api/v1/pods', 401],
    ['/apis', 401],
  ])('nobody in particular gets %s with %i', async (path, code) => {
    expect((await server.call('GET', path, { isAnonymous: true })).code).toBe(code);
  });

  it('a service account token speaks for its account until that is gone, and may not read Secrets', async () => {
    const account = await server.call('POST', `${core}/serviceaccounts`, { body: { metadata: { name: 'reader' } } });
    const asked = await server.call('POST', `${core}/serviceaccounts/reader/token`, { body: { spec: {} } });
    expect(asked).toMatchObject({ code: 201, body: { spec: { expirationSeconds: 3600 } } });
    const { token } = asked.body['status'] as { token: string };
    expect((await server.call('GET', '/api/v1/pods', { token })).code).toBe(200);
    expect(await server.call('GET', '/api/v1/secrets', { token })).toMatchObject({
      code: 403,
      body: {
        reason: 'Forbidden',
        message:
          'secrets is forbidden: User "system:serviceaccount:default:reader" cannot list resource "secrets" in API group "" at the cluster scope',
      },
    });
    const review = { spec: { token } };
    const reviews = '/apis/authentication.k8s.io/v1/tokenreviews';
    expect((await server.call('POST', reviews, { body: review })).body['status']).toMatchObject({
      authenticated: true,
      user: { username: 'system:serviceaccount:default:reader', uid: account.body.metadata['uid'] },
    });
    expect((await server.call('POST', reviews, { body: { spec: { token: `${token}x` } } })).body['status']).toEqual({
      user: {},
      error: 'invalid bearer token',
    });
    expect((await server.call('GET', '/api/v1/pods', { token: 'nonsense' })).code).toBe(401);
  });

  it('access reviews answer from the rules that guard the API', async () => {
    const ask = async (user: string, groups: string[], verb: string): Promise<unknown> => {
      const body = { spec: { user, groups, resourceAttributes: { verb, resource: 'nodes', subresource: 'proxy' } } };
      return (await server.call('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { body })).body['status'];
    };
    expect(await ask('admin', ['system:masters', 'system:authenticated'], 'create')).toEqual({ allowed: true });
    expect(await ask('somebody', ['system:authenticated'], 'create')).toEqual({ allowed: false });
  });
});

describe('writes', () => {
  it('a pod gets upstream’s defaults and admission', async () => {
    const { body } = await server.call('POST', `${core}/pods`, { body: podNamed('defaulted') });
    expect(body['spec']).toMatchObject({
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
      schedulerName: 'default-scheduler',
      terminationGracePeriodSeconds: 30,
      enableServiceLinks: true,
      serviceAccountName: 'default',
      priority: 0,
      preemptionPolicy: 'PreemptLowerPriority',
      containers: [
        {
          imagePullPolicy: 'IfNotPresent',
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          resources: {},
          volumeMounts: [{ mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true }],
        },
      ],
      tolerations: [
        { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
        { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
      ],
    });
    expect(body['status']).toEqual({ phase: 'Pending', qosClass: 'BestEffort' });
    expect(body.metadata['generation']).toBe(1);
  });

  it('names are generated, taken names and stale revisions are refused, a change of nothing is no write', async () => {
    const first = await server.call('POST', `${core}/configmaps`, { body: { metadata: { generateName: 'cm-' } } });
    const { name, resourceVersion } = first.body.metadata as { name: string; resourceVersion: string };
    expect(name).toMatch(/^cm-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    const path = `${core}/configmaps/${name}`;
    expect(await server.call('POST', `${core}/configmaps`, { body: { metadata: { name } } })).toMatchObject({
      code: 409,
      body: { reason: 'AlreadyExists', message: `configmaps "${name}" already exists` },
    });
    const same = await server.call('PATCH', path, { body: {}, contentType: merge });
    expect(same.body.metadata['resourceVersion']).toBe(resourceVersion);
    const changed = await server.call('PUT', path, { body: { metadata: { name, resourceVersion }, data: { a: '1' } } });
    expect(changed.code).toBe(200);
    expect(await server.call('PUT', path, { body: { metadata: { name, resourceVersion } } })).toMatchObject({
      code: 409,
      body: {
        reason: 'Conflict',
        message: `Operation cannot be fulfilled on configmaps "${name}": the object has been modified; please apply your changes to the latest version and try again`,
      },
    });
  });

  it('status and spec are written apart, and only the spec counts as a generation', async () => {
    await server.call('POST', `${core}/pods`, { body: podNamed('apart') });
    const patch = { spec: { nodeName: 'sneaky' }, status: { phase: 'Running' } };
    const { body } = await server.call('PATCH', `${core}/pods/apart/status`, { body: patch, contentType: merge });
    expect(body['status']).toMatchObject({ phase: 'Running', qosClass: 'BestEffort' });
    expect(body['spec']).not.toHaveProperty('nodeName');
    const again = await server.call('PATCH', `${core}/pods/apart`, {
      body: { status: { phase: 'Failed' } },
      contentType: merge,
    });
    expect(again.body['status']).toMatchObject({ phase: 'Running' });
    expect(again.body.metadata['generation']).toBe(1);
  });

  it('200 writers at once lose nothing', async () => {
    const path = `${core}/configmaps/race`;
    await server.call('POST', `${core}/configmaps`, { body: { metadata: { name: 'race' } } });
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        server.call('PATCH', path, { body: { data: { [`k${i}`]: String(i) } }, contentType: merge }),
      ),
    );
    expect(answers.filter(({ code }) => code !== 200)).toEqual([]);
    expect(Object.keys((await server.call('GET', path)).body['data'] as object)).toHaveLength(200);
  });

  it('unknown fields are errors, warnings or nothing, as asked', async () => {
    const body = { metadata: { name: 'fields' }, dta: {} };
    const strict = await server.call('POST', `${core}/configmaps?fieldValidation=Strict`, { body });
    expect(strict).toMatchObject({
      code: 400,
      body: {
        message:
          'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dta"',
      },
    });
    const warned = await server.call('POST', `${core}/configmaps?dryRun=All`, { body });
    expect(warned).toMatchObject({ code: 201, headers: { warning: '299 - "unknown field \\"dta\\""' } });
    const quiet = await server.call('POST', `${core}/configmaps?dryRun=All&fieldValidation=Ignore`, { body });
    expect(quiet.headers['warning']).toBeUndefined();
    expect((await server.call('GET', `${core}/configmaps/fields`)).code).toBe(404);
  });

  it.each([
    ['no containers', podNamed('bad', { containers: [] }), 'spec.containers: Required value'],
    [
      'a bad name',
      podNamed('Bad_Name'),
      'metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist',
    ],
    [
      'an unknown mount',
      podNamed('bad', { containers: [{ name: 'c', image: 'x', volumeMounts: [{ name: 'v', mountPath: '/v' }] }] }),
      'spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ],
  ])('a pod with %s is refused', async (_, body, text) => {
    const answer = await server.call('POST', `${core}/pods`, { body });
    expect(answer).toMatchObject({ code: 422, body: { reason: 'Invalid' } });
    expect(answer.body['message']).toContain(text);
  });

  it('apply patches are refused by name', async () => {
    const answer = await server.call('PATCH', `${core}/configmaps/race?fieldManager=me`, {
      body: {},
      contentType: 'application/apply-patch+yaml',
    });
    expect(answer.code).toBe(415);
    expect(answer.body['message']).toContain('server-side apply');
  });
});

describe('deletes', () => {
  it('a pod on a node goes gracefully, may be hurried, and is gone with grace 0', async () => {
    await makeNode('grace-node');
    await server.call('POST', `${core}/pods`, { body: podNamed('graceful') });
    expect((await bind('graceful', 'grace-node')).code).toBe(201);
    expect(await bind('graceful', 'grace-node')).toMatchObject({
      code: 409,
      body: { message: expect.stringContaining('pod graceful is already assigned to node "grace-node"') },
    });
    const path = `${core}/pods/graceful`;
    const first = await server.call('DELETE', path);
    expect(first.body.metadata).toMatchObject({ deletionGracePeriodSeconds: 30, generation: 2 });
    const longer = await server.call('DELETE', path, { body: { gracePeriodSeconds: 60 } });
    expect(longer.body.metadata).toEqual(first.body.metadata);
    const shorter = await server.call('DELETE', path, { body: { gracePeriodSeconds: 5 } });
    expect(shorter.body.metadata).toMatchObject({ deletionGracePeriodSeconds: 5 });
    expect((await server.call('DELETE', path, { body: { gracePeriodSeconds: 0 } })).code).toBe(200);
    expect((await server.call('GET', path)).code).toBe(404);
  });

  it('a finalizer holds an object until it is taken away, and no new one may come', async () => {
    const path = `${core}/configmaps/held`;
    await server.call('POST', `${core}/configmaps`, { body: { metadata: { name: 'held', finalizers: ['a.b/c'] } } });
    expect((await server.call('DELETE', path)).body.metadata).toMatchObject({ deletionGracePeriodSeconds: 0 });
    const more = { metadata: { finalizers: ['a.b/c', 'd.e/f'] } };
    expect((await server.call('PATCH', path, { body: more, contentType: merge })).code).toBe(422);
    const none = { metadata: { finalizers: null } };
    expect((await server.call('PATCH', path, { body: none, contentType: merge })).code).toBe(200);
    expect((await server.call('GET', path)).code).toBe(404);
  });

  it('wrong preconditions stop a delete', async () => {
    await server.call('POST', `${core}/configmaps`, { body: { metadata: { name: 'guarded' } } });
    const body = { preconditions: { uid: 'other' } };
    expect((await server.call('DELETE', `${core}/configmaps/guarded`, { body })).code).toBe(409);
  });

  it('a namespace takes nothing new while it ends, and ends when its finalizers are gone', async () => {
    const namespace = await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'ending' } } });
    expect(namespace.body).toMatchObject({ spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } });
    await server.call('DELETE', '/api/v1/namespaces/ending');
    const refused = await server.call('POST', '/api/v1/namespaces/ending/configmaps', {
      body: { metadata: { name: 'x' } },
    });
    expect(refused).toMatchObject({ code: 403, body: { details: { causes: [{ reason: 'NamespaceTerminating' }] } } });
    const { body } = await server.call('GET', '/api/v1/namespaces/ending');
    await server.call('PUT', '/api/v1/namespaces/ending/finalize', { body: { ...body, spec: { finalizers: [] } } });
    expect((await server.call('GET', '/api/v1/namespaces/ending')).code).toBe(404);
    expect((await server.call('DELETE', '/api/v1/namespaces/kube-system')).code).toBe(403);
  });
});

describe('services', () => {
  it('get an address and a port, keep them, share none, and give them back', async () => {
    const path = `${core}/services`;
    const spec = { type: 'NodePort', selector: { a: 'b' }, ports: [{ port: 80 }] };
    const { body } = await server.call('POST', path, { body: { metadata: { name: 'one' }, spec } });
    const { clusterIP, ports } = body['spec'] as { clusterIP: string; ports: Array<{ nodePort: number }> };
    expect(clusterIP).toMatch(/^10\.96\./);
    const nodePort = ports[0]?.nodePort;
    expect(nodePort).toBeGreaterThanOrEqual(30_000);
    const again = await server.call('PUT', `${path}/one`, { body: { metadata: { name: 'one' }, spec } });
    expect(again.body['spec']).toMatchObject({ clusterIP, ports: [{ nodePort }] });
    const twin = { metadata: { name: 'two' }, spec: { ...spec, clusterIP, ports: [{ port: 80, nodePort }] } };
    const refused = await server.call('POST', path, { body: twin });
    expect(refused.code).toBe(422);
    expect(refused.body['message']).toContain('provided IP is already allocated');
    expect(refused.body['message']).toContain('provided port is already allocated');
    await server.call('DELETE', `${path}/one`);
    expect((await server.call('POST', path, { body: twin })).code).toBe(201);
  });

  it('default/kubernetes has the first address and this server behind it', async () => {
    const { body } = await server.call('GET', `${core}/services/kubernetes`);
    expect(body['spec']).toMatchObject({ clusterIP: '10.96.0.1', ports: [{ name: 'https', port: 443 }] });
    const slice = await server.call('GET', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes');
    expect(slice.body).toMatchObject({ ports: [{ port: Number(new URL(server.url).port) }] });
  });
});

describe('lists and watches', () => {
  it('pages show one revision, whatever is written meanwhile', async () => {
    const path = `${core}/secrets`;
    for (const name of ['a', 'b', 'c'])
      await server.call('POST', path, { body: { metadata: { name, labels: { p: '1' } } } });
    const first = await server.call('GET', `${path}?limit=2`);
    expect(first.body['items']).toHaveLength(2);
    expect(first.body.metadata).toMatchObject({ remainingItemCount: 1 });
    await server.call('POST', path, { body: { metadata: { name: 'bb' } } });
    const rest = await server.call('GET', `${path}?limit=2&continue=${first.body.metadata['continue'] as string}`);
    expect((rest.body['items'] as Array<{ metadata: { name: string } }>).map(({ metadata }) => metadata.name)).toEqual([
      'c',
    ]);
    expect(rest.body.metadata['resourceVersion']).toBe(first.body.metadata['resourceVersion']);
  });

  it('a list shows what was just written, and selects by labels and fields', async () => {
    for (let i = 0; i < 5; i++) {
      const name = `fresh-${i}`;
      await server.call('POST', `${core}/configmaps`, { body: { metadata: { name, labels: { i: String(i) } } } });
      const listed = await server.call('GET', `${core}/configmaps?labelSelector=i%3D${i}`);
      expect(listed.body['items']).toHaveLength(1);
    }
    const one = await server.call('GET', '/api/v1/configmaps?fieldSelector=metadata.name%3Dfresh-3');
    expect(one.body['items']).toHaveLength(1);
    const bad = await server.call('GET', '/api/v1/configmaps?fieldSelector=data.a%3Db');
    expect(bad).toMatchObject({ code: 400, body: { message: expect.stringContaining('not a known field selector') } });
  });

  it('a watch tells of objects that begin and cease to match, and of deletion with its revision', async () => {
    const stop = new AbortController();
    const { body } = await server.call('GET', `${core}/configmaps`);
    const from = body.metadata['resourceVersion'] as string;
    const events = server.watch(`${core}/configmaps?watch=true&resourceVersion=${from}&labelSelector=w`, stop.signal);
    const patch = (labels: object): Promise<Answer> =>
      server.call('PATCH', `${core}/configmaps/watched`, { body: { metadata: { labels } }, contentType: merge });
    await server.call('POST', `${core}/configmaps`, { body: { metadata: { name: 'watched' } } });
    await patch({ w: '1' });
    await patch({ w: '2' });
    const gone = await patch({ w: null });
    await patch({ w: '3' });
    await server.call('DELETE', `${core}/configmaps/watched`);
    const seen: Array<{ type: string; labels: unknown; revision: unknown }> = [];
    for await (const { type, object } of events) {
      seen.push({ type, labels: object.metadata['labels'], revision: object.metadata['resourceVersion'] });
      if (seen.length === 5) stop.abort();
    }
    expect(seen.map(({ type, labels }) => [type, labels])).toEqual([
      ['ADDED', { w: '1' }],
      ['MODIFIED', { w: '2' }],
      ['DELETED', { w: '2' }],
      ['ADDED', { w: '3' }],
      ['DELETED', { w: '3' }],
    ]);
    expect(seen[2]?.revision).toBe(gone.body.metadata['resourceVersion']);
  });

  it('a watch list ends its beginning with a bookmark', async () => {
    const stop = new AbortController();
    const query = 'watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan';
    const types: string[] = [];
    for await (const { type, object } of server.watch(`/api/v1/namespaces?${query}`, stop.signal)) {
      types.push(type);
      if (type !== 'BOOKMARK') continue;
      expect(object.metadata['annotations']).toEqual({ 'k8s.io/initial-events-end': 'true' });
      stop.abort();
    }
    expect(types.filter((type) => type === 'ADDED').length).toBeGreaterThanOrEqual(4);
    expect(types.at(-1)).toBe('BOOKMARK');
  });

  it('a watch from before the history says so', async () => {
    const stop = new AbortController();
    for await (const event of server.watch('/api/v1/limitranges?watch=true&resourceVersion=1', stop.signal)) {
      expect(event).toMatchObject({ type: 'ERROR', object: { code: 410, reason: 'Expired' } });
    }
  });

  it('tables have upstream’s columns', async () => {
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    const { body } = await server.call('GET', '/api/v1/pods', { accept });
    const names = (body['columnDefinitions'] as Array<{ name: string }>).map(({ name }) => name);
    expect(names).toEqual([
      'Name',
      'Ready',
      'Status',
      'Restarts',
      'Age',
      'IP',
      'Node',
      'Nominated Node',
      'Readiness Gates',
    ]);
  });
});

describe('discovery', () => {
  it('comes in one document or in many', async () => {
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';
    const all = await server.call('GET', '/apis', { accept });
    expect(all.headers['content-type']).toBe('application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList');
    expect((all.body['items'] as Array<{ metadata: { name: string } }>)[0]?.metadata.name).toBe('apps');
    const apps = await server.call('GET', '/apis/apps/v1');
    const names = (apps.body['resources'] as Array<{ name: string }>).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['deployments', 'deployments/scale', 'deployments/status']));
    expect((await server.call('GET', '/apis/apps/v2')).code).toBe(404);
    expect((await server.call('GET', '/apis/none.example/v1')).text).toBe('404 page not found\n');
  });

  it('OpenAPI says that a PATCH of a Deployment takes fieldValidation', async () => {
    const index = await server.call('GET', '/openapi/v3');
    const { serverRelativeURL } =
      (index.body['paths'] as Record<string, { serverRelativeURL: string }>)['apis/apps/v1'] ?? {};
    const { body } = await server.call('GET', serverRelativeURL ?? '');
    const paths = body['paths'] as Record<string, { patch?: { parameters: Array<{ name: string }> } }>;
    const patch = paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}']?.patch;
    expect(patch?.parameters.map(({ name }) => name)).toContain('fieldValidation');
  });
});

describe('what a kubelet answers', () => {
  it('logs stream through, and upgraded connections are relayed as bytes', async () => {
    const serving = await server.pki.issueServing({ commonName: 'system:node:relay', names: ['127.0.0.1'] });
    const asked: string[] = [];
    const kubelet = https.createServer(
      {
        cert: serving.certPem,
        key: serving.keyPem,
        ca: readFileSync(server.pki.files.caCert),
        requestCert: true,
        rejectUnauthorized: true,
      },
      (request, response) => {
        asked.push(request.url ?? '');
        response.write('one\n');
        response.end('two\n');
      },
    );
    kubelet.on('upgrade', (request, socket) => {
      asked.push(`${request.method} ${request.url} ${String(request.headers.authorization)}`);
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\n');
      socket.on('data', (bytes: Buffer) => socket.end(`echo ${bytes}`));
    });
    await new Promise<void>((resolve) => kubelet.listen(0, '127.0.0.1', resolve));
    try {
      await makeNode('relay', (kubelet.address() as AddressInfo).port);
      await server.call('POST', `${core}/pods`, { body: podNamed('talks') });
      await bind('talks', 'relay');
      const log = await server.call('GET', `${core}/pods/talks/log?follow=true&tailLines=5`);
      expect(log.text).toBe('one\ntwo\n');
      const query = 'container=c&stdin=true&stdout=true&tty=true&command=sh&command=-c&command=echo%20a';
      const text = await upgraded(`${core}/pods/talks/exec?${query}`, 'SPDY/3.1');
      expect(text).toContain('101 Switching Protocols');
      expect(text).toContain('echo hello');
      expect(asked).toEqual([
        '/containerLogs/default/talks/c?follow=true&tailLines=5',
        'POST /exec/default/talks/c?input=1&output=1&tty=1&command=sh&command=-c&command=echo+a undefined',
      ]);
      const refused = await upgraded(`${core}/pods/talks/exec?${query}`, 'websocket', 'v5.channel.k8s.io');
      expect(refused).toMatch(/^HTTP\/1\.1 400 /);
    } finally {
      kubelet.closeAllConnections();
      kubelet.close();
    }
  });

  /** Sends an upgrade and then `hello`; what comes back until the connection ends. */
  async function upgraded(path: string, protocol: string, subprotocol = ''): Promise<string> {
    const admin = await server.pki.issueClient({ name: 'admin', groups: ['system:masters'] });
    const { hostname, port } = new URL(server.url);
    const socket = tls.connect({
      host: hostname,
      port: Number(port),
      ca: readFileSync(server.pki.files.caCert),
      cert: admin.certPem,
      key: admin.keyPem,
    });
    const method = protocol === 'websocket' ? 'GET' : 'POST';
    const extra = subprotocol === '' ? '' : `Sec-WebSocket-Protocol: ${subprotocol}\r\n`;
    socket.write(
      `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${extra}\r\n`,
    );
    let text = '';
    for await (const chunk of socket) {
      text += String(chunk);
      if (text.endsWith('\r\n\r\n')) socket.write('hello');
    }
    return text;
  }
});
