import type { Endpoints } from '../../objects/generated/core-v1.ts';
import { endpointsColumns } from './print-others.ts';
import { type Strategy, typed } from './resource.ts';

export const endpointsStrategy: Strategy = {
  nameRule: 'subdomain',
  columns: endpointsColumns,
  updateMayCreate: true,
  applyDefaults(object) {
    for (const { ports } of typed<Endpoints>(object).subsets ?? []) {
      for (const port of ports ?? []) port.protocol ||= 'TCP';
    }
  },
  warnings: () => ['v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice'],
};
