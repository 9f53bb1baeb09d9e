/**
 * Label selectors in their two forms: the string of a query (`app=web,tier in (a,b),!old`) and the object of a spec.
 * Both become a list of requirements that must all hold.
 */
import type { LabelSelector } from './generated/meta-v1.ts';

export type LabelOperator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Gt' | 'Lt';

export interface LabelRequirement {
  key: string;
  operator: LabelOperator;
  values: readonly string[];
}

type Labels = Readonly<Record<string, string>> | undefined;

/** Whether every requirement holds. A key that is absent satisfies `NotIn` and `DoesNotExist`. */
export function matchesRequirements(requirements: readonly LabelRequirement[], labels: Labels): boolean {
  return requirements.every((requirement) => matchesRequirement(requirement, labels));
}

function matchesRequirement({ key, operator, values }: LabelRequirement, labels: Labels): boolean {
  const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
    case 'Lt': {
      const have = wholeNumber(value);
      const limit = wholeNumber(values[0]);
      if (have === undefined || limit === undefined) return false;
      return operator === 'Gt' ? have > limit : have < limit;
    }
  }
}

function wholeNumber(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[+-]?\d{1,19}$/.test(text) ? BigInt(text.replace(/^\+/, '')) : undefined;
}

/**
 * The requirements of a selector object. An empty selector matches everything; an absent one matches nothing,
 * which is why it is `undefined` here.
 * @throws {Error} on an unknown operator, or values that do not fit it
 */
export function labelSelectorRequirements(selector: LabelSelector | undefined): LabelRequirement[] | undefined {
  if (selector === undefined) return undefined;
  const requirements: LabelRequirement[] = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({
    key,
    operator: 'In',
    values: [value],
  }));
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    switch (operator) {
      case 'In':
      case 'NotIn':
        if (values.length === 0) throw new Error(`Cannot use label selector on "${key}": ${operator} needs values`);
        break;
      case 'Exists':
      case 'DoesNotExist':
        if (values.length > 0) throw new Error(`Cannot use label selector on "${key}": ${operator} takes no values`);
        break;
      default:
        throw new Error(`Cannot use label selector on "${key}": "${operator}" is not a valid label selector operator`);
    }
    requirements.push({ key, operator, values });
  }
  return requirements;
}

/** Whether a selector object selects these labels: nothing when it is absent, everything when it is empty. */
export function matchesLabelSelector(selector: LabelSelector | undefined, labels: Labels): boolean {
  const requirements = labelSelectorRequirements(selector);
  return requirements !== undefined && matchesRequirements(requirements, labels);
}

/** Whether a plain map (a Service's or ReplicationController's selector) selects these labels. */
export function matchesLabelMap(selector: Readonly<Record<string, string>>, labels: Labels): boolean {
  return Object.entries(selector).every(([key, value]) => labels?.[key] === value);
}

/** A selector object as a query string, e.g. for `?labelSelector=`. */
export function formatLabelSelector(selector: LabelSelector): string {
  return formatRequirements(labelSelectorRequirements(selector) ?? []);
}

export function formatRequirements(requirements: readonly LabelRequirement[]): string {
  return requirements
    .toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ key, operator, values }) => {
      const list = values.toSorted().join(',');
      switch (operator) {
        case 'In':
          return values.length === 1 ? `${key}=${list}` : `${key} in (${list})`;
        case 'NotIn':
          return values.length === 1 ? `${key}!=${list}` : `${key} notin (${list})`;
        case 'Exists':
          return key;
        case 'DoesNotExist':
          return `!${key}`;
        case 'Gt':
          return `${key}>${list}`;
        case 'Lt':
          return `${key}<${list}`;
      }
    })
    .join(',');
}

/**
 * The requirements of a query string. The empty string has none and so matches everything.
 * @throws {Error} whose message says where the text is wrong
 */
