/** Images from a registry that asks who is there: pull secrets, plugins, and what present images are worth. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, it } from 'vitest';
import { createOciArchive } from '../../src/lab/images/oci-archive.ts';
import { imageSources, labImages, staticPrograms } from '../../src/lab/images/lab-images.ts';
import { inNode } from '../../src/lab/node-files.ts';
import type { WhyAnswer } from '../../src/kubelet/support/timeline/why-answer.ts';
import type { Pod, PodSpec } from '../../src/objects/generated/core-v1.ts';
import type { RegistryRules } from '../fakes/registry.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, mainFile, useLab } from './support/lab.ts';
import {
  applyObjects,
  awaitEvent,
  awaitPod,
  awaitReady,
  containerOf,
  eventsOf,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

const port = 5000;
const registry = `localhost:${port}`;
const image = {
  open: `${registry}/open/app:1`,
  team: `${registry}/team/app:1`,
  cloud: `${registry}/cloud/app:1`,
  robot: `${registry}/robot/app:1`,
  slow: `${registry}/slow/app:1`,
} as const;
const registryFile = fileURLToPath(new URL('support/registry-process.ts', import.meta.url));

const rules: RegistryRules = {
  users: { ann: 'ann-word', bob: 'bob-word', plug: 'plug-word', robot: 'robot-word' },
  readers: { 'team/app': ['ann'], 'cloud/app': ['plug'], 'robot/app': ['robot'] },
};

describeAsRoot('images of a registry', () => {
  const lab = useLab();
  let directory: string;

  beforeAll(async () => {
    directory = join(lab.directory, 'registry');
    mkdirSync(directory);
    writeFileSync(join(directory, 'images.tar'), archiveOf(Object.values(image)));
    writeFileSync(join(directory, 'rules.json'), JSON.stringify(rules));
    writePlugins(directory);
    const script = 'log="$1"; shift; setsid "$@" >>"$log" 2>&1 </dev/null &';
    const program = [process.execPath, registryFile, directory, String(port)];
    await lab.onNode(0, 'sh', '-c', script, 'sh', join(directory, 'registry.log'), ...program);
    await eventually('the registry', patienceMs, () =>
      Promise.resolve(existsSync(join(directory, 'ready')) || undefined),
    );
    await lab.stop(0, 'agent');
    addAgentFlags([
      `--image-credential-provider-config=${join(directory, 'providers.json')}`,
      `--image-credential-provider-bin-dir=${directory}`,
    ]);
    await lab.start(0, 'agent');
    await applyObjects(
      lab,
      dockerSecret('ann', 'ann'),
      dockerSecret('bob', 'bob'),
      dockerSecret('copy-of-ann', 'ann'),
      oldSecret('old-ann', 'ann'),
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'puller' }, imagePullSecrets: [{ name: 'ann' }] },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot' } },
    );
  });

  /** The lab starts a process as it was recorded. */
  function addAgentFlags(flags: readonly string[]): void {
    const path = join(lab.directory, 'processes', `${lab.nodeName(0)}.agent.json`);
    const record = JSON.parse(readFileSync(path, 'utf8')) as { command: string[] }; // the lab's own file
    writeFileSync(path, JSON.stringify({ ...record, command: [...record.command, ...flags] }));
  }

  const notes = (name: string): string[] =>
    existsSync(join(directory, name))
      ? readFileSync(join(directory, name), 'utf8')
          .split('\n')
          .filter((line) => line !== '')
      : [];
  const asked = (repository: string): string[] =>
    notes('requests.log').filter((line) => line.includes(` ${repository}/manifests/`));
  const pod = (name: string, of: string, spec: Partial<PodSpec> = {}, imagePullPolicy = 'IfNotPresent'): Pod =>
    podOf(name, [shell(untilAsked, { image: of, imagePullPolicy })], spec);
  const secrets = (...names: string[]): Partial<PodSpec> => ({ imagePullSecrets: names.map((name) => ({ name })) });
  const waiting = async (name: string, reason: string): Promise<string> => {
    const seen = await awaitPod(lab, name, reason, (one) => containerOf(one)?.state?.waiting?.reason === reason);
    return containerOf(seen)?.state?.waiting?.message ?? '';
  };
  const present = (of: string): string =>
    `Container image "${of}" already present on machine and can be accessed by the pod`;

  it('that comes slowly: what is seen of the pull is told', async () => {
    const setRules = (now: RegistryRules): void => {
      writeFileSync(join(directory, 'rules.new'), JSON.stringify(now));
      renameSync(join(directory, 'rules.new'), join(directory, 'rules.json')); // never read half
    };
    setRules({ ...rules, held: ['slow/app'] });
    await applyObjects(lab, pod('slow', image.slow));
    const why = [process.execPath, mainFile, 'why', 'pod', 'default/slow', '-o', 'json'];
    const { cause } = await eventually('the pull to be told', patienceMs, async () => {
      const answer = JSON.parse(await lab.onNode(0, ...why)) as WhyAnswer;
      return answer.phases.some(({ phase, outcome }) => phase === 'pull' && outcome === 'running') ? answer : undefined;
    });
    expect(cause).toMatch(
      new RegExp(
        `^The pod is being started: pulling image "${image.slow}" runs since [0-9.]+s, the disk with the images has filled by [0-9.]+ [MG]B meanwhile\\.$`,
      ),
    );
    setRules(rules);
    await awaitReady(lab, 'slow');
  });

  it('that is everybody’s is pulled once, and again for who asks for it always', async () => {
    await applyObjects(lab, pod('open-1', image.open));
    await awaitReady(lab, 'open-1');
    await awaitEvent(lab, 'open-1', 'Pulling', `Pulling image "${image.open}"`);
    await awaitEvent(
      lab,
      'open-1',
      'Pulled',
      new RegExp(
        `^Successfully pulled image "${image.open}" in [0-9.]+m?s \\([0-9.]+m?s including waiting\\)\\. Image size: [0-9]+ bytes\\.$`,
      ),
    );
    const before = asked('open/app').length;
    await applyObjects(lab, pod('open-2', image.open, {}, 'Never'));
    await awaitReady(lab, 'open-2');
    await awaitEvent(lab, 'open-2', 'Pulled', present(image.open));
    expect(asked('open/app')).toHaveLength(before);
    await applyObjects(lab, pod('open-3', image.open, {}, 'Always'));
    await awaitReady(lab, 'open-3');
    await awaitEvent(lab, 'open-3', 'Pulled', 'Successfully pulled image');
    expect(asked('open/app').length).toBeGreaterThan(before);
  });

  it('that is private comes for the right secret, and being there opens it to nobody else', async () => {
    await applyObjects(lab, pod('none', image.team), pod('wrong', image.team, secrets('bob')));
    for (const name of ['none', 'wrong']) {
      await awaitEvent(lab, name, 'Failed', `Failed to pull image "${image.team}": `);
      await awaitEvent(lab, name, 'Failed', 'Error: ErrImagePull');
      await awaitEvent(lab, name, 'BackOff', `Back-off pulling image "${image.team}"`);
      await awaitEvent(lab, name, 'Failed', 'Error: ImagePullBackOff');
      const message = await waiting(name, 'ImagePullBackOff');
      expect(message).toContain(`Back-off pulling image "${image.team}": ErrImagePull: `);
      expect(message).toContain(`failed to resolve reference "${image.team}"`);
    }
    expect(asked('team/app').filter((line) => line.endsWith(': 200'))).toEqual([]);
    expect(asked('team/app').some((line) => line.includes('as bob: 403'))).toBe(true);

    // the wrong one first: all that fit are tried
    await applyObjects(lab, pod('right', image.team, secrets('bob', 'missing', 'ann')));
    await awaitReady(lab, 'right');
    await awaitEvent(
      lab,
      'right',
      'FailedToRetrieveImagePullSecret',
      'Unable to retrieve some image pull secrets (missing); attempting to pull the image may not succeed.',
    );
    const before = asked('team/app').filter((line) => line.endsWith(': 200')).length;
    await applyObjects(
      lab,
      pod('same', image.team, secrets('ann')),
      pod('copy', image.team, secrets('copy-of-ann'), 'Never'),
      pod('old', image.team, secrets('old-ann')),
      pod('account', image.team, { serviceAccountName: 'puller' }),
      pod('other', image.team, secrets('bob')),
      pod('nobody', image.team),
      pod('never', image.team, {}, 'Never'),
    );
    for (const name of ['same', 'copy', 'old', 'account']) {
      await awaitReady(lab, name);
      await awaitEvent(lab, name, 'Pulled', present(image.team));
    }
    for (const name of ['other', 'nobody']) {
      await awaitEvent(lab, name, 'Failed', 'Error: ErrImagePull');
    }
    expect(await waiting('never', 'ErrImageNeverPull')).toBe(
      `Container image "${image.team}" is not present with pull policy of Never`,
    );
    expect(asked('team/app').filter((line) => line.endsWith(': 200'))).toHaveLength(before);
  });

  it('stays private over a crash of the agent', async () => {
    await lab.stop(0, 'agent', 'SIGKILL');
    await lab.start(0, 'agent');
    await applyObjects(lab, pod('after-none', image.team), pod('after-right', image.team, secrets('ann'), 'Never'));
    await awaitReady(lab, 'after-right');
    await awaitEvent(lab, 'after-none', 'Failed', 'Error: ErrImagePull');
    expect((await eventsOf(lab, 'after-none')).some(({ reason }) => reason === 'Pulled')).toBe(false);
  });

  it('for which a plugin has credentials needs no secret, and the plugin is asked once', async () => {
    await applyObjects(lab, pod('cloud-1', image.cloud));
    await awaitReady(lab, 'cloud-1');
    await applyObjects(lab, pod('cloud-2', image.cloud, {}, 'Always'));
    await awaitReady(lab, 'cloud-2');
    expect(asked('cloud/app').some((line) => line.includes('as plug: 200'))).toBe(true);
    expect(notes('cloud.notes').map((line) => JSON.parse(line) as unknown)).toEqual([
      {
        kind: 'CredentialProviderRequest',
        apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
        image: `${registry}/cloud/app`,
      },
    ]);
    await applyObjects(lab, pod('cloud-3', image.cloud, {}, 'Never')); // the node's credentials are every pod's
    await awaitReady(lab, 'cloud-3');
  });

  it('for which a plugin wants to know the account is that account’s', async () => {
    await applyObjects(lab, pod('robot-1', image.robot, { serviceAccountName: 'robot' }));
    await awaitReady(lab, 'robot-1');
    const [request = '{}'] = notes('robot.notes');
    const { serviceAccountToken = '' } = JSON.parse(request) as { serviceAccountToken?: string };
    const [, claims = ''] = serviceAccountToken.split('.');
    expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({
      aud: ['registry'],
      sub: 'system:serviceaccount:default:robot',
      'kubernetes.io': { pod: { name: 'robot-1' } },
    });
    await applyObjects(lab, pod('robot-2', image.robot, { serviceAccountName: 'robot' }, 'Never'));
    await awaitReady(lab, 'robot-2');
    await applyObjects(lab, pod('robot-3', image.robot, { serviceAccountName: 'puller' }, 'Never'));
    expect(await waiting('robot-3', 'ErrImageNeverPull')).toContain('is not present');
  });

  it('goes when nobody uses it and the disk is fuller than it may be', async () => {
    const images = (): Promise<string> => lab.onNode(0, 'ctr', '--namespace', 'k8s.io', 'images', 'ls', '-q');
    expect(await images()).toContain(image.open);
    await lab.kubectl('delete', 'pod', 'open-1', 'open-2', 'open-3');
    await eventually('the end of their containers', patienceMs, async () => {
      const containers = await lab.onNode(0, 'ctr', '--namespace', 'k8s.io', 'containers', 'ls');
      return !containers.includes(image.open) || undefined; // ended ones keep an image, too
    });
    await lab.stop(0, 'agent');
    const limits = 'imageGCHighThresholdPercent: 2\nimageGCLowThresholdPercent: 1\n';
    const script = 'sed -i "/^imageGC/d" "$1"; printf "%b" "$2" >> "$1"';
    await lab.onNode(0, 'sh', '-c', script, 'sh', inNode.kubeletConfig, limits);
    await lab.start(0, 'agent');
    await eventually(
      'the end of the image',
      patienceMs,
      async () => !(await images()).includes(image.open) || undefined,
    );
    expect(await images()).toContain(image.team); // pods have it
    await awaitEvent(
      lab,
      lab.nodeName(0),
      'FreeDiskSpaceFailed',
      /^Insufficient free disk space on the node's image filesystem \([0-9]+% of [0-9.]+ [KMGT]iB used\)\. Failed to free/,
    );
  });
});

