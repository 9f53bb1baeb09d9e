/**
 * Kubernetes quantities (`100m`, `1.5Gi`, `12e6`): exact, in billionths, as upstream keeps them. Finer amounts are
 * rounded up. Pure; printing gives the canonical form that an API server returns.
 */

export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';

export interface Quantity {
  /** The amount in billionths (10⁻⁹): 1 CPU is 1_000_000_000n. */
  readonly nano: bigint;
  readonly format: QuantityFormat;
}

const nanoPerUnit = 1_000_000_000n;
const nanoPerMilli = 1_000_000n;
/** Amounts stop at the largest 64-bit integer, as upstream's do. */
const nanoMax = (2n ** 63n - 1n) * nanoPerUnit;

const decimalSuffixes: ReadonlyArray<readonly [suffix: string, exponent: number]> = [
  ['n', -9],
  ['u', -6],
  ['m', -3],
  ['', 0],
  ['k', 3],
  ['M', 6],
  ['G', 9],
  ['T', 12],
  ['P', 15],
  ['E', 18],
];
const binarySuffixes = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

const pattern = /^([+-]?)(\d*)(?:\.(\d*))?([A-Za-z]*|[eE][+-]?\d+)$/;
/** Longer texts are no amounts of anything; the bound keeps `10 ** exponent` small. */
const textMax = 64;
const exponentMax = 40;

export const zeroQuantity: Quantity = { nano: 0n, format: 'DecimalSI' };

/** @throws {RangeError} naming the text when it is no quantity */
export function parseQuantity(text: string): Quantity {
  const found = text.length <= textMax ? pattern.exec(text) : null;
  const [, sign = '', whole = '', fraction = '', suffix = ''] = found ?? [];
  const unit = found === null || whole + fraction === '' ? undefined : unitOf(suffix);
  if (unit === undefined) {
    throw new RangeError(
      `Cannot read quantity "${text.slice(0, textMax)}": expected a number like 1, 100m, 0.5 or 2Gi`,
    );
  }
  const digits = BigInt(whole + fraction);
  const numerator = digits * unit.numerator * nanoPerUnit;
  const denominator = unit.denominator * 10n ** BigInt(fraction.length);
  const amount = divideUp(numerator, denominator);
  const capped = amount > nanoMax ? nanoMax : amount;
  return { nano: sign === '-' ? -capped : capped, format: unit.format };
}

/** Whether `text` reads as a quantity. */
export function isQuantity(text: string): boolean {
  try {
    parseQuantity(text);
    return true;
  } catch {
    return false; // the only throw is the RangeError of a bad text
  }
}

function unitOf(suffix: string): { numerator: bigint; denominator: bigint; format: QuantityFormat } | undefined {
  const binary = binarySuffixes.indexOf(suffix);
  if (binary > 0) return { numerator: 1024n ** BigInt(binary), denominator: 1n, format: 'BinarySI' };
  const decimal = decimalSuffixes.find(([name]) => name === suffix);
  if (decimal !== undefined) return { ...powerOfTen(decimal[1]), format: 'DecimalSI' };
  if (!/^[eE][+-]?\d+$/.test(suffix)) return undefined;
  const exponent = Number(suffix.slice(1));
  if (Math.abs(exponent) > exponentMax) return undefined;
  return { ...powerOfTen(exponent), format: 'DecimalExponent' };
}

function powerOfTen(exponent: number): { numerator: bigint; denominator: bigint } {
  return exponent >= 0
    ? { numerator: 10n ** BigInt(exponent), denominator: 1n }
    : { numerator: 1n, denominator: 10n ** BigInt(-exponent) };
}

/** The canonical text: no fraction, the largest suffix that keeps the number whole. */
export function formatQuantity({ nano, format }: Quantity): string {
  const isFraction = nano % nanoPerUnit !== 0n;
  const units = nano / nanoPerUnit;
  if (format === 'BinarySI' && !isFraction && (units >= 1024n || units <= -1024n)) return formatBinary(units);
  return formatDecimal(nano, format);
}

function formatBinary(units: bigint): string {
  let rest = units;
  let index = 0;
  while (rest % 1024n === 0n && index < binarySuffixes.length - 1) {
    rest /= 1024n;
    index++;
  }
  return `${rest}${binarySuffixes[index] ?? ''}`;
}

function formatDecimal(nano: bigint, format: QuantityFormat): string {
  if (nano === 0n) return '0';
  let rest = nano;
  let index = 0;
  while (rest % 1000n === 0n && index < decimalSuffixes.length - 1) {
    rest /= 1000n;
    index++;
  }
  const [suffix, exponent] = decimalSuffixes[index] ?? ['', 0];
  if (format === 'DecimalExponent') return exponent === 0 ? String(rest) : `${rest}e${exponent}`;
  return `${rest}${suffix}`;
}

/** The text an API server would return for `text`. @throws {RangeError} */
export const canonicalQuantity = (text: string): string => formatQuantity(parseQuantity(text));

/** A whole amount: bytes, pods, CPUs. */
export function quantityOf(units: number | bigint, format: QuantityFormat = 'DecimalSI'): Quantity {
  return { nano: BigInt(units) * nanoPerUnit, format };
}

/** An amount in thousandths: CPU time. */
export function quantityOfMilli(milli: number | bigint): Quantity {
  return { nano: BigInt(milli) * nanoPerMilli, format: 'DecimalSI' };
}

/** Thousandths, rounded up. */
export const toMilli = ({ nano }: Quantity): number => Number(divideAway(nano, nanoPerMilli));

/** Whole units (bytes, CPUs …), rounded up; exact up to 2⁵³. */
export const toValue = ({ nano }: Quantity): number => Number(divideAway(nano, nanoPerUnit));

/** Whole units, rounded up, for amounts that may pass 2⁵³. */
export const toBigValue = ({ nano }: Quantity): bigint => divideAway(nano, nanoPerUnit);

/** Thousandths of a text such as `500m`; 0 when there is none. @throws {RangeError} */
export const milliOf = (text: string | undefined): number => (text === undefined ? 0 : toMilli(parseQuantity(text)));

/** Whole units of a text such as `64Mi`; 0 when there is none. @throws {RangeError} */
export const valueOf = (text: string | undefined): number => (text === undefined ? 0 : toValue(parseQuantity(text)));

/** The sum; in the first one's format unless that is zero. */
export function addQuantity(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

export function subtractQuantity(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano - b.nano, format: a.nano === 0n ? b.format : a.format };
}

/** Negative, 0 or positive, as a sort wants it. Formats don't count. */
export function compareQuantity(a: Quantity, b: Quantity): number {
  return a.nano < b.nano ? -1 : a.nano > b.nano ? 1 : 0;
}

export const maxQuantity = (a: Quantity, b: Quantity): Quantity => (compareQuantity(b, a) > 0 ? b : a);

/** Non-negative division, rounded up. */
function divideUp(numerator: bigint, denominator: bigint): bigint {
  return (numerator + denominator - 1n) / denominator;
}

/** Division rounded away from zero. */
function divideAway(numerator: bigint, denominator: bigint): bigint {
  return numerator < 0n ? -divideUp(-numerator, denominator) : divideUp(numerator, denominator);
}
