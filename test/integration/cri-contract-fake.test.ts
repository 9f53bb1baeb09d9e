import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cri } from '../../src/adapters/cri/cri.ts';
import { type RuntimeUnderTest, criContract } from '../contracts/cri-contract.ts';
import type { Program } from '../contracts/cri-pods.ts';
import type { FakeProcess } from '../fakes/fake-containers.ts';
import { type ExecResult, type FakeCriOptions, openFakeCri } from '../fakes/fake-cri.ts';

const processes: Record<Program, FakeProcess> = {
  polite: { onTerm: 0 },
  stubborn: { onTerm: 'ignores' },
  'exits-0': { onTerm: 143, exits: { afterMs: 50, code: 0 } },
  'exits-3': { onTerm: 143, exits: { afterMs: 50, code: 3 } },
  'cannot-start': { onTerm: 143, failsToStart: 'exec: "/nonexistent": stat /nonexistent: no such file or directory' },
  talks: { onTerm: 143, exits: { afterMs: 50, code: 0 }, output: ['first', 'second'] },
};

/** The commands that the contract runs, as a shell would answer them. */
function answer(command: readonly string[]): ExecResult | undefined {
  if (command[0] === 'sleep') return undefined;
  if (command[0] === 'sh') return { exitCode: 3, stdout: 'out\n', stderr: 'err\n' };
  return { exitCode: 0 };
}

async function openFake(options: FakeCriOptions): Promise<RuntimeUnderTest> {
  const fake = await openFakeCri(options);
  const busyboxImage = 'example.org/busybox:1';
  fake.images.add(busyboxImage);
  for (const [name, process] of Object.entries(processes)) fake.behave({ name }, process);
  fake.setExecScript(answer);
  const directory = await mkdtemp(join(tmpdir(), 'gantry-cri-contract-'));
  const hostFile = join(directory, 'mounted');
  await writeFile(hostFile, 'mounted');
  const cri = new Cri({ endpoint: fake.endpoint, requestTimeoutMs: 5_000 });
  return {
    cri,
    busyboxImage,
    logRoot: join(directory, 'logs'),
    hostFile,
    restart: async () => {
      await fake.stop();
      await fake.start();
    },
    close: async () => {
      cri.close();
      await fake.close();
      await rm(directory, { recursive: true });
    },
  };
}

criContract('the fake', () => openFake({}));
criContract('the fake as a newer runtime', () =>
  openFake({ hasEvents: true, fields: '2.x', cgroupDriver: 'CGROUPFS' }),
);
