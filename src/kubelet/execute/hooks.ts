/** postStart and preStop handlers: a command in the container, an HTTP request to it, or a pause. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import { kubernetesVersion } from '../../base/version.ts';
import type { HTTPGetAction, LifecycleHandler, Pod } from '../../objects/generated/core-v1.ts';
import type { Container } from '../../objects/generated/core-v1.ts';
import { podDescription } from '../pod-model.ts';

interface HooksNeed {
  execSync(
    id: string,
    command: readonly string[],
    timeoutSeconds: number,
    signal: AbortSignal,
  ): Promise<{ exitCode: number; stdout: Buffer; stderr: Buffer }>;
  clock: Clock;
}

/** The handler ran and failed, or could not run. The message is what the container's status shows. */
export class HookError extends Error {
  override name = 'HookError';
}

/** @throws {HookError} */
export async function runHook(
  need: HooksNeed,
  handler: LifecycleHandler,
  { pod, container, containerId, podIp }: { pod: Pod; container: Container; containerId: string; podIp: string },
  signal: AbortSignal,
): Promise<void> {
  const where = `for Container "${container.name}" in Pod "${podDescription(pod)}"`;
  if (handler.exec !== undefined) {
    const command = handler.exec.command ?? [];
    let said = '';
    try {
      const { exitCode, stdout, stderr } = await need.execSync(containerId, command, 0, signal);
      if (exitCode === 0) return;
      said = Buffer.concat([stdout, stderr])
        .subarray(0, 10 * 1024)
        .toString();
      throw new Error(`command '${command.join(' ')}' exited with ${exitCode}: ${said}`);
    } catch (cause) {
      throw new HookError(
        `Exec lifecycle hook ([${command.join(' ')}]) ${where} failed - error: ${describeError(cause)}, message: ${JSON.stringify(said)}`,
        { cause },
      );
    }
  }
  if (handler.httpGet !== undefined) {
    try {
      await httpGet(handler.httpGet, container, podIp, signal);
    } catch (cause) {
      throw new HookError(
        `HTTP lifecycle hook (${handler.httpGet.path ?? '/'}) ${where} failed - error: ${describeError(cause)}, message: ""`,
        { cause },
      );
    }
    return;
  }
  if (handler.sleep !== undefined) {
    await need.clock.sleep(handler.sleep.seconds * 1000, signal);
    return;
  }
  throw new HookError(`Cannot run lifecycle hook ${where}: it names no exec, httpGet or sleep action`);
}

/** Any HTTP answer is a success; only a failed connection is not. Certificates are not checked, as upstream. */
function httpGet(action: HTTPGetAction, container: Container, podIp: string, signal: AbortSignal): Promise<void> {
  const port = resolvePort(action.port, container);
  const isHttps = action.scheme === 'HTTPS';
  const headers: Record<string, string> = {
    'user-agent': `kube-lifecycle/${kubernetesVersion.major}.${kubernetesVersion.minor}`,
    accept: '*/*',
  };
  for (const { name, value } of action.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  return new Promise((resolve, reject) => {
    const request = (isHttps ? httpsRequest : httpRequest)({
      host: action.host || podIp,
      port,
      path: action.path?.startsWith('/') === true ? action.path : `/${action.path ?? ''}`,
      headers,
      agent: false,
      signal,
      ...(isHttps ? { rejectUnauthorized: false } : {}),
    });
    request.on('response', (response) => {
      response.resume();
      response.on('close', resolve);
    });
    request.on('error', reject);
    request.end();
  });
}

function resolvePort(port: number | string, container: Container): number {
  if (typeof port === 'number') return port;
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  const number = named ?? Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65535) {
    throw new Error(`couldn't find port "${port}" in container "${container.name}"`);
  }
  return number;
}