export function parseLabelSelector(text: string): LabelRequirement[] {
  const tokens = tokenize(text);
  const requirements: LabelRequirement[] = [];
  let at = 0;
  const fail = (expected: string): never => {
    throw new Error(
      `unable to parse requirement: found '${tokens[at] ?? ''}', expected: ${expected} in label selector "${text}"`,
    );
  };
  const isWord = (token: string | undefined): token is string =>
    token !== undefined && !/^(?:[=!<>(),]|==|!=)$/.test(token);
  const word = (expected: string): string => {
    const token = tokens[at];
    if (!isWord(token)) return fail(expected);
    at++;
    return token;
  };
  const key = (): string => {
    const name = word('identifier');
    const problem = labelKeyProblem(name);
    if (problem !== undefined) throw new Error(`unable to parse requirement: invalid label key "${name}": ${problem}`);
    return name;
  };
  const value = (): string => {
    const token = tokens[at];
    if (!isWord(token)) return ''; // `a=` asks for the empty value
    at++;
    const problem = labelValueProblem(token);
    if (problem !== undefined)
      throw new Error(`unable to parse requirement: invalid label value "${token}": ${problem}`);
    return token;
  };
  const valueList = (): string[] => {
    if (tokens[at] !== '(') fail("'('");
    at++;
    const values = [value()];
    while (tokens[at] === ',') {
      at++;
      values.push(value());
    }
    if (tokens[at] !== ')') fail("',' or ')'");
    at++;
    return values;
  };

  while (at < tokens.length) {
    if (tokens[at] === '!') {
      at++;
      requirements.push({ key: key(), operator: 'DoesNotExist', values: [] });
    } else {
      const name = key();
      const operator = tokens[at];
      if (operator === undefined || operator === ',') {
        requirements.push({ key: name, operator: 'Exists', values: [] });
      } else if (operator === '=' || operator === '==' || operator === '!=') {
        at++;
        requirements.push({ key: name, operator: operator === '!=' ? 'NotIn' : 'In', values: [value()] });
      } else if (operator === 'in' || operator === 'notin') {
        at++;
        requirements.push({ key: name, operator: operator === 'in' ? 'In' : 'NotIn', values: valueList() });
      } else if (operator === '>' || operator === '<') {
        at++;
        const limit = value();
        if (wholeNumber(limit) === undefined) {
          throw new Error(`unable to parse requirement: "${limit}" for '${operator}' must be an integer`);
        }
        requirements.push({ key: name, operator: operator === '>' ? 'Gt' : 'Lt', values: [limit] });
      } else {
        fail('in, notin, =, ==, !=, gt, lt');
      }
    }
    if (at < tokens.length) {
      if (tokens[at] !== ',') fail("',' or 'end of string'");
      at++;
      if (at === tokens.length) fail("identifier after ','");
    }
  }
  return requirements;
}

function tokenize(text: string): string[] {
  return text.match(/==|!=|[=!<>(),]|[^\s=!<>(),]+/g) ?? [];
}

const labelNamePattern = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const dnsSubdomainPattern = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

/** Why a label key is not valid, or undefined when it is. */
export function labelKeyProblem(key: string): string | undefined {
  const parts = key.split('/');
  if (parts.length > 2) return 'it may have one "/" only';
  const name = parts.at(-1) ?? '';
  const prefix = parts.length === 2 ? parts[0] : undefined;
  if (prefix !== undefined && (prefix.length > 253 || !dnsSubdomainPattern.test(prefix))) {
    return 'its prefix must be a DNS subdomain of at most 253 characters';
  }
  if (name.length > 63) return 'its name part must be no more than 63 characters';
  if (!labelNamePattern.test(name)) {
    return 'its name part must consist of alphanumeric characters, "-", "_" or ".", and must start and end with an alphanumeric character';
  }
  return undefined;
}

/** Why a label value is not valid, or undefined when it is. The empty value is valid. */
export function labelValueProblem(value: string): string | undefined {
  if (value === '') return undefined;
  if (value.length > 63) return 'it must be no more than 63 characters';
  if (!labelNamePattern.test(value)) {
    return 'it must consist of alphanumeric characters, "-", "_" or ".", and must start and end with an alphanumeric character';
  }
  return undefined;
}
