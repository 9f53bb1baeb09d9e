/** Tables as `kubectl get` prints them: columns per kind, cells per object. */
import type { ApiObject, JsonObject } from './api-object.ts';

export interface Column {
  name: string;
  type: 'string' | 'integer' | 'boolean' | 'date';
  format: string;
  /** 0 is always shown, 1 only with `-o wide`. */
  priority: 0 | 1;
}

export interface TableColumns {
  columns: readonly Column[];
  /** One value per column. */
  cells(object: ApiObject, nowMs: number): unknown[];
  /** Marks finished rows, e.g. of pods. */
  conditions?(object: ApiObject): JsonObject[] | undefined;
}

/** `*` after a name: wide only; `(integer)` before: the type. The first is always the name. */
export function columns(...texts: string[]): Column[] {
  return texts.map((text, i) => {
    const match = /^(?:\((\w+)\))?(.*?)(\*?)$/.exec(text);
    const type = match?.[1];
    return {
      name: match?.[2] ?? text,
      type: type === 'integer' || type === 'boolean' ? type : 'string',
      format: i === 0 ? 'name' : '',
      priority: match?.[3] === '*' ? 1 : 0,
    };
  });
}

/** For kinds without columns of their own. */
export const defaultColumns: TableColumns = {
  columns: [
    { name: 'Name', type: 'string', format: 'name', priority: 0 },
    { name: 'Created At', type: 'string', format: 'date', priority: 0 },
  ],
  cells: ({ metadata }) => [metadata.name, metadata.creationTimestamp ?? ''],
};

export const nameAndAge: TableColumns = {
  columns: columns('Name', 'Age'),
  cells: ({ metadata }, nowMs) => [metadata.name, age(metadata.creationTimestamp, nowMs)],
};

export type IncludeObject = 'None' | 'Metadata' | 'Full';

export function tableRow(table: TableColumns, object: ApiObject, include: IncludeObject, nowMs: number): JsonObject {
  const conditions = table.conditions?.(object);
  return {
    cells: table.cells(object, nowMs),
    ...(conditions === undefined ? {} : { conditions }),
    object:
      include === 'None'
        ? null
        : include === 'Full'
          ? object
          : { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
  };
}

export function tableOf(
  table: TableColumns,
  objects: readonly ApiObject[],
  metadata: JsonObject,
  { include, nowMs, withColumns = true }: { include: IncludeObject; nowMs: number; withColumns?: boolean },
): JsonObject {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: withColumns ? table.columns.map((column) => ({ ...column, description: '' })) : null,
    rows: objects.map((object) => tableRow(table, object, include, nowMs)),
  };
}

/** Time since `timestamp` as people read it; `<unknown>` without one. */
export function age(timestamp: string | undefined, nowMs: number): string {
  if (timestamp === undefined || timestamp === '') return '<unknown>';
  return humanDuration(nowMs - Date.parse(timestamp));
}

/** `45s`, `3m20s`, `25m`, `3h5m`, `25h`, `2d3h`, `45d`, `2y35d`, `9y`. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return two(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return two(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return two(days, 'd', hours % 24, 'h');
  if (days < 365 * 2) return `${days}d`;
  const years = Math.floor(days / 365);
  if (days < 365 * 8) return two(years, 'y', days % 365, 'd');
  return `${years}y`;
}

function two(high: number, highUnit: string, low: number, lowUnit: string): string {
  return low === 0 ? `${high}${highUnit}` : `${high}${highUnit}${low}${lowUnit}`;
}
