/** How containers start, end and start again: hooks, rules, last words, grace, as kubectl and the logs tell it. */
import { describe, expect, it } from 'vitest';
import { labImages } from '../../src/lab/images/lab-images.ts';
import type { Container, LifecycleHandler, Pod } from '../../src/objects/generated/core-v1.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import {
  applyObjects,
  awaitEvent,
  awaitGone,
  awaitPhase,
  awaitPod,
  awaitReady,
  conditionOf,
  containerOf,
  eventsOf,
  Follower,
  getPod,
  inPod,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

/** Seconds with hundredths since the node was started: one clock for all containers. */
const stamp = (what: string): string => `echo "$(cut -d' ' -f1 /proc/uptime) ${what}"`;
const exec = (script: string): LifecycleHandler => ({ exec: { command: ['sh', '-c', script] } });
const onCode = (code: number, action: string): Partial<Container> => ({
  restartPolicy: 'Never',
  restartPolicyRules: [{ action, exitCodes: { operator: 'In', values: [code] } }],
});
const reasonOf = (pod: Pod, type: string): string | undefined =>
  pod.status?.conditions?.find((condition) => condition.type === type)?.reason;

describeAsRoot('the life of containers', () => {
  const lab = useLab();

  describe.concurrent('starting over', () => {
    it('one exit starts all containers of the pod over, in their sandbox, with their logs', async () => {
      const script = 'echo run; while :; do test -e /shared/boom && rm /shared/boom && exit 42; sleep 0.1; done';
      const shared = { volumeMounts: [{ name: 'shared', mountPath: '/shared' }] };
      await applyObjects(
        lab,
        podOf(
          'over',
          [shell(script, { ...shared, ...onCode(42, 'RestartAllContainers') }), shell(untilAsked, { name: 'other' })],
          {
            volumes: [{ name: 'shared', emptyDir: {} }],
            initContainers: [
              shell('echo first; date +%s%N >> /shared/starts', { name: 'prepare', ...shared }),
              shell(untilAsked, { name: 'side', restartPolicy: 'Always' }),
            ],
          },
        ),
      );
      const before = await awaitReady(lab, 'over');
      expect(reasonOf(before, 'AllContainersRestarting')).toBeUndefined();
      expect(conditionOf(before, 'AllContainersRestarting')).toBe('False');
      await inPod(lab, 'over', 'touch /shared/boom');
      const after = await awaitPod(
        lab,
        'over',
        'the second run of all',
        (pod) =>
          ['main', 'other', 'prepare', 'side'].every((name) => containerOf(pod, name)?.restartCount === 1) &&
          conditionOf(pod, 'Ready') === 'True',
      );
      expect(after.status?.podIP).toBe(before.status?.podIP);
      expect(containerOf(after)?.lastState?.terminated?.exitCode).toBe(42);
      expect(containerOf(after, 'other')?.lastState?.terminated?.reason).toBe('Completed');
      expect(conditionOf(after, 'AllContainersRestarting')).toBe('False');
      expect(await inPod(lab, 'over', 'wc -l < /shared/starts')).toBe('2\n');
      expect(await lab.onNode(0, 'sh', '-c', `cat /var/log/pods/default_over_*/main/0.log | wc -l`)).toBe('1\n');
      expect((await awaitEvent(lab, 'over', 'Killing', 'killing')).type).toBe('Normal');
      expect((await eventsOf(lab, 'over')).filter(({ reason }) => reason === 'SandboxChanged')).toEqual([]);
    });

    it('a rule starts a container of a pod that never restarts again, and only for its codes', async () => {
      const script = 'n=$(cat /s/n 2>/dev/null || echo 0); echo $((n + 1)) > /s/n; test $n = 0 && exit 3; exit 4';
      await applyObjects(
        lab,
        podOf('ruled', [shell(script, { ...onCode(3, 'Restart'), volumeMounts: [{ name: 's', mountPath: '/s' }] })], {
          restartPolicy: 'Never',
          volumes: [{ name: 's', emptyDir: {} }],
        }),
      );
      const pod = await awaitPhase(lab, 'ruled', 'Failed');
      expect(containerOf(pod)).toMatchObject({
        restartCount: 1,
        state: { terminated: { exitCode: 4 } },
        lastState: { terminated: { exitCode: 3 } },
      });
    });

    it('rules that could never act are not taken', async () => {
      const sidecar = shell(untilAsked, { name: 'side', ...onCode(1, 'Restart'), restartPolicy: 'Always' });
      const pod = podOf('refused', [shell(untilAsked, { restartPolicyRules: [{ action: 'Restart' }] })], {
        initContainers: [sidecar],
      });
      await expect(applyObjects(lab, pod)).rejects.toThrow(
        /initContainers\[0\].restartPolicyRules: Forbidden[^]*must specify restartPolicy when restart rules are used/,
      );
    });

    it('a clean exit of a container that always restarts waits, too, and says so', async () => {
      await applyObjects(lab, podOf('again', 'exit 0'));
      const pod = await awaitPod(
        lab,
        'again',
        'back-off',
        (one) => containerOf(one)?.state?.waiting?.reason === 'CrashLoopBackOff',
      );
      expect(pod.status?.phase).toBe('Running');
      expect(containerOf(pod)).toMatchObject({
        restartCount: 1,
        state: {
          waiting: {
            message: `back-off 10s restarting failed container=main pod=again_default(${pod.metadata.uid})`,
          },
        },
        lastState: { terminated: { exitCode: 0, reason: 'Completed' } },
      });
      await awaitEvent(
        lab,
        'again',
        'BackOff',
        /^Back-off restarting failed container main in pod again_default\(.*\)$/,
      );
    });

    it('another image replaces a running container, even where nothing restarts', async () => {
      await applyObjects(lab, podOf('image', untilAsked, { restartPolicy: 'Never' }));
      const before = await awaitReady(lab, 'image');
      await lab.kubectl('set', 'image', 'pod/image', `main=${labImages.web}`);
      await awaitEvent(lab, 'image', 'Killing', 'Container main definition changed, will be restarted');
      const after = await awaitPod(lab, 'image', 'restart', (pod) => containerOf(pod)?.restartCount === 1);
      expect(containerOf(after)?.containerID).not.toBe(containerOf(before)?.containerID);
    });
  });

  describe.concurrent('hooks', () => {
    it('preStop runs before the end, as a command, a request or a pause, within the grace period', async () => {
      const script =
        "trap 'echo asked; exit 0' TERM; mkdir -p /www; httpd -f -p 8080 -h /www & while :; do sleep 0.1; done";
      const hooked = (name: string, preStop: LifecycleHandler): Pod =>
        podOf(name, [shell(script, { ports: [{ name: 'http', containerPort: 8080 }], lifecycle: { preStop } })], {
          terminationGracePeriodSeconds: 30,
        });
      await applyObjects(
        lab,
        hooked('stop-exec', exec('echo warned > /proc/1/fd/1')),
        hooked('stop-http', { httpGet: { port: 'http', path: '/nothing-here' } }),
        hooked('stop-sleep', { sleep: { seconds: 1 } }),
        hooked('stop-fail', exec('exit 1')),
      );
      const names = ['stop-exec', 'stop-http', 'stop-sleep', 'stop-fail'];
      const followers = await Promise.all(
        names.map(async (name) => {
          await awaitReady(lab, name);
          return Follower.kubectl(lab, 'logs', '-f', name);
        }),
      );
      try {
        await lab.kubectl('delete', 'pod', ...names, '--wait=false');
        for (const follower of followers) await follower.until('asked');
        expect(followers[0]?.output).toMatch(/warned\nasked/);
        await Promise.all(names.map((name) => awaitGone(lab, name)));
        await awaitEvent(lab, 'stop-fail', 'FailedPreStopHook', 'PreStopHook failed');
        for (const name of names.slice(0, 3)) {
          expect((await eventsOf(lab, name)).map(({ reason }) => reason)).not.toContain('FailedPreStopHook');
        }
      } finally {
        for (const follower of followers) await follower.close();
      }
    });

    it('a failed postStart hook ends its container', async () => {
      const place = '/api/v1/namespaces/default/pods?watch=true&fieldSelector=metadata.name%3Dstart-fail';
      const watch = Follower.kubectl(lab, 'get', '--raw', place);
      try {
        await applyObjects(
          lab,
          podOf('start-fail', [shell(untilAsked, { lifecycle: { postStart: exec('echo no; exit 7') } })]),
        );
        const [text] = await watch.until(/"waiting":{[^{}]*PostStartHookError[^{}]*}/);
        expect(text).toMatch(
          /Exec lifecycle hook \(\[sh -c echo no; exit 7\]\) for Container \\"main\\" in Pod \\"start-fail_default\(.*\)\\" failed - error: command 'sh -c echo no; exit 7' exited with 7: , message: \\"no\\\\n\\"/,
        );
        await awaitEvent(lab, 'start-fail', 'FailedPostStartHook', 'PostStartHook failed');
        await awaitEvent(lab, 'start-fail', 'Killing', 'FailedPostStartHook');
      } finally {
        await watch.close();
      }
    });
  });

  describe.concurrent('ending', () => {
    it('sidecars end last, in reverse, while their preStop hooks run at once', async () => {
      const ending = (name: string, seconds: number): string =>
        `end() { sleep ${seconds}; ${stamp(`${name} ends`)}; exit 0; }; trap end TERM; while :; do sleep 0.1; done`;
      const sidecar = (name: string): Container =>
        shell(ending(name, 0), {
          name,
          restartPolicy: 'Always',
          lifecycle: { preStop: exec(`${stamp(`${name} warned`)} > /proc/1/fd/1`) },
        });
      await applyObjects(
        lab,
        podOf('order', [shell(ending('main', 1))], {
          initContainers: [sidecar('one'), sidecar('two')],
          terminationGracePeriodSeconds: 30,
        }),
      );
      await awaitReady(lab, 'order');
      const followers = ['one', 'two', 'main'].map((name) => Follower.kubectl(lab, 'logs', '-f', 'order', '-c', name));
      try {
        await lab.kubectl('delete', 'pod', 'order', '--wait=false');
        for (const follower of followers) await follower.until('ends');
        const lines = followers.flatMap(({ output }) => output.trim().split('\n'));
        const told = lines
          .map((line) => line.split(' '))
          .toSorted(([a], [b]) => Number(a) - Number(b))
          .map(([, ...words]) => words.join(' '));
        expect(told.slice(0, 2).toSorted()).toEqual(['one warned', 'two warned']);
        expect(told.slice(2)).toEqual(['main ends', 'two ends', 'one ends']);
        await awaitGone(lab, 'order');
      } finally {
        for (const follower of followers) await follower.close();
      }
    });

    it('a probe has its own grace period', async () => {
      const stubborn = "trap '' TERM; while :; do sleep 0.1; done";
      await applyObjects(
        lab,
        podOf(
          'probed',
          [
            shell(stubborn, {
              livenessProbe: {
                exec: { command: ['false'] },
                periodSeconds: 1,
                failureThreshold: 1,
                terminationGracePeriodSeconds: 1,
              },
            }),
          ],
          { terminationGracePeriodSeconds: 600 },
        ),
      );
      const pod = await awaitPod(lab, 'probed', 'restart', (one) => (containerOf(one)?.restartCount ?? 0) > 0);
      expect(containerOf(pod)?.lastState?.terminated?.exitCode).toBe(137);
      await lab.kubectl('delete', 'pod', 'probed', '--grace-period=1');
    });

    it('a deletion without grace takes two seconds, whatever the pod wants', async () => {
      const stubborn = "trap '' TERM; while :; do sleep 0.1; done";
      await applyObjects(
        lab,
        podOf('forced', [shell(stubborn, { lifecycle: { preStop: { sleep: { seconds: 300 } } } })], {
          terminationGracePeriodSeconds: 1,
        }),
      );
      await awaitReady(lab, 'forced');
      await lab.kubectl('delete', 'pod', 'forced', '--grace-period=0', '--force', '--wait=false');
      await awaitGone(lab, 'forced');
      await eventually('the end of its processes', 30_000, async () => {
        const { stdout } = await lab.gantry(
          'lab',
          'exec',
          '--name',
          lab.name,
          '--node',
          lab.nodeName(0),
          '--',
          'sh',
          '-c',
          'ls /var/log/pods',
        );
        return stdout.includes('default_forced_') ? undefined : true;
      });
    });

    it('last words come from the file, or from the log of a failure, up to their limits', async () => {
      const fallback: Partial<Container> = { terminationMessagePolicy: 'FallbackToLogsOnError' };
      const once = { restartPolicy: 'Never' };
      await applyObjects(
        lab,
        podOf(
          'words',
          [
            shell('printf file > /dev/termination-log; echo log; exit 1', { ...fallback, name: 'both' }),
            shell('seq 1 200; exit 1', { ...fallback, name: 'lines' }),
            shell('echo log; exit 0', { ...fallback, name: 'well' }),
            shell('echo log; exit 1', { name: 'silent' }),
            shell('printf here > /tmp/last', { name: 'elsewhere', terminationMessagePath: '/tmp/last' }),
          ],
          once,
        ),
        podOf('long', 'yes | head -c 9000 > /dev/termination-log', once),
        podOf(
          'shared',
          [1, 2, 3, 4].map((n) => shell('yes | head -c 9000 > /dev/termination-log', { name: `c${n}` })),
          once,
        ),
        podOf('nowhere', [shell('', { command: ['/no/such/program'] })], once),
      );
      const [words, long, shared, nowhere] = await Promise.all([
        awaitPhase(lab, 'words', 'Failed'),
        awaitPhase(lab, 'long', 'Succeeded'),
        awaitPhase(lab, 'shared', 'Succeeded'),
        awaitPhase(lab, 'nowhere', 'Failed'),
      ]);
      const said = (pod: Pod, name?: string): string | undefined => containerOf(pod, name)?.state?.terminated?.message;
      expect(said(words, 'both')).toBe('file');
      expect(said(words, 'lines')).toBe(Array.from({ length: 80 }, (_, i) => `${i + 121}\n`).join(''));
      expect(said(words, 'well')).toBeUndefined();
      expect(said(words, 'silent')).toBeUndefined();
      expect(said(words, 'elsewhere')).toBe('here');
      expect(said(long)?.length).toBe(4096);
      expect(said(shared, 'c1')?.length).toBe(12_288 / 4);
      expect(said(nowhere)).toContain('no such file or directory');
    });
  });

  it('kubectl debug looks into a running container', async () => {
    await applyObjects(lab, podOf('debugged', [shell(`echo inside; ${untilAsked}`)]));
    await awaitReady(lab, 'debugged');
    await lab.kubectl(
      'debug',
      'debugged',
      `--image=${labImages.busybox}`,
      '--target=main',
      '--container=look',
      '--',
      'sh',
      '-c',
      'grep -c "trap.*exit 0" /proc/1/cmdline; exit 5',
    );
    const pod = await awaitPod(
      lab,
      'debugged',
      'end of the look',
      (one) => one.status?.ephemeralContainerStatuses?.[0]?.state?.terminated !== undefined,
    );
    expect(pod.status?.ephemeralContainerStatuses?.[0]).toMatchObject({
      name: 'look',
      restartCount: 0,
      state: { terminated: { exitCode: 5 } },
    });
    expect(await lab.kubectl('logs', 'debugged', '-c', 'look')).toBe('1\n');
    expect(conditionOf(await getPod(lab, 'debugged'), 'Ready')).toBe('True');
  });
});
