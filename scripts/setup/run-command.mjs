import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/**
 * Runs a command with our own terminal and waits for it.
 *
 * @param {string} file
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<number>} its exit code; 128 and more when a signal ended it
 */
export function runCode(file, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: 'inherit', ...options });
    child.once('error', (err) => reject(new Error(`Cannot run "${file}"`, { cause: err })));
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
  });
}

/** The same, for what has to succeed. */
export async function run(file, args, options = {}) {
  const code = await runCode(file, args, options);
  if (code !== 0) throw new Error(`\`${[file, ...args].join(' ')}\` exited with code ${code}`);
}

/** Runs a command for its output. @returns {Promise<{ code: number, stdout: string, stderr: string }>} */
export function capture(file, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => (stdout += chunk));
    child.stderr.on('data', (chunk) => (stderr += chunk));
    child.once('error', (err) => reject(new Error(`Cannot run "${file}"`, { cause: err })));
    child.once('close', (code) => resolve({ code: code ?? 1, stdout, stderr }));
  });
}

const administratorDirectories = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** Whether a command is on the path, or where only the administrator's path leads. */
export function hasCommand(name) {
  const directories = [...(process.env['PATH'] ?? '').split(':'), ...administratorDirectories];
  return directories.some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false; // not here: look in the next one
    }
  });
}
