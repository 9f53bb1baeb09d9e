import { describe, expect, it } from 'vitest';
import { RpcError } from '../../../base/grpc.ts';
import { callFailure } from './csi-failure.ts';

const answered = (code: string): Error => new Error('NodeStageVolume failed', { cause: new RpcError(code, 'no') });

describe('callFailure', () => {
  it.each(['Canceled', 'DeadlineExceeded', 'Unavailable', 'ResourceExhausted', 'Aborted'])(
    '%s: it may have happened',
    (code) => {
      expect(callFailure(answered(code))).toMatchObject({
        outcome: 'uncertain',
        code,
        message: `rpc error: code = ${code} desc = no`,
      });
    },
  );

  it.each([
    'Unknown',
    'InvalidArgument',
    'NotFound',
    'AlreadyExists',
    'PermissionDenied',
    'Unauthenticated',
    'FailedPrecondition',
    'OutOfRange',
    'Unimplemented',
    'Internal',
    'DataLoss',
  ])('%s: it did not happen', (code) => {
    expect(callFailure(answered(code))).toMatchObject({ outcome: 'final', code });
  });

  it('anything else may have happened', () => {
    expect(callFailure(new Error('socket torn'))).toMatchObject({ outcome: 'uncertain', message: 'socket torn' });
  });
});