function archiveOf(names: readonly string[]): Buffer {
  const [, busybox] = imageSources(Buffer.alloc(0), readFileSync(staticPrograms.busybox.path), ['sh', 'sleep']);
  if (busybox === undefined) throw new Error(`there is no source of ${labImages.busybox}`);
  const sources = names.map((name) => ({ ...busybox, name, env: ['PATH=/bin', `IMAGE=${name}`] }));
  return createOciArchive(sources, process.arch === 'x64' ? 'amd64' : process.arch);
}

/** Asked for one repository each; the second only gives credentials to a pod that shows who it is. */
function writePlugins(directory: string): void {
  const provider = (name: string, user: string, tokenAttributes?: object): object => ({
    name,
    matchImages: [`${registry}/${name}`],
    defaultCacheDuration: '1h',
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    args: [user],
    env: [{ name: 'NOTES', value: join(directory, `${name}.notes`) }],
    ...(tokenAttributes === undefined ? {} : { tokenAttributes }),
  });
  const script = `#!/bin/sh
request=$(cat)
echo "$request" >> "$NOTES"
cat <<END
{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Image",
"auth":{"${registry}":{"username":"$1","password":"$1-word"}}}
END
`;
  for (const name of ['cloud', 'robot']) writeFileSync(join(directory, name), script, { mode: 0o755 });
  const tokens = { serviceAccountTokenAudience: 'registry', cacheType: 'ServiceAccount', requireServiceAccount: true };
  writeFileSync(
    join(directory, 'providers.json'),
    JSON.stringify({
      apiVersion: 'kubelet.config.k8s.io/v1',
      kind: 'CredentialProviderConfig',
      providers: [provider('cloud', 'plug'), provider('robot', 'robot', tokens)],
    }),
  );
}

const dockerSecret = (name: string, user: string): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name },
  type: 'kubernetes.io/dockerconfigjson',
  stringData: {
    '.dockerconfigjson': JSON.stringify({
      auths: { [`http://${registry}`]: { auth: Buffer.from(`${user}:${user}-word`).toString('base64') } },
    }),
  },
});

/** The older form, for one repository. */
const oldSecret = (name: string, user: string): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name },
  type: 'kubernetes.io/dockercfg',
  stringData: {
    '.dockercfg': JSON.stringify({ [`${registry}/team`]: { username: user, password: `${user}-word` } }),
  },
});
