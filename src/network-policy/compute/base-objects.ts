/**
 * What all policies stand on: one look at each new connection, after Services have their endpoints as destination
 * (priority -100) and before sources are masqueraded (100), on whichever way it comes: routed, bridged, or sent on by
 * IPVS, which never shows it to the forward hook. Pure.
 */
import type { Direction, IpFamily } from '../network-policy-model.ts';
import type { NftChain, NftField, NftRule, NftVerdict } from './nft-objects.ts';
import { families, ingressChain } from './policy-objects.ts';

const hook = 'type filter hook postrouting priority srcnat - 5';

const suffixOf = (family: IpFamily): string => (family === 'IPv4' ? '4' : '6');

/** Local pods' addresses, and what policies say to them. */
export const verdictMap = (direction: Direction, family: IpFamily): string => `${direction}${suffixOf(family)}`;
/** Local pods' addresses, twice: a pod that reaches itself, also by a Service. */
export const selfSet = (family: IpFamily): string => `self${suffixOf(family)}`;
/** Addresses of this node's pods, known or not. */
export const strangersSet = (suffix: string): string => `node-pods${suffix}`;
export const strangersCounter = (direction: Direction): string => `unknown/${direction}/dropped`;

const text = (words: string, verdict: NftVerdict): NftRule => ({ matches: [{ kind: 'text', text: words }], verdict });
const accept: NftVerdict = { kind: 'accept' };

/** @param isIsolating whether any policy of the cluster isolates in a direction: then it may be meant for a pod that nobody knows yet */
export function baseChains(isIsolating: Readonly<Record<Direction, boolean>>): Map<string, NftChain> {
  const lookUp = (direction: Direction): NftRule[] => {
    const perFamily = families.map(({ suffix, source, destination }) => ({
      suffix,
      field: direction === 'egress' ? source : destination,
    }));
    return [
      ...perFamily.map(({ suffix, field }): NftRule => ({
        matches: [],
        verdict: { kind: 'map', field, map: `${direction}${suffix}` },
      })),
      ...(isIsolating[direction] ? perFamily : []).flatMap(({ suffix, field }): NftRule[] => {
        const isStranger = { kind: 'in-set', fields: [field] satisfies NftField[], set: strangersSet(suffix) } as const;
        return [
          { matches: [isStranger], verdict: { kind: 'count', counter: strangersCounter(direction) } },
          { matches: [isStranger], verdict: { kind: 'drop' } },
        ];
      }),
    ];
  };
  return new Map<string, NftChain>([
    [ingressChain, { kind: 'chain', rules: [...lookUp('ingress'), { matches: [], verdict: accept }] }],
    [
      'postrouting',
      {
        kind: 'chain',
        hook,
        rules: [
          text('ct state established,related', accept),
          // this node itself: the kubelet's probes and what runs on the host's network
          text('fib saddr type local', accept),
          text(
            'icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect }',
            accept,
          ),
          ...families.map(({ suffix, source, destination }): NftRule => ({
            matches: [{ kind: 'in-set', fields: [source, destination], set: `self${suffix}` }],
            verdict: accept,
          })),
          ...lookUp('egress'),
          { matches: [], verdict: { kind: 'goto', chain: ingressChain } },
        ],
      },
    ],
  ]);
}
