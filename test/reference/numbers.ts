/** Scalars that references share: rounding to an element type, units in the last place, stable functions. */
import type { Dtype, Values } from './types.ts'

type FloatType = 'f32' | 'bf16' | 'f16'

/** Digits of the significand (the hidden one included) and the exponent of the smallest normal number. */
const FORMAT: Record<FloatType, { digits: number; least: number; most: number }> = {
  f32: { digits: 24, least: -126, most: 127 },
  bf16: { digits: 8, least: -126, most: 127 },
  f16: { digits: 11, least: -14, most: 15 },
}

const bits = new DataView(new ArrayBuffer(8))

/** e with 2^e <= x < 2^(e+1), read from the bits of a positive double. */
function exponent(x: number): number {
  bits.setFloat64(0, x)
  return (bits.getUint16(0) >>> 4) - 1023
}

/** The distance between neighbouring numbers of an element type around `x`. */
export function ulp(x: number, dtype: FloatType = 'f32'): number {
  const { digits, least, most } = FORMAT[dtype]
  const size = Math.abs(x)
  const e = size === 0 ? least : size === Number.POSITIVE_INFINITY ? most : Math.max(least, exponent(size))
  return 2 ** (e - digits + 1)
}

/** Rounds to the nearest number of an element type, ties to even; integers are left alone. */
export function round(x: number, dtype: Dtype = 'f32'): number {
  if (dtype === 'f32') return Math.fround(x)
  if (dtype === 'i32' || dtype === 'u8' || x === 0 || !Number.isFinite(x)) return x
  const quantum = ulp(x, dtype)
  const steps = x / quantum
  const below = Math.floor(steps)
  const rest = steps - below
  const up = rest > 0.5 || (rest === 0.5 && below % 2 !== 0)
  const rounded = (up ? below + 1 : below) * quantum
  return Math.abs(rounded) >= 2 ** (FORMAT[dtype].most + 1) ? Math.sign(x) * Number.POSITIVE_INFINITY : rounded
}

/** An output. What lies beyond the largest number of its element type is infinite: that is the right answer there. */
export function output(data: ArrayLike<number>, shape: readonly number[], dtype: Dtype = 'f32'): Values {
  if (dtype === 'i32' || dtype === 'u8') return { data, shape, dtype }
  const { digits, most } = FORMAT[dtype]
  const overflow = 2 ** (most + 1) * (1 - 2 ** (-digits - 1))
  const kept = Float64Array.from(data, (x) => (Math.abs(x) >= overflow ? Math.sign(x) * Number.POSITIVE_INFINITY : x))
  return { data: kept, shape, dtype }
}

/**
 * What f64 sums may lose, as a share of the added magnitudes: 2^9 roundings in a row. Far below one unit in the last
 * place of f32 unless the terms cancel.
 */
export const F64_SUM = 2 ** -44

/** An infinite size allows no error at all: there the result has to be the expected infinity. */
export const slack = (size: number): number => (Number.isFinite(size) ? F64_SUM * size : 0)

/**
 * What a plain loss of pairs in f32 may lose beside: the exponential a unit, 1 + e and the quotient (or the logarithm and its
 * sum) half a unit and more each, and the scale of a gradient two of its own (another unit where the product's digits are
 * smaller).
 */
export const PLAIN_PAIRS = 'f64, rounded once; plain pairs in f32: 3 ULP a loss, 4 of added losses, 6 a gradient'
export const plainPairs = {
  loss: (x: number): number => 2 * ulp(x),
  sum: (x: number): number => 3 * ulp(x),
  gradient: (x: number): number => 5 * ulp(x),
  /** Scores or rewards, added five times in f32 before the sum goes on in f64. */
  added: (size: number): number => (Number.isFinite(size) ? 5 * 2 ** -24 * size : 0),
} as const

/** log(1 + e^x), without overflow and exact in both tails. */
export const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))

export const logSigmoid = (x: number): number => -softplus(-x)

/** 1 / (1 + e^-x), relative precision in both tails. */
export const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)))

/** e^x - 1 - x, by its series where the difference would cancel. */
export function expMinusLinear(x: number): number {
  if (Math.abs(x) > 0.5) return Math.expm1(x) - x
  let power = 1
  let sum = 0
  for (let k = 2; k <= 20; k++) {
    power = k === 2 ? (x * x) / 2 : (power * x) / k
    sum += power
  }
  return sum
}

/** `factor * x`, where a factor of 0 removes x whatever it is (0 times infinity would be NaN). */
export const scaled = (factor: number, x: number): number => (factor === 0 ? 0 : factor * x)

export const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high)
