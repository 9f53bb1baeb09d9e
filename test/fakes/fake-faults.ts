/** What goes wrong on purpose in a fake gRPC service, and the record of what it was asked. */
import { grpcStatus } from '../../src/base/grpc.ts';

/** The codes by the names that tests like to write. */
export type GrpcCodeName = keyof typeof grpcStatus;

/** A failure that the service answers with. */
export class FakeRpcError extends Error {
  override name = 'FakeRpcError';
  readonly code: number;
  constructor(codeName: GrpcCodeName, message: string) {
    super(message);
    this.code = grpcStatus[codeName];
  }
}

export interface FakeCall {
  method: string;
  request: unknown;
  atMs: number;
}

export type MatchRequest = (request: unknown) => boolean;

/** Calls that hang until they are released. */
export interface Hang {
  /** Calls that hang now. */
  readonly hanging: number;
  /** Resolves when the first call hangs. */
  readonly whenHung: Promise<void>;
  /** Lets hung calls go on, and later ones through. */
  release(): void;
}

interface PlannedFailure {
  method: string;
  error: FakeRpcError;
  times: number;
  match: MatchRequest;
}

interface PlannedHang {
  method: string;
  match: MatchRequest;
  hanging: number;
  onHung: () => void;
  released: Promise<void>;
}

const always: MatchRequest = () => true;
/** The oldest are dropped past this. */
const callsMax = 20_000;

export class Faults {
  #calls: FakeCall[] = [];
  #failures: PlannedFailure[] = [];
  #hangs: PlannedHang[] = [];
  #waiting: Array<{ method: string; match: MatchRequest; resolve: (call: FakeCall) => void }> = [];

  get calls(): readonly FakeCall[] {
    return this.#calls;
  }

  clearCalls(): void {
    this.#calls = [];
  }

  /** The next `times` calls of the method (that match) fail. */
  failNext(method: string, codeName: GrpcCodeName, message: string, times = 1, match = always): void {
    this.#failures.push({ method, error: new FakeRpcError(codeName, message), times, match });
  }

  /** Takes back what `failNext` planned and has not happened. */
  stopFailing(method?: string): void {
    this.#failures = this.#failures.filter((failure) => method !== undefined && failure.method !== method);
  }

  hang(method: string, match = always): Hang {
    const hung = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const plan: PlannedHang = { method, match, hanging: 0, onHung: hung.resolve, released: released.promise };
    this.#hangs.push(plan);
    return {
      get hanging() {
        return plan.hanging;
      },
      whenHung: hung.promise,
      release: () => {
        this.#hangs = this.#hangs.filter((other) => other !== plan);
        released.resolve();
      },
    };
  }

  /** The next call of the method (that matches) from now on. */
  nextCall(method: string, match = always): Promise<FakeCall> {
    return new Promise((resolve) => this.#waiting.push({ method, match, resolve }));
  }

  /**
   * Notes a call, then fails or hangs as planned. Returns when the service may go on.
   * @throws {FakeRpcError} as planned
   */
  async pass(method: string, request: unknown, atMs: number, cancelled: Promise<void>): Promise<void> {
    const call = { method, request, atMs };
    this.#calls.push(call);
    if (this.#calls.length > callsMax) this.#calls.splice(0, this.#calls.length - callsMax);
    const hears = (want: { method: string; match: MatchRequest }): boolean =>
      want.method === method && want.match(request);
    for (const waiter of this.#waiting.filter(hears)) waiter.resolve(call);
    this.#waiting = this.#waiting.filter((waiter) => !hears(waiter));

    const hang = this.#hangs.find(hears);
    if (hang !== undefined) {
      hang.hanging++;
      hang.onHung();
      const how = await Promise.race([hang.released, cancelled.then(() => 'cancelled' as const)]);
      hang.hanging--;
      if (how === 'cancelled') throw new FakeRpcError('CANCELLED', 'context canceled');
    }
    const failure = this.#failures.find(hears);
    if (failure !== undefined) {
      failure.times--;
      if (failure.times <= 0) this.#failures = this.#failures.filter((other) => other !== failure);
      throw failure.error;
    }
  }
}
