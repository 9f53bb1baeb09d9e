/**
 * A gate that every call between a kubelet and the world passes: it records each step, holds or fails those that a test
 * names, and can be shut, after which nothing gets through any more, as if the kubelet were dead.
 */
import { FakeRpcError, type GrpcCodeName } from './fake-faults.ts';

/** `asked` → `passed` on → `answered` by the other side → `delivered` to the kubelet; or it `failed`. */
export type StepState = 'asked' | 'passed' | 'answered' | 'delivered' | 'failed';

export interface GateStep {
  /** CRI method, or the API's verb and resource: `PATCH pods/status`. */
  readonly method: string;
  /** Uid of the pod; undefined where a call is about none, or about one that nobody has named yet. */
  podUid: string | undefined;
  /** Name of the container, where the call is about one. */
  container: string | undefined;
  readonly request: unknown;
  state: StepState;
}

export type MatchStep = (step: GateStep) => boolean;

/** Before the other side hears of the call, or when it has answered and the kubelet does not know yet. */
export type Moment = 'before' | 'after';

export interface Held {
  /** Resolves with the first step that is held. */
  readonly whenHeld: Promise<GateStep>;
  /** Steps that are held now. */
  readonly count: number;
  /** Lets held steps go on, and later ones through. */
  release(): void;
}

interface Hold {
  match: MatchStep;
  moment: Moment;
  count: number;
  onHeld: (step: GateStep) => void;
  released: Promise<void>;
}

interface Failure {
  match: MatchStep;
  error: Error;
}

export class FaultGate {
  readonly steps: GateStep[] = [];
  #holds: Hold[] = [];
  #failures: Failure[] = [];
  readonly #shut = Promise.withResolvers<never>();
  #isShut = false;

  constructor() {
    this.#shut.promise.catch(() => {}); // whoever passes hears of it
  }

  get isShut(): boolean {
    return this.#isShut;
  }

  hold(match: MatchStep, moment: Moment = 'before'): Held {
    const held = Promise.withResolvers<GateStep>();
    const released = Promise.withResolvers<void>();
    const hold: Hold = { match, moment, count: 0, onHeld: held.resolve, released: released.promise };
    this.#holds.push(hold);
    return {
      whenHeld: held.promise,
      get count() {
        return hold.count;
      },
      release: () => {
        this.#holds = this.#holds.filter((other) => other !== hold);
        released.resolve();
      },
    };
  }

  /** Steps that match fail until the returned function is called. */
  fail(match: MatchStep, codeName: GrpcCodeName, message: string): () => void {
    const failure = { match, error: new FakeRpcError(codeName, message) };
    this.#failures.push(failure);
    return () => {
      this.#failures = this.#failures.filter((other) => other !== failure);
    };
  }

  /** From now on nothing passes, in neither direction. */
  shut(): void {
    this.#isShut = true;
    this.#shut.reject(new FakeRpcError('UNAVAILABLE', 'the gate is shut'));
  }

  /**
   * @param work what the other side does
   * @param gone rejects when the kubelet lets go of the call
   * @throws {FakeRpcError} when the step is failed, or the gate is shut
   */
  async pass<T>(step: GateStep, gone: Promise<never>, work: () => Promise<T>): Promise<T> {
    this.steps.push(step);
    try {
      await this.#wait(step, 'before', gone);
      const failure = this.#failures.find(({ match }) => match(step));
      if (failure !== undefined) throw failure.error;
      step.state = 'passed';
      const answer = await Promise.race([work(), this.#shut.promise]);
      step.state = 'answered';
      await this.#wait(step, 'after', gone);
      step.state = 'delivered';
      return answer;
    } catch (err) {
      if (step.state !== 'answered') step.state = 'failed';
      throw err;
    }
  }

  async #wait(step: GateStep, moment: Moment, gone: Promise<never>): Promise<void> {
    if (this.#isShut) throw new FakeRpcError('UNAVAILABLE', 'the gate is shut');
    const hold = this.#holds.find((other) => other.moment === moment && other.match(step));
    if (hold === undefined) return;
    hold.count++;
    hold.onHeld(step);
    try {
      await Promise.race([hold.released, gone, this.#shut.promise]);
    } finally {
      hold.count--;
    }
  }
}
