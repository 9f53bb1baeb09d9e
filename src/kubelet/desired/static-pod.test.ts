import { describe, expect, it } from 'vitest';
import { parseStaticPod, parseStaticPods, staticPodUid } from './static-pod.ts';

const minimal =
  'apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - {name: web, image: "web:1"}\n';
const parse = (text: string, origin = '/m/web.yaml', node = 'Node-1') => parseStaticPod(text, origin, node);
const podOf = (text: string, origin?: string, node?: string) => {
  const parsed = parse(text, origin, node);
  if (parsed.kind !== 'pod') throw new Error(parsed.problems.join('; '));
  return parsed.pod;
};
const withSpec = (spec: unknown): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web' },
    spec: { containers: [{ name: 'web', image: 'web:1' }], ...(spec as object) },
  });
const withContainer = (container: unknown): string =>
  withSpec({ containers: [{ name: 'web', image: 'web:1', ...(container as object) }] });

describe('parseStaticPod', () => {
  it('names the pod after the node, defaults it, and lets it tolerate NoExecute', () => {
    const pod = podOf(minimal);
    expect(pod.metadata).toEqual({
      name: 'web-node-1',
      namespace: 'default',
      uid: expect.stringMatching(/^[0-9a-f]{32}$/),
      annotations: { 'kubernetes.io/config.hash': pod.metadata.uid },
    });
    expect(pod.spec).toMatchObject({
      nodeName: 'Node-1',
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      tolerations: [{ operator: 'Exists', effect: 'NoExecute' }],
    });
    expect(pod.spec.containers[0]).toMatchObject({
      imagePullPolicy: 'IfNotPresent',
      terminationMessagePath: '/dev/termination-log',
    });
    expect(pod.status).toEqual({ phase: 'Pending' });
  });

  it('keeps its own uid, namespace and tolerations', () => {
    const pod = podOf(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'web', namespace: 'kube-system', uid: 'mine' },
        spec: { containers: [{ name: 'web', image: 'x' }], tolerations: [{ key: 'a' }] },
      }),
    );
    expect(pod.metadata).toMatchObject({
      uid: 'mine',
      namespace: 'kube-system',
      annotations: { 'kubernetes.io/config.hash': 'mine' },
    });
    expect(pod.spec.tolerations).toEqual([{ key: 'a' }, { operator: 'Exists', effect: 'NoExecute' }]);
  });

  it('reads file modes and booleans as Kubernetes does', () => {
    const text = `${minimal}  hostNetwork: yes\n  volumes: [{name: v, downwardAPI: {defaultMode: 0644}}, {name: w, hostPath: {path: "0644"}}]\n`;
    const { spec } = podOf(text);
    expect(spec.hostNetwork).toBe(true);
    expect(spec.volumes).toMatchObject([{ downwardAPI: { defaultMode: 420 } }, { hostPath: { path: '0644' } }]);
  });

  it('is another pod with another content, node or path, and the same with the same', () => {
    const uid = (text: string, path?: string, node?: string): string | undefined =>
      podOf(text, path, node).metadata.uid;
    const uids = [
      uid(minimal),
      uid(minimal.replace('web:1', 'web:2')),
      uid(minimal, '/m/other.yaml'),
      uid(minimal, undefined, 'node-2'),
    ];
    expect(new Set(uids).size).toBe(4);
    expect(uid(`# a comment\n${minimal}`)).toBe(uids[0]);
    expect(staticPodUid({ a: 1, b: [2] }, 'x', 'file', 'n')).toBe(staticPodUid({ b: [2], a: 1 }, 'x', 'file', 'n'));
    expect(staticPodUid({}, 'x', 'file', 'n')).not.toBe(staticPodUid({}, 'x', 'http', 'n'));
  });

  it.each([
    { name: 'no YAML', text: '{', want: /./ },
    { name: 'nothing in it', text: '\n', want: /^expected one pod in the file, found 0 documents$/ },
    { name: 'two pods', text: `${minimal}---\n${minimal}`, want: /^expected one pod in the file, found 2 documents$/ },
    { name: 'a list', text: '[]', want: /^expected a Pod object$/ },
    {
      name: 'another kind',
      text: 'apiVersion: v1\nkind: Service\n',
      want: /^expected apiVersion "v1" and kind "Pod", found "v1 Service"$/,
    },
    { name: 'no kind', text: 'a: 1', want: /found "no apiVersion no kind"$/ },
    {
      name: 'no name',
      text: 'apiVersion: v1\nkind: Pod\nmetadata: {}\n',
      want: /^invalid pod: name is needed for the pod$/,
    },
    {
      name: 'a wrong shape',
      text: 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n',
      want: /^spec\.containers: Required value$/,
    },
  ])('refuses $name', ({ text, want }) => {
    const parsed = parse(text);
    expect(parsed.kind === 'rejected' && parsed.problems[0]).toMatch(want);
  });

  it.each([
    { text: withSpec({ serviceAccountName: 'x' }), want: 'serviceaccounts' },
    { text: withSpec({ imagePullSecrets: [{ name: 'x' }] }), want: 'secrets' },
    { text: withSpec({ resourceClaims: [{ name: 'x' }] }), want: 'resourceclaims' },
    {
      text: withContainer({ env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'x', key: 'k' } } }] }),
      want: 'configmaps',
    },
    {
      text: withContainer({ env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'x', key: 'k' } } }] }),
      want: 'secrets',
    },
    { text: withContainer({ envFrom: [{ configMapRef: { name: 'x' } }] }), want: 'configmaps' },
    { text: withContainer({ envFrom: [{ secretRef: { name: 'x' } }] }), want: 'secrets' },
    {
      text: withSpec({ initContainers: [{ name: 'i', image: 'x', envFrom: [{ secretRef: { name: 'x' } }] }] }),
      want: 'secrets',
    },
    {
      text: withSpec({ volumes: [{ name: 'v', configMap: { name: 'x' } }] }),
      want: 'configmaps (via configmap volumes)',
    },
    { text: withSpec({ volumes: [{ name: 'v', secret: { secretName: 'x' } }] }), want: 'secrets (via secret volumes)' },
    { text: withSpec({ volumes: [{ name: 'v', azureFile: { secretName: 'x', shareName: 'y' } }] }), want: 'secrets' },
    { text: withSpec({ volumes: [{ name: 'v', iscsi: { secretRef: { name: 'x' } } }] }), want: 'secrets' },
    { text: withSpec({ volumes: [{ name: 'v', glusterfs: {} }] }), want: 'endpoints (via glusterFS volumes)' },
    { text: withSpec({ volumes: [{ name: 'v', csi: { driver: 'x' } }] }), want: 'csidrivers (via CSI volumes)' },
    {
      text: withSpec({ volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'x' } }] }),
      want: 'persistentvolumeclaims',
    },
    {
      text: withSpec({ volumes: [{ name: 'v', projected: { sources: [{ clusterTrustBundle: { path: 'x' } }] } }] }),
      want: 'clustertrustbundles',
    },
    {
      text: withSpec({ volumes: [{ name: 'v', projected: { sources: [{ podCertificate: {} }] } }] }),
      want: 'podcertificates',
    },
  ])('refuses a reference to the API: $want', ({ text, want }) => {
    expect(parse(text)).toEqual({ kind: 'rejected', problems: [`static pods may not reference ${want}`] });
  });
});

