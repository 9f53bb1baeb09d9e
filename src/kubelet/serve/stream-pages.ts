import type { Clock } from '../../base/clock.ts';
import { RpcError, rpcText } from '../../base/grpc.ts';
import type { Logger } from '../../base/logger.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { podContainers, podFullName, uidOf } from '../pod-model.ts';
import { type Exchange, answerText } from './exchange.ts';
import type { ContainerPath } from './match-route.ts';
import { noStreamsText, parsePorts, parseStreamOptions } from './parse-stream-options.ts';
import { relayUpgrade } from './relay-upgrade.ts';
import type { ServeNeed } from './serve-need.ts';

type StreamsNeed = Pick<ServeNeed, 'podByName' | 'runningContainerId' | 'sandboxId' | 'cri'> & {
  clock: Clock;
  log: Logger;
};

const streamsMax = 1000;

/** exec, attach, port-forward and run: finds the container, and joins the client with the runtime. */
export class StreamPages {
  readonly #need: StreamsNeed;
  #running = 0;

  constructor(need: StreamsNeed) {
    this.#need = need;
  }

  async exec(exchange: Exchange, path: ContainerPath): Promise<void> {
    const options = parseStreamOptions(exchange.query);
    if (options === undefined) return answerText(exchange, 400, `${noStreamsText}\n`);
    const pod = this.#pod(exchange, path);
    if (pod === undefined) return;
    const containerId = this.#runningId(pod, path);
    if (containerId === undefined) return answerText(exchange, 500, notFoundText(path));
    await this.#relay(exchange, () =>
      this.#need.cri.execUrl(
        { container_id: containerId, cmd: exchange.query.getAll('command'), ...options },
        exchange.signal,
      ),
    );
  }

  async attach(exchange: Exchange, path: ContainerPath): Promise<void> {
    const options = parseStreamOptions(exchange.query);
    if (options === undefined) return answerText(exchange, 400, `${noStreamsText}\n`);
    const pod = this.#pod(exchange, path);
    if (pod === undefined) return;
    const spec = podContainers(pod).find((container) => container.spec.name === path.container)?.spec;
    const containerId = this.#runningId(pod, path);
    if (spec === undefined || containerId === undefined) {
      return answerText(exchange, 500, `container ${path.container} not found in pod ${podFullName(pod)}\n`);
    }
    const tty = spec.tty === true; // a terminal is made with the container, not by who looks at it
    await this.#relay(exchange, () =>
      this.#need.cri.attachUrl(
        { container_id: containerId, ...options, tty, stderr: options.stderr && !tty },
        exchange.signal,
      ),
    );
  }

  async portForward(exchange: Exchange, path: Omit<ContainerPath, 'container'>): Promise<void> {
    const isWebSocket = exchange.request.headers.upgrade?.toLowerCase() === 'websocket';
    const parsed = isWebSocket ? parsePorts(exchange.query) : { ports: [] };
    if ('problem' in parsed) return answerText(exchange, 400, `${parsed.problem}\n`);
    const pod = this.#pod(exchange, path);
    if (pod === undefined) return;
    if (path.uid !== undefined && path.uid !== uidOf(pod)) return answerText(exchange, 404, 'pod not found\n');
    const sandboxId = this.#need.sandboxId(uidOf(pod));
    if (sandboxId === undefined) {
      return answerText(exchange, 500, `pod ${podFullName(pod)} has no running sandbox\n`);
    }
    await this.#relay(exchange, () => this.#need.cri.portForwardUrl(sandboxId, parsed.ports, exchange.signal));
  }

  /** Runs a command to its end and answers with what it printed. */
  async run(exchange: Exchange, path: ContainerPath): Promise<void> {
    const pod = this.#pod(exchange, path);
    if (pod === undefined) return;
    const containerId = this.#runningId(pod, path);
    if (containerId === undefined) return answerText(exchange, 500, notFoundText(path));
    try {
      const command = (exchange.query.get('cmd') ?? '').split(' ');
      const { exitCode, stdout, stderr } = await this.#need.cri.execSync(containerId, command, 0, exchange.signal);
      const output = Buffer.concat([stdout, stderr]);
      if (exitCode !== 0) {
        const said = `command '${command.join(' ')}' exited with ${exitCode}: ${stderr.toString('utf8')}`;
        return answerText(exchange, 500, `${said}\n`);
      }
      exchange.response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': output.length });
      exchange.response.end(output);
    } catch (err) {
      if (!exchange.signal.aborted) answerRpcFailure(exchange, err);
    }
  }

  /** Answers itself when there is no such pod. */
  #pod(exchange: Exchange, { namespace, pod: name }: Pick<ContainerPath, 'namespace' | 'pod'>): Pod | undefined {
    const pod = this.#need.podByName(namespace, name);
    if (pod === undefined) answerText(exchange, 404, 'pod does not exist\n');
    return pod;
  }

  #runningId(pod: Pod, { uid, container }: ContainerPath): string | undefined {
    if (uid !== undefined && uid !== uidOf(pod)) return undefined;
    return this.#need.runningContainerId(uidOf(pod), container);
  }

  async #relay(exchange: Exchange, askUrl: () => Promise<string>): Promise<void> {
    if (exchange.upgrade === undefined) return answerText(exchange, 500, 'Upgrade request required\n');
    if (this.#running >= streamsMax) {
      return answerText(exchange, 429, 'too many streams at once\n', { 'Retry-After': '60' });
    }
    this.#running++;
    try {
      const url = await askUrl();
      await relayUpgrade(exchange, exchange.upgrade, url, this.#need);
    } catch (err) {
      if (!exchange.signal.aborted) answerRpcFailure(exchange, err);
    } finally {
      this.#running--;
    }
  }
}

const notFoundText = ({ container }: ContainerPath): string => `container not found (${JSON.stringify(container)})\n`;

/** The runtime's answer as the client's status. */
function answerRpcFailure(exchange: Exchange, err: unknown): void {
  const code = rpcCode(err);
  const text = `${rpcText(err)}\n`;
  if (code === 'NotFound') answerText(exchange, 404, text);
  else if (code === 'ResourceExhausted') answerText(exchange, 429, text, { 'Retry-After': '60' });
  else answerText(exchange, 500, text);
}

function rpcCode(error: unknown): string | undefined {
  for (let e = error; e instanceof Error; e = e.cause) if (e instanceof RpcError) return e.code;
  return undefined;
}
