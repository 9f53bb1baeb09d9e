import { expect, it } from 'vitest';
import { requestLabels } from './request-labels.ts';

const pages = new Set(['/metrics', '/metrics/probes']);

it.each([
  ['GET', '/pods', 'GET pods false'],
  ['GET', '/metrics', 'GET metrics false'],
  ['GET', '/metrics/probes?x=y', 'GET metrics/probes false'],
  ['GET', '/metrics/anything', 'GET metrics false'],
  ['GET', '/containerLogs/ns/pod/c?follow=true', 'GET containerLogs false'],
  ['POST', '/exec/ns/pod/c?command=ls', 'POST exec true'],
  ['GET', '/portForward/ns/pod', 'GET portForward true'],
  ['BREW', '/coffee', 'other other false'],
  ['GET', '/', 'GET other false'],
  ['GET', '', 'GET other false'],
])('%s %s: %s', (method, target, want) => {
  const labels = requestLabels(method, target, pages);
  expect(`${labels.method} ${labels.path} ${labels.long_running}`).toBe(want);
  expect(labels.server_type).toBe('readwrite');
});