describe('parseStaticPods', () => {
  const url = 'http://x/pods';
  const item = (name: string): string => `{metadata: {name: ${name}}, spec: {containers: [{name: c, image: i}]}}`;
  const list = (...items: string[]): string => `apiVersion: v1\nkind: PodList\nitems: [${items.join(', ')}]\n`;

  it('takes one pod, which gets no toleration and another uid than from a file', () => {
    const parsed = parseStaticPods(minimal, url, 'Node-1');
    expect(parsed.kind === 'pods' && parsed.pods[0]?.metadata.name).toBe('web-node-1');
    expect(parsed.kind === 'pods' && parsed.pods[0]?.spec.tolerations).toBeUndefined();
    expect(parsed.kind === 'pods' && parsed.pods[0]?.metadata.uid).not.toBe(podOf(minimal, url).metadata.uid);
  });

  it('takes a list, of which the items need not say that they are pods', () => {
    const parsed = parseStaticPods(list(item('a'), item('b')), url, 'n');
    expect(parsed.kind === 'pods' && parsed.pods.map(({ metadata }) => metadata.name)).toEqual(['a-n', 'b-n']);
    expect(parseStaticPods(list(), url, 'n')).toEqual({ kind: 'pods', pods: [] });
  });

  it.each([
    {
      name: 'a list with one bad pod',
      text: list(item('a'), item('A_')),
      want: /^items\[1\]: metadata\.name: Invalid/,
    },
    { name: 'another list', text: 'apiVersion: v1\nkind: List\nitems: []\n', want: /found "v1 List"$/ },
    { name: 'a page of a web site', text: '<html></html>', want: /^expected a Pod object$/ },
    { name: 'items that are no list', text: 'apiVersion: v1\nkind: PodList\nitems: 3\n', want: /list of items$/ },
  ])('refuses $name', ({ text, want }) => {
    const parsed = parseStaticPods(text, url, 'n');
    expect(parsed.kind === 'rejected' && parsed.problems[0]).toMatch(want);
  });
});
