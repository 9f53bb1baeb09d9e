/** Feature gates of 1.36 that concern kube-proxy. Pure. */
import { isRecord } from './config-fields.ts';

/** Can be switched. */
const switchable: Readonly<Record<string, boolean>> = { ComponentFlagz: true, ComponentStatusz: true };

/** As they are, which is upstream's default. */
const fixed: Readonly<Record<string, { isOn: boolean; isLocked: boolean }>> = {
  AllowServiceExternalIPs: { isOn: true, isLocked: false },
  ContextualLogging: { isOn: true, isLocked: false },
  LoggingAlphaOptions: { isOn: false, isLocked: false },
  LoggingBetaOptions: { isOn: true, isLocked: false },
  MultiCIDRServiceAllocator: { isOn: true, isLocked: true },
  NFTablesProxyMode: { isOn: true, isLocked: true },
  PreferSameTrafficDistribution: { isOn: true, isLocked: true },
  ServiceTrafficDistribution: { isOn: true, isLocked: true },
  TopologyAwareHints: { isOn: true, isLocked: true },
  WatchListClient: { isOn: true, isLocked: false },
};

export interface ProxyGates {
  readonly flagz: boolean;
  readonly statusz: boolean;
}

/** A gate of another component does nothing here: `warnings` says so. */
export function parseProxyGates(gates: unknown, problems: string[], warnings: string[]): ProxyGates {
  const values = isRecord(gates) ? gates : {};
  for (const [name, wanted] of Object.entries(values)) {
    const gate = fixed[name];
    if (typeof wanted !== 'boolean') {
      problems.push(`featureGates.${name} must be true or false: ${JSON.stringify(wanted)}`);
    } else if (gate !== undefined && gate.isOn !== wanted) {
      problems.push(
        gate.isLocked
          ? `cannot set feature gate ${name} to ${wanted}, feature is locked to ${gate.isOn}`
          : `featureGates.${name} cannot be ${wanted}: kube-proxy has it ${gate.isOn ? 'on' : 'off'}, leave the gate out`,
      );
    } else if (gate === undefined && switchable[name] === undefined) {
      // clusters hand the same gates to all their components
      warnings.push(`featureGates.${name} has no effect on kube-proxy`);
    }
  }
  const isOn = (name: string): boolean => (values[name] ?? switchable[name]) === true;
  return { flagz: isOn('ComponentFlagz'), statusz: isOn('ComponentStatusz') };
}
