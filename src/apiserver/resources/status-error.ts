/** What the API server answers instead of an object: `metav1.Status` in upstream's words. */
import type { JsonObject } from './api-object.ts';
import { type FieldError, causeOf, describeFieldErrors } from './field-errors.ts';

export interface StatusCause {
  reason?: string | undefined;
  message?: string | undefined;
  field?: string | undefined;
}

export interface StatusDetails {
  name?: string | undefined;
  group?: string | undefined;
  /** The resource's plural, or the kind for Invalid and failed preconditions. */
  kind?: string | undefined;
  uid?: string | undefined;
  causes?: StatusCause[] | undefined;
  retryAfterSeconds?: number | undefined;
}

export class StatusError extends Error {
  override name = 'StatusError';
  readonly code: number;
  readonly reason: string | undefined;
  readonly details: StatusDetails | undefined;
  /** Goes into the Status' metadata: the token of an expired list. */
  readonly continueToken: string | undefined;

  constructor(
    code: number,
    reason: string | undefined,
    message: string,
    details?: StatusDetails,
    extra: { cause?: unknown; continueToken?: string } = {},
  ) {
    super(message, 'cause' in extra ? { cause: extra.cause } : {});
    this.code = code;
    this.reason = reason;
    this.details = details;
    this.continueToken = extra.continueToken;
  }

  toJSON(): JsonObject {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: this.continueToken === undefined ? {} : { continue: this.continueToken },
      status: 'Failure',
      message: this.message,
      ...(this.reason === undefined ? {} : { reason: this.reason }),
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

/** A resource as messages name it. */
export interface Named {
  group: string;
  resource: string;
}

/** `pods`, `deployments.apps`. */
export function qualified({ group, resource }: Named): string {
  return group === '' ? resource : `${resource}.${group}`;
}

function detailsOf({ group, resource }: Named, name: string, more: StatusDetails = {}): StatusDetails {
  return { ...(name === '' ? {} : { name }), ...(group === '' ? {} : { group }), kind: resource, ...more };
}

export const notFound = (of: Named, name: string): StatusError =>
  new StatusError(404, 'NotFound', `${qualified(of)} "${name}" not found`, detailsOf(of, name));

/** A path that leads nowhere. */
export const noSuchResource = (): StatusError =>
  new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});

export const alreadyExists = (of: Named, name: string, prefix = ''): StatusError =>
  new StatusError(409, 'AlreadyExists', `${prefix}${qualified(of)} "${name}" already exists`, detailsOf(of, name));

export const nameNotGenerated = (of: Named, name: string): StatusError =>
  new StatusError(
    409,
    'AlreadyExists',
    `${qualified(of)} "${name}" already exists, the server was not able to generate a unique name for the object`,
    detailsOf(of, name, { retryAfterSeconds: 1 }),
  );

export const conflict = (of: Named, name: string, why: string): StatusError =>
  new StatusError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(of)} "${name}": ${why}`,
    detailsOf(of, name),
  );

export const modifiedMeanwhile = (of: Named, name: string): StatusError =>
  conflict(of, name, 'the object has been modified; please apply your changes to the latest version and try again');

export const forbidden = (of: Named, name: string, why: string, causes?: StatusCause[]): StatusError =>
  new StatusError(
    403,
    'Forbidden',
    `${qualified(of)}${name === '' ? '' : ` "${name}"`} is forbidden: ${why}`,
    detailsOf(of, name, causes === undefined ? {} : { causes }),
  );

export const badRequest = (message: string): StatusError => new StatusError(400, 'BadRequest', message);

export const unauthorized = (): StatusError => new StatusError(401, 'Unauthorized', 'Unauthorized');

export const methodNotAllowed = (): StatusError =>
  new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});

export const notAcceptable = (message: string): StatusError => new StatusError(406, 'NotAcceptable', message);

export const unsupportedMediaType = (message: string): StatusError =>
  new StatusError(415, 'UnsupportedMediaType', message);

export const gone = (message: string, continueToken?: string): StatusError =>
  new StatusError(410, 'Expired', message, undefined, continueToken === undefined ? {} : { continueToken });

export const internal = (message: string, cause?: unknown): StatusError =>
  new StatusError(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] }, { cause });

/** The store or a node is away: worth another try. */
export const serviceUnavailable = (message: string, cause?: unknown, retryAfterSeconds?: number): StatusError =>
  new StatusError(
    503,
    'ServiceUnavailable',
    message,
    retryAfterSeconds === undefined ? undefined : { retryAfterSeconds },
    { cause },
  );

/** 422 with one cause per field. */
export function invalid(of: { group: string; kind: string }, name: string, errors: readonly FieldError[]): StatusError {
  const kind = of.group === '' ? of.kind : `${of.kind}.${of.group}`;
  return new StatusError(422, 'Invalid', `${kind} "${name}" is invalid: ${describeFieldErrors(errors)}`, {
    ...(name === '' ? {} : { name }),
    ...(of.group === '' ? {} : { group: of.group }),
    kind: of.kind,
    causes: errors.map(causeOf),
  });
}
