/** What `iptables-save` says becomes of packets to a frontend, read by following the jumps. Pure. */
import type { Frontend, Treatment } from './frontends.ts';

/** The rules of one IP family, by chain. */
export class InstalledIptables {
  /** `table chain` → rules, as printed, without `-A chain`. */
  readonly #rules = new Map<string, string[]>();

  /** Takes one line of `iptables-save -t <table>`. */
  read(table: 'nat' | 'filter', line: string): void {
    const match = /^-A (KUBE-\S+) (.*)$/.exec(line);
    if (match === null) return;
    const key = `${table} ${match[1]}`;
    const rules = this.#rules.get(key);
    if (rules === undefined) this.#rules.set(key, [match[2] ?? '']);
    else rules.push(match[2] ?? '');
  }

  treatment(frontend: Frontend): Treatment {
    const isNodePort = frontend.kind === 'node port';
    const entry = this.#find(`nat ${isNodePort ? 'KUBE-NODEPORTS' : 'KUBE-SERVICES'}`, frontend, / -j (KUBE-\S+)/);
    if (entry !== undefined) {
      const to = this.#destinations(entry, 0);
      if (to.length > 0) return { kind: 'endpoints', to: [...new Set(to)] };
    }
    const refusal = ['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES']
      .map((chain) => this.#find(`filter ${chain}`, frontend, / -j (REJECT|DROP)/))
      .find((target) => target !== undefined);
    if (refusal !== undefined) return { kind: refusal === 'DROP' ? 'drop' : 'reject' };
    return { kind: 'missing' };
  }

  /** The target of the rule for the frontend. */
  #find(chain: string, { ip, port, protocol }: Frontend, target: RegExp): string | undefined {
    for (const rule of this.#rules.get(chain) ?? []) {
      if (!rule.includes(`-p ${protocol} `) || !`${rule} `.includes(` --dport ${port} `)) continue;
      const isTo = ip === '' ? !/(^| )-d (?!127\.)/.test(rule) : destinationOf(rule) === ip;
      const found = isTo ? target.exec(rule) : null;
      if (found !== null) return found[1];
    }
    return undefined;
  }

  /** Where a packet from elsewhere ends up: rules for the node's own and its pods' traffic are left out. */
  #destinations(chain: string, depth: number): string[] {
    if (depth > 5) return []; // service, firewall, external, endpoint: there are no more
    const isExternal = chain.startsWith('KUBE-EXT-');
    return (this.#rules.get(`nat ${chain}`) ?? []).flatMap((rule) => {
      const to = /--to-destination (\S+)/.exec(rule)?.[1];
      if (to !== undefined) return [to];
      const next = /-j (KUBE-(?:SVC|SVL|SEP|EXT)-\S+)/.exec(rule)?.[1];
      if (next === undefined) return [];
      if (isExternal && /--src-type LOCAL|(^| )-s |(^| )-i /.test(rule)) return [];
      return this.#destinations(next, depth + 1);
    });
  }
}

/** `-d 10.96.0.10/32` → `10.96.0.10`. */
function destinationOf(rule: string): string | undefined {
  return /(?:^| )-d (\S+?)(?:\/(?:32|128))?(?: |$)/.exec(rule)?.[1];
}
