/**
 * A kubelet that can be killed as `kill -9` does it: both its ways to the world, to the runtime and to the API, pass a
 * gate, and from the moment of its death nothing gets through, whatever the dying process still does in memory.
 */
import { join } from 'node:path';
import { ApiMiddleman } from '../fakes/api-middleman.ts';
import { CriMiddleman } from '../fakes/cri-middleman.ts';
import { FaultGate } from '../fakes/fault-gate.ts';
import { type MountTable, TableMounts } from '../fakes/table-mounts.ts';
import type { KubeletFixture, TestKubelet } from './kubelet-fixture.ts';

export class MortalKubelet {
  readonly gate: FaultGate;
  readonly #middleman: CriMiddleman;
  readonly #kubelet: TestKubelet;

  private constructor(gate: FaultGate, middleman: CriMiddleman, kubelet: TestKubelet) {
    this.gate = gate;
    this.#middleman = middleman;
    this.#kubelet = kubelet;
  }

  /** @param table mounts that outlive it */
  static async start(
    t: KubeletFixture,
    settings: object = {},
    gate = new FaultGate(),
    table?: MountTable,
  ): Promise<MortalKubelet> {
    const socketPath = join(t.directory, `middle-${t.kubeletsStarted}.sock`);
    const middleman = await CriMiddleman.open(t.cri.endpoint, socketPath, gate);
    const kubelet = await t.start({
      api: new ApiMiddleman(t.api, gate),
      endpoint: middleman.endpoint,
      settings,
      ...(table === undefined ? {} : { mounts: new TableMounts(table, gate) }),
    });
    t.onClose(() => middleman.close());
    return new MortalKubelet(gate, middleman, kubelet);
  }

  async kill(): Promise<void> {
    this.gate.shut();
    await this.#kubelet.stop();
    await this.#middleman.close();
  }
}
