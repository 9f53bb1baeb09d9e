/** Pods from files: they need no API server, and the API shows them when it is there. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { labImages } from '../../src/lab/images/lab-images.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import { awaitGone, awaitPod, awaitReady, containerOf, getPod, isReady, patienceMs } from './support/pods.ts';

const manifestDir = '/etc/kubernetes/manifests';
/** On the node: every run of a static pod writes its story there. */
const storyDir = '/var/tmp/stories';

describeAsRoot('a static pod', () => {
  const lab = useLab();
  const mirrorOf = (name: string): string => `${name}-${lab.nodeName(0)}`;

  const write = (file: string, content: string): Promise<string> =>
    lab.onNode(0, 'sh', '-c', 'printf "%s" "$1" > "$2"', 'sh', content, `${manifestDir}/${file}`);
  const remove = (file: string): Promise<string> => lab.onNode(0, 'rm', `${manifestDir}/${file}`);
  const story = (name: string): Promise<string> => lab.onNode(0, 'cat', `${storyDir}/${name}`);
  const awaitStory = (name: string, text: string): Promise<unknown> =>
    eventually(
      `"${text}" in the story of ${name}`,
      patienceMs,
      async () => (await story(name)).includes(text) || undefined,
    );

  /** A pod that notes when it begins and ends; its end takes a moment, so that two at once would show. */
  const manifest = (name: string, word: string): string => `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
spec:
  terminationGracePeriodSeconds: 30
  containers:
  - name: main
    image: ${labImages.busybox}
    command:
    - sh
    - -c
    - |
      say() { echo "$1 ${word}" >> /story/${name}; }
      trap 'sleep 1; say end; exit 0' TERM
      say begin
      while :; do sleep 0.1; done
    volumeMounts:
    - {name: story, mountPath: /story}
  volumes:
  - name: story
    hostPath: {path: ${storyDir}, type: DirectoryOrCreate}
`;

  it('runs while the API server is away, also with an agent that starts then; its mirror comes later', async () => {
    await write('early.yaml', manifest('early', 'one'));
    const early = await awaitReady(lab, mirrorOf('early'));
    await lab.stop(0, 'kube-apiserver', 'SIGKILL');
    await write('late.yaml', manifest('late', 'one'));
    await awaitStory('late', 'begin one');
    await lab.stop(0, 'agent', 'SIGKILL');
    await lab.start(0, 'agent');
    await write('latest.yaml', manifest('latest', 'one'));
    await awaitStory('latest', 'begin one');

    await lab.start(0, 'kube-apiserver');
    for (const name of ['early', 'late', 'latest']) {
      const mirror = await awaitPod(lab, mirrorOf(name), 'mirror', isReady);
      expect(mirror.metadata.annotations).toMatchObject({
        'kubernetes.io/config.source': 'file',
        'kubernetes.io/config.mirror': mirror.metadata.annotations?.['kubernetes.io/config.hash'],
      });
      expect(mirror.metadata.ownerReferences?.[0]).toMatchObject({ kind: 'Node', name: lab.nodeName(0) });
      expect(await story(name)).toBe('begin one\n'); // once, whoever went and came
    }
    expect(containerOf(await getPod(lab, mirrorOf('early')))).toEqual(containerOf(early));
    await Promise.all([remove('late.yaml'), remove('latest.yaml')]);
  });

  it('is replaced when its manifest changes, after the old one has ended', async () => {
    const before = await getPod(lab, mirrorOf('early'));
    await write('early.yaml', manifest('early', 'two'));
    await awaitStory('early', 'begin two');
    expect(await story('early')).toBe('begin one\nend one\nbegin two\n');
    const hash = 'kubernetes.io/config.hash';
    const after = await awaitPod(
      lab,
      mirrorOf('early'),
      'new mirror',
      (pod) => isReady(pod) && pod.metadata.annotations?.[hash] !== before.metadata.annotations?.[hash],
    );
    expect(after.metadata.uid).not.toBe(before.metadata.uid);
    expect(containerOf(after)?.containerID).not.toBe(containerOf(before)?.containerID);
  });

  it('gets its mirror back when somebody deletes that, and notices nothing', async () => {
    const before = await getPod(lab, mirrorOf('early'));
    await lab.kubectl('delete', 'pod', mirrorOf('early'), '--wait=false');
    const after = await awaitPod(
      lab,
      mirrorOf('early'),
      'new mirror',
      (pod) => pod.metadata.uid !== before.metadata.uid && isReady(pod),
    );
    expect(containerOf(after)).toEqual(containerOf(before));
    expect(await lab.kubectl('logs', mirrorOf('early'))).toBe('');
    expect(await lab.kubectl('exec', mirrorOf('early'), '--', 'cat', '/story/early')).toBe(
      'begin one\nend one\nbegin two\n',
    );
  });

  it('is left alone by manifests that cannot be used, each of which the log names with the fix', async () => {
    const before = await getPod(lab, mirrorOf('early'));
    const bad = {
      'no-yaml.yaml': { content: 'apiVersion: v1\nkind: [Pod', problem: /./ },
      'no-pod.yaml': {
        content: 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n',
        problem: /expected apiVersion "v1" and kind "Pod", found "apps\/v1 Deployment"/,
      },
      'no-image.yaml': {
        content: 'apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: main}]}\n',
        problem: /image/,
      },
      'needs-api.yaml': {
        content: manifest('needs-api', 'x').replace('hostPath: {', 'configMap: {name: x}\n    #'),
        problem: /static pods may not reference configmaps/,
      },
    };
    for (const [file, { content }] of Object.entries(bad)) await write(file, content);
    await write('good.yaml', manifest('good', 'one')); // sorted before the bad ones, read in the same look
    for (const [file, { problem }] of Object.entries(bad)) {
      const entry = await eventually(`the log names ${file}`, patienceMs, async () => {
        const lines = (await readFile(join(lab.directory, 'logs', `${lab.nodeName(0)}.agent.log`), 'utf8')).split('\n');
        const line = lines.find((one) => one.includes(`"${manifestDir}/${file}"`) && one.includes('"problems"'));
        return line === undefined ? undefined : (JSON.parse(line) as { msg: string; problems: string[]; fix: string });
      });
      expect(entry.problems.join('; ')).toMatch(problem);
      expect([entry.msg, entry.fix]).toEqual(['cannot use a static pod manifest', 'mend the file or remove it']);
    }
    await awaitReady(lab, mirrorOf('good'));
    await write('no-image.yaml', manifest('mended', 'one'));
    await awaitReady(lab, mirrorOf('mended'));
    await write('good.yaml', 'kind: {');
    await awaitLog(`"${manifestDir}/good.yaml"`);
    expect(await story('good')).toBe('begin one\n'); // its last good content goes on
    expect(containerOf(await getPod(lab, mirrorOf('early')))).toEqual(containerOf(before));
    await Promise.all([...Object.keys(bad), 'good.yaml'].map(remove));
  });

  it('ends when its file is removed, and its mirror goes', async () => {
    await remove('early.yaml');
    await Promise.all(['early', 'late', 'latest', 'good', 'mended'].map((name) => awaitGone(lab, mirrorOf(name))));
    expect(await story('early')).toBe('begin one\nend one\nbegin two\nend two\n');
    expect(await story('good')).toBe('begin one\nend one\n');
    await eventually('nothing runs', patienceMs, async () => {
      const text = await lab.onNode(0, 'ctr', '--namespace', 'k8s.io', 'containers', 'list', '--quiet');
      return text === '' || undefined;
    });
  });

  function awaitLog(words: string): Promise<unknown> {
    return eventually(
      `${words} in the log`,
      patienceMs,
      async () =>
        (await readFile(join(lab.directory, 'logs', `${lab.nodeName(0)}.agent.log`), 'utf8')).includes(words) ||
        undefined,
    );
  }
});
