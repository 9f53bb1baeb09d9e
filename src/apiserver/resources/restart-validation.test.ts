import { describe, expect, it } from 'vitest';
import type { Container } from '../../objects/generated/core-v1.ts';
import { describeFieldErrors } from './field-errors.ts';
import { type ContainerList, validateRestartPolicy } from './restart-validation.ts';

const rule = (action: string, operator = 'In', values = [1]) => ({ action, exitCodes: { operator, values } });
const many = (count: number) => Array.from({ length: count }, (_, i) => i);

interface Row {
  name: string;
  list?: ContainerList;
  more: Partial<Container>;
  want: string;
}

const rows: Row[] = [
  { name: 'no policy, no rules', more: {}, want: '' },
  { name: 'a policy of its own', more: { restartPolicy: 'OnFailure' }, want: '' },
  { name: 'a sidecar', list: 'initContainers', more: { restartPolicy: 'Always' }, want: '' },
  {
    name: 'both actions',
    more: { restartPolicy: 'Never', restartPolicyRules: [rule('Restart'), rule('RestartAllContainers', 'NotIn')] },
    want: '',
  },
  {
    name: 'an ordinary init container',
    list: 'initContainers',
    more: { restartPolicy: 'Never', restartPolicyRules: [rule('RestartAllContainers')] },
    want: '',
  },
  {
    name: 'an unknown policy',
    more: { restartPolicy: 'Sometimes' },
    want: 'c.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"',
  },
  {
    name: 'rules without a policy',
    more: { restartPolicyRules: [rule('Restart')] },
    want: 'c.restartPolicy: Required value: must specify restartPolicy when restart rules are used',
  },
  {
    name: 'rules of a sidecar',
    list: 'initContainers',
    more: { restartPolicy: 'Always', restartPolicyRules: [rule('Restart')] },
    want: 'c.restartPolicyRules: Forbidden: may not be set for init containers with restartPolicy Always',
  },
  {
    name: 'an ephemeral container',
    list: 'ephemeralContainers',
    more: { restartPolicy: 'Never', restartPolicyRules: [rule('Restart')] },
    want: '[c.restartPolicy: Forbidden: cannot be set for an Ephemeral Container, c.restartPolicyRules: Forbidden: cannot be set for an Ephemeral Container]',
  },
  {
    name: '20 rules with 255 codes',
    more: { restartPolicy: 'Never', restartPolicyRules: Array(20).fill(rule('Restart', 'In', many(255))) },
    want: '',
  },
  {
    name: '21 rules',
    more: { restartPolicy: 'Never', restartPolicyRules: Array(21).fill(rule('Restart')) },
    want: 'c.restartPolicyRules: Too many: 21: must have at most 20 items',
  },
  {
    name: '256 codes',
    more: { restartPolicy: 'Never', restartPolicyRules: [rule('Restart', 'In', many(256))] },
    want: 'c.restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items',
  },
  {
    name: 'an unknown action, an unknown operator',
    more: { restartPolicy: 'Never', restartPolicyRules: [rule('Stop', 'Is')] },
    want: '[c.restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart", "RestartAllContainers", c.restartPolicyRules[0].exitCodes.operator: Unsupported value: "Is": supported values: "In", "NotIn"]',
  },
  {
    name: 'no codes at all',
    more: { restartPolicy: 'Never', restartPolicyRules: [{ action: 'Restart' }, rule('Restart', 'In', [])] },
    want: '[c.restartPolicyRules[0].exitCodes: Required value: must be specified, c.restartPolicyRules[1].exitCodes.values: Required value: must specify at least one exit code]',
  },
  {
    name: 'codes that no process ends with, and one twice',
    more: { restartPolicy: 'Never', restartPolicyRules: [rule('Restart', 'In', [256, 1, 1])] },
    want: '[c.restartPolicyRules[0].exitCodes.values[0]: Invalid value: 256: must be between 0 and 255, inclusive, c.restartPolicyRules[0].exitCodes.values[2]: Duplicate value: 1]',
  },
];

describe('validateRestartPolicy', () => {
  it.each(rows)('$name', ({ list = 'containers', more, want }) => {
    const errors = validateRestartPolicy({ name: 'web', image: 'x', ...more }, list, 'c');
    expect(errors.length === 0 ? '' : describeFieldErrors(errors)).toBe(want);
  });
});
