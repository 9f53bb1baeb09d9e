import { readFileSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import grpc from '@grpc/grpc-js';

/** What the control file may hold; it is read before each call. */
export interface Control {
  /** Methods that do not answer until they are taken off the list. */
  hang?: string[];
  /** Methods that are refused, with the gRPC code's name: `{"NodeStageVolume": {"code": "INTERNAL", "message": "no"}}`. */
  fail?: Record<string, { code: keyof typeof grpc.status; message: string }>;
  /** Methods that are carried out, and answered with a failure nevertheless. */
  failAfter?: Record<string, { code: keyof typeof grpc.status; message: string }>;
  /** The process ends before it carries the method out. */
  exitBefore?: string;
  /** The process ends after it has carried the method out, before it answers. */
  exitAfter?: string;
  /** Node capabilities from now on. */
  capabilities?: string[];
}

export class Faults {
  readonly #file: string;
  constructor(file: string) {
    this.#file = file;
  }

  get control(): Control {
    try {
      return JSON.parse(readFileSync(this.#file, 'utf8')) as Control; // the test's
    } catch {
      return {}; // no file: no faults; half a file: the next look finds it whole
    }
  }

  async before(method: string): Promise<void> {
    const { exitBefore, fail } = this.control;
    if (exitBefore === method) process.exit(9);
    await this.#whileHung(method);
    throwAs(fail?.[method]);
  }

  async after(method: string): Promise<void> {
    const { exitAfter, failAfter } = this.control;
    if (exitAfter === method) process.exit(9);
    throwAs(failAfter?.[method]);
  }

  #whileHung(method: string): Promise<void> {
    const isHung = (): boolean => this.control.hang?.includes(method) === true;
    if (!isHung()) return Promise.resolve();
    return new Promise((resolve) => {
      const watcher = watch(dirname(this.#file), (_, name) => {
        if (name !== basename(this.#file) || isHung()) return;
        watcher.close();
        resolve();
      });
    });
  }
}

function throwAs(fault: { code: keyof typeof grpc.status; message: string } | undefined): void {
  if (fault !== undefined) throw Object.assign(new Error(fault.message), { code: grpc.status[fault.code] });
}
