import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exited, testContainer, testInstance, testObserved, testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { ObservedContainer } from '../../pod-model.ts';
import { TerminationMessages, keepEnd } from './termination-messages.ts';

const signal = new AbortController().signal;
let root: string;
let reads: unknown[][];
let logText: string | Error;
let messages: TerminationMessages;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-messages-'));
  reads = [];
  logText = 'the last lines';
  messages = new TerminationMessages({
    tailLog: (...args) => {
      reads.push(args.slice(0, 3));
      return typeof logText === 'string' ? Promise.resolve(logText) : Promise.reject(logText);
    },
    log: silentLogger,
  });
});
afterEach(() => rm(root, { recursive: true, force: true }));

function ended(code: number, policy: string, more: Partial<ObservedContainer> = {}): ObservedContainer {
  return exited('web', code, {
    annotations: {
      'io.kubernetes.container.terminationMessagePath': '/dev/termination-log',
      'io.kubernetes.container.terminationMessagePolicy': policy,
    },
    mounts: [{ containerPath: '/dev/termination-log', hostPath: 'message', readonly: false }],
    logPath: '/logs/0.log',
    ...more,
  });
}

async function messageOf(
  container: ObservedContainer,
  { text = '', pod = testPod() } = {},
): Promise<string | undefined> {
  await writeFile(join(root, 'message'), text);
  const mounts = container.mounts.map((mount) => ({ ...mount, hostPath: join(root, mount.hostPath) }));
  await messages.read(pod, testObserved([{ ...container, mounts }]), signal);
  return messages.get('uid-1', 'web-0');
}

describe('TerminationMessages', () => {
  it.each([
    { name: 'the file', container: ended(1, 'File'), text: 'bye', want: 'bye' },
    { name: 'as the program wrote it, with its newline', container: ended(0, 'File'), text: ' bye\n', want: ' bye\n' },
    { name: 'the file after a success, too', container: ended(0, 'FallbackToLogsOnError'), text: 'ok', want: 'ok' },
    {
      name: 'the path that the container was started with',
      container: ended(1, 'File', {
        annotations: { 'io.kubernetes.container.terminationMessagePath': '/own/place' },
        mounts: [
          { containerPath: '/dev/termination-log', hostPath: 'other', readonly: false },
          { containerPath: '/own/place', hostPath: 'message', readonly: false },
        ],
      }),
      text: 'bye',
      want: 'bye',
    },
    {
      name: 'the log when the file is not there',
      container: ended(1, 'FallbackToLogsOnError', {
        mounts: [{ containerPath: '/dev/termination-log', hostPath: 'gone', readonly: false }],
      }),
      text: '',
      want: 'the last lines',
    },
    {
      name: 'the runtime’s words before the log',
      container: ended(137, 'FallbackToLogsOnError', { message: 'OOM' }),
      text: '',
      want: 'OOM: the last lines',
    },
    { name: 'an empty file', container: ended(1, 'File'), text: '', want: '' },
    {
      name: 'the end of a long file',
      container: ended(1, 'File'),
      text: `${'x'.repeat(5000)}end`,
      want: `${'x'.repeat(4093)}end`,
    },
    {
      name: 'the runtime’s words first',
      container: ended(1, 'File', { message: 'OOM' }),
      text: 'bye',
      want: 'OOM: bye',
    },
    { name: 'the runtime’s words alone', container: ended(1, 'File', { message: 'OOM' }), text: '', want: 'OOM' },
    {
      name: 'the log after a failure without a message',
      container: ended(1, 'FallbackToLogsOnError'),
      text: '',
      want: 'the last lines',
    },
    {
      name: 'not the log when there is a message',
      container: ended(1, 'FallbackToLogsOnError'),
      text: 'bye',
      want: 'bye',
    },
    { name: 'not the log after a success', container: ended(0, 'FallbackToLogsOnError'), text: '', want: '' },
    {
      name: 'not the log of what could not run',
      container: ended(1, 'FallbackToLogsOnError', { reason: 'ContainerCannotRun' }),
      text: '',
      want: '',
    },
    { name: 'no mount for the path', container: ended(1, 'File', { mounts: [] }), text: 'bye', want: '' },
  ])('$name', async ({ container, text, want }) => expect(await messageOf(container, { text })).toBe(want));

  it('asks the log for 80 lines and 2048 bytes, and says when it cannot be read', async () => {
    logText = new Error('no such file');
    expect(await messageOf(ended(1, 'FallbackToLogsOnError'))).toBe(
      'Error on reading termination message from logs: no such file',
    );
    expect(reads).toEqual([['/logs/0.log', 80, 2048]]);
  });

  it('shares 12288 bytes among the pod’s containers, and keeps the head', async () => {
    const containers = Array.from({ length: 6 }, (_, i) => testContainer(`c${i}`));
    const pod = testPod({
      containers,
      initContainers: [testContainer('i')],
      ephemeralContainers: [{ name: 'e', image: 'x' }],
    });
    expect(await messageOf(ended(1, 'File'), { text: `head${'x'.repeat(4000)}`, pod })).toBe(`head${'x'.repeat(1532)}`);
  });

  it.each([
    {
      name: 'a link to another file',
      put: async (path: string) => {
        await writeFile(`${path}-secret`, 'secret');
        await symlink(`${path}-secret`, path);
      },
    },
    { name: 'a directory', put: (path: string) => mkdir(path) },
  ])('does not read $name in the place of the file', async ({ put }) => {
    const path = join(root, 'message');
    await put(path);
    const mounts = [{ containerPath: '/dev/termination-log', hostPath: path, readonly: false }];
    await messages.read(testPod(), testObserved([ended(1, 'FallbackToLogsOnError', { mounts })]), signal);
    expect(messages.get('uid-1', 'web-0')).toMatch(`Error on reading termination log ${path}: `);
    expect(messages.get('uid-1', 'web-0')).not.toContain('secret');
  });

  it('reads each once, says nothing of what runs, and forgets what is gone', async () => {
    expect(await messageOf(ended(1, 'File'), { text: 'first' })).toBe('first');
    expect(await messageOf(ended(1, 'File'), { text: 'second' })).toBe('first');
    expect(await messageOf(testInstance('web'), { text: 'third' })).toBeUndefined();
    await messageOf(ended(1, 'File'), { text: 'fourth' });
    messages.forget('uid-1');
    expect(messages.get('uid-1', 'web-0')).toBeUndefined();
  });
});

describe('keepEnd', () => {
  async function* pieces(...texts: string[]): AsyncGenerator<Buffer> {
    for (const text of texts) yield await Promise.resolve(Buffer.from(text));
  }

  it.each([
    { texts: [], want: '' },
    { texts: ['ab'], want: 'ab' },
    { texts: ['ab', 'cdef'], want: 'cdef' },
    { texts: ['abc', 'd', 'e'], want: 'bcde' },
    { texts: ['abcdefgh', 'i'], want: 'fghi' },
  ])('of $texts: $want', async ({ texts, want }) => expect(await keepEnd(pieces(...texts), 4)).toBe(want));
});
