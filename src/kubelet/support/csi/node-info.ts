/**
 * Keeps the node's CSINode, and what drivers add to its Node. Owns whether that has been done once: until then the node
 * is not ready, since nobody could tell how many volumes it takes. Writes one after the other.
 */
import { describeError, isConflict, isNotFound } from '../../../base/errors.ts';
import { Semaphore } from '../../../base/semaphore.ts';
import type { CsiNodeInfo } from '../../../adapters/csi/csi.ts';
import { csiNodes, nodes } from '../../../client/resource-types.ts';
import type { Node } from '../../../objects/generated/core-v1.ts';
import type { CSINode, CSINodeDriver } from '../../../objects/generated/storage-v1.ts';
import { wordsOf } from './csi-failure.ts';
import { bareCsiNode, driverEntry, isOfAnotherNode, nextCsiNode, nodePatchFor } from './csi-node.ts';
import type { CsiApi, CsiNeed } from './csi-need.ts';

const firstDelaysMs = [30, 240, 1920];
const laterDelayMs = 15_360;
const nodeDelayMs = (attempt: number): number => (attempt < 100 ? 50 : 1000);
const updateTries = 4;
const updateDelayMs = 10;
const updateDelayFactor = 5;

type Change = { add: CSINodeDriver } | { remove: string } | undefined;

export class NodeInfo {
  readonly #need: Pick<CsiNeed, 'nodeName' | 'onProblems' | 'clock' | 'log'>;
  readonly #api: CsiApi;
  readonly #writes = new Semaphore(1);
  #isInitialized = false;

  constructor(api: CsiApi, need: Pick<CsiNeed, 'nodeName' | 'onProblems' | 'clock' | 'log'>) {
    this.#api = api;
    this.#need = need;
  }

  /** Why the node is not ready. */
  problems(): string[] {
    return this.#isInitialized ? [] : ['CSINode is not yet initialized'];
  }

  /** Makes the CSINode, however long it takes. */
  async initialize(signal: AbortSignal): Promise<void> {
    const { clock, log, nodeName, onProblems } = this.#need;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await this.#writes.with(signal, () => this.#writeCsiNode(undefined, signal));
        this.#isInitialized = true;
        onProblems();
        return;
      } catch (err) {
        if (signal.aborted) return;
        const fields = { node: nodeName, reason: describeError(err) };
        // the Node's registration is under way at the same time: the node is not to be ready much later than that
        const delayMs = isNotFound(err) ? nodeDelayMs(attempt) : (firstDelaysMs[attempt] ?? laterDelayMs);
        if (isNotFound(err) || attempt < firstDelaysMs.length) log.debug(fields, 'no CSINode yet, will retry');
        else log.warn(fields, 'cannot make the CSINode, will retry');
        await clock.sleep(delayMs, signal);
      }
    }
  }

  /** @throws {Error} in upstream's words when the driver cannot be made known */
  async install(driver: string, info: CsiNodeInfo, signal: AbortSignal): Promise<void> {
    if (info.nodeId === '') throw new Error('error adding CSI driver node info: driverNodeID must not be empty');
    await this.#writes.with(signal, async () => {
      await this.#step('error updating Node object with CSI driver node info', () =>
        this.#retried(() => this.#patchNode(driver, info, signal), signal),
      );
      await this.#step('error updating CSINode object with CSI driver node info', () =>
        this.#retried(() => this.#writeCsiNode({ add: driverEntry(driver, info) }, signal), signal),
      );
    });
  }

  async uninstall(driver: string, signal: AbortSignal): Promise<void> {
    await this.#writes.with(signal, async () => {
      await this.#step('error uninstalling CSI driver from CSINode object', () =>
        this.#retried(() => this.#writeCsiNode({ remove: driver }, signal), signal),
      );
      await this.#step('error removing CSI driver node info from Node object', () =>
        this.#retried(() => this.#patchNode(driver, undefined, signal), signal),
      );
    });
  }

  async #step(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (err) {
      throw new Error(`${what}: ${wordsOf(err)}`);
    }
  }

  async #retried(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    let delayMs = updateDelayMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (err) {
        if (signal.aborted || attempt >= updateTries) throw err;
        await this.#need.clock.sleep(delayMs, signal);
        delayMs *= updateDelayFactor;
      }
    }
  }

  async #patchNode(driver: string, info: CsiNodeInfo | undefined, signal: AbortSignal): Promise<void> {
    const { nodeName } = this.#need;
    const patch = nodePatchFor(await this.#api.readNode(signal), driver, info);
    if (patch === undefined) return;
    await this.#api.objects.patch(nodes, { name: nodeName, subresource: 'status' }, 'strategic', patch, signal);
  }

  async #writeCsiNode(change: Change, signal: AbortSignal): Promise<void> {
    const { objects } = this.#api;
    for (;;) {
      const node = await this.#api.readNode(signal);
      const now = await this.#csiNode(signal);
      if (now === undefined) {
        await objects.create(csiNodes, bareCsiNode(node), signal).catch(unlessConflict);
      } else if (isOfAnotherNode(now, node)) {
        await this.#remove(now, node, signal);
      } else {
        const next = nextCsiNode(now, change);
        if (next === undefined) return;
        await objects.update(csiNodes, next, signal);
      }
    }
  }

  async #csiNode(signal: AbortSignal): Promise<CSINode | undefined> {
    return await this.#api.objects.get(csiNodes, { name: this.#need.nodeName }, signal).catch((err: unknown) => {
      if (isNotFound(err)) return undefined;
      throw err;
    });
  }

  async #remove({ metadata }: CSINode, node: Node, signal: AbortSignal): Promise<void> {
    this.#need.log.info({ node: node.metadata.name }, 'the CSINode is of a node that is gone: it is made anew');
    const options = metadata.uid === undefined ? {} : { preconditions: { uid: metadata.uid } };
    await this.#api.objects.delete(csiNodes, { name: this.#need.nodeName }, options, signal).catch((err: unknown) => {
      if (!isNotFound(err)) throw err;
    });
  }
}

/** Somebody was faster: the next look tells. */
function unlessConflict(err: unknown): void {
  if (!isConflict(err)) throw err;
}
