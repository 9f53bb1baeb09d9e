import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { type FieldError, immutable, notSupported, required, tooMany } from './field-errors.ts';
import { endpointSliceColumns } from './print-others.ts';
import { type Strategy, typed } from './resource.ts';

const endpointsMax = 1000;
const addressesMax = 100;

export const endpointSliceStrategy: Strategy = {
  nameRule: 'subdomain',
  columns: endpointSliceColumns,
  generationPart: ({ metadata, endpoints, ports, addressType }) => ({
    endpoints,
    ports,
    addressType,
    labels: metadata.labels,
    annotations: metadata.annotations,
  }),

  applyDefaults(object) {
    const slice = typed<EndpointSlice>(object);
    slice.endpoints ??= [];
    for (const port of slice.ports ?? []) {
      port.name ??= '';
      port.protocol ||= 'TCP';
    }
  },

  validate(object): FieldError[] {
    const { addressType, endpoints = [] } = typed<EndpointSlice>(object);
    const errors: FieldError[] = [];
    if (!addressType) errors.push(required('addressType'));
    else if (!['FQDN', 'IPv4', 'IPv6'].includes(addressType)) {
      errors.push(notSupported('addressType', addressType, ['FQDN', 'IPv4', 'IPv6']));
    }
    if (endpoints.length > endpointsMax) errors.push(tooMany('endpoints', endpoints.length, endpointsMax));
    for (const [i, { addresses }] of endpoints.entries()) {
      const at = `endpoints[${i}].addresses`;
      if ((addresses ?? []).length === 0) errors.push(required(at, 'must contain at least 1 address'));
      else if (addresses.length > addressesMax) errors.push(tooMany(at, addresses.length, addressesMax));
    }
    return errors;
  },

  validateUpdate(object, old) {
    const { addressType } = typed<EndpointSlice>(object);
    return addressType === typed<EndpointSlice>(old).addressType ? [] : [immutable('addressType', addressType)];
  },
};
