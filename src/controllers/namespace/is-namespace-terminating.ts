import { apiStatus } from '../../client/api-client.ts';

/** Whether the server refused to create something since its namespace is being deleted: no failure, just too late. */
export function isNamespaceTerminating(err: unknown): boolean {
  const details = apiStatus(err)?.details;
  return JSON.stringify(details ?? '').includes('NamespaceTerminating');
}
