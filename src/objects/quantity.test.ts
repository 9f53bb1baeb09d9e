import { describe, expect, it } from 'vitest';
import {
  addQuantity,
  canonicalQuantity,
  compareQuantity,
  formatQuantity,
  isQuantity,
  milliOf,
  parseQuantity,
  quantityOf,
  quantityOfMilli,
  subtractQuantity,
  toBigValue,
  valueOf,
  zeroQuantity,
} from './quantity.ts';

describe('canonicalQuantity', () => {
  it.each([
    ['0', '0'],
    ['0Gi', '0'],
    ['1', '1'],
    ['+1', '1'],
    ['-1', '-1'],
    ['100m', '100m'],
    ['1000m', '1'],
    ['0.5', '500m'],
    ['.5', '500m'],
    ['5.', '5'],
    ['1.5', '1500m'],
    ['1500m', '1500m'],
    ['12000', '12k'],
    ['12001', '12001'],
    ['0.1m', '100u'],
    ['1n', '1n'],
    ['0.1n', '1n'],
    ['1M', '1M'],
    ['1E', '1E'],
    ['1024', '1024'],
    ['1024Ki', '1Mi'],
    ['0.5Gi', '512Mi'],
    ['1.5Gi', '1536Mi'],
    ['1023Ki', '1023Ki'],
    ['0.001Ki', '1024m'],
    ['1.1Ki', '1126400m'],
    ['16384256Ki', '16384256Ki'],
    ['1e3', '1e3'],
    ['12e2', '1200'],
    ['12E3', '12e3'],
    ['1e-3', '1e-3'],
    ['100e-3', '100e-3'],
    ['9223372036854775807', '9223372036854775807'],
    ['99999999999999999999', '9223372036854775807'],
  ])('%s is %s', (text, want) => {
    expect(canonicalQuantity(text)).toBe(want);
    expect(compareQuantity(parseQuantity(want), parseQuantity(text))).toBe(0);
  });

  it.each(['', ' ', '1 ', 'm', '.', '1ki', '1KiB', '1.2.3', '0x10', 'e3', '1e', '1e99', '--1', '1'.repeat(65)])(
    'refuses "%s"',
    (text) => {
      expect(isQuantity(text)).toBe(false);
      expect(() => parseQuantity(text)).toThrow(/Cannot read quantity/);
    },
  );
});

describe('amounts', () => {
  it.each([
    ['1', 1000],
    ['1n', 1],
    ['100m', 100],
    ['1.0005', 1001],
    [undefined, 0],
    ['-1.0005', -1001],
  ])('milliOf(%s) rounds up to %d', (text, want) => expect(milliOf(text)).toBe(want));

  it.each([
    ['1m', 1],
    ['64Mi', 67_108_864],
    ['1.1', 2],
    ['2k', 2000],
    [undefined, 0],
  ])('valueOf(%s) rounds up to %d', (text, want) => expect(valueOf(text)).toBe(want));

  it('keeps amounts beyond 2^53 exact', () => {
    expect(toBigValue(parseQuantity('9007199254740993'))).toBe(9_007_199_254_740_993n);
  });
});

describe('arithmetic', () => {
  it.each([
    ['1Gi', '512Mi', '1536Mi', '512Mi'],
    ['0', '1Gi', '1Gi', '-1Gi'],
    ['100m', '1', '1100m', '-900m'],
    ['1Gi', '1M', '1074741824', '1072741824'],
  ])('%s and %s: sum %s, difference %s', (a, b, sum, difference) => {
    expect(formatQuantity(addQuantity(parseQuantity(a), parseQuantity(b)))).toBe(sum);
    expect(formatQuantity(subtractQuantity(parseQuantity(a), parseQuantity(b)))).toBe(difference);
  });

  it('takes the format of the other when one is zero', () => {
    expect(addQuantity(zeroQuantity, quantityOf(2048, 'BinarySI'))).toEqual({
      nano: 2_048_000_000_000n,
      format: 'BinarySI',
    });
  });

  it('prints whole and milli amounts', () => {
    expect(formatQuantity(quantityOf(110))).toBe('110');
    expect(formatQuantity(quantityOfMilli(1900))).toBe('1900m');
    expect(formatQuantity(quantityOf(1025, 'BinarySI'))).toBe('1025');
  });
});
