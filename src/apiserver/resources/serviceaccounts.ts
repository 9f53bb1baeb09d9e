import { nameAndAge } from './print-table.ts';
import type { Strategy } from './resource.ts';

export const serviceAccountStrategy: Strategy = {
  nameRule: 'subdomain',
  deleteReturnsObject: true,
  columns: nameAndAge,
};
