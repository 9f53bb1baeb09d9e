/** One Service: what this node shall do with its traffic, and what the kernel does. */
import type { Service } from '../../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { mergeEndpointSlices, sliceEndpoints } from '../collect/merge-endpoint-slices.ts';
import { servicePorts } from '../collect/service-ports.ts';
import type { IpFamily, NodeFacts } from '../proxy-model.ts';
import {
  type Treatment,
  type WantedFrontend,
  frontendText,
  isAsWanted,
  treatmentText,
  wantedFrontends,
} from './frontends.ts';

/** How a mode's rules are read. @throws when they cannot be */
export type ReadInstalled = (family: IpFamily, frontend: WantedFrontend) => Promise<Treatment>;

export interface FrontendState {
  readonly frontend: WantedFrontend;
  /** In words. `installed` undefined: not read. */
  readonly fact: {
    readonly text: string;
    readonly kind: string;
    readonly wanted: string;
    readonly installed: string | undefined;
    readonly isAsWanted: boolean;
  };
}

/** @param slices of this Service @param read undefined: the rules cannot be read */
export async function frontendStates(
  service: Service,
  slices: readonly EndpointSlice[],
  node: (family: IpFamily) => NodeFacts,
  read: ReadInstalled | undefined,
): Promise<FrontendState[]> {
  const states: FrontendState[] = [];
  for (const family of ['IPv4', 'IPv6'] as const) {
    for (const frontend of wantedOf(family, service, slices, node(family))) {
      const installed = read === undefined ? undefined : await read(family, frontend);
      const fact = {
        text: frontendText(frontend),
        kind: frontend.kind,
        wanted: treatmentText(frontend.wanted),
        installed: installed === undefined ? undefined : treatmentText(installed),
        isAsWanted: installed !== undefined && isAsWanted(frontend.wanted, installed),
      };
      states.push({ frontend, fact });
    }
  }
  return states;
}

function wantedOf(
  family: IpFamily,
  service: Service,
  slices: readonly EndpointSlice[],
  node: NodeFacts,
): WantedFrontend[] {
  const lists = slices.map((slice) => sliceEndpoints(slice, family, node.name));
  const key = `${service.metadata.namespace ?? ''}/${service.metadata.name}`;
  return wantedFrontends({ key, ports: servicePorts(service, family), endpoints: mergeEndpointSlices(lists) }, node);
}
