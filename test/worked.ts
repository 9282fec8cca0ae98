/** What the worked examples share: short ways to write tensors, and comparison in units in the last place. */
import assert from 'node:assert/strict'
import { PrefgradError } from '../lib/errors.ts'
import { seeded } from './reference/draw.ts'
import { ulp } from './reference/numbers.ts'

export const f32 = (...values: number[]): Float32Array<ArrayBuffer> => Float32Array.from(values)
export const i32 = (...values: number[]): Int32Array<ArrayBuffer> => Int32Array.from(values)
export const u8 = (...values: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(values)

/** A `[B, T]` tensor from its rows. */
export const rows = (...values: number[][]) => ({
  data: Float32Array.from(values.flat()),
  shape: [values.length, values[0].length],
})

/** `valid` for a `[B, T]` tensor from its rows. */
export const mask = (...values: number[][]) => ({
  data: Uint8Array.from(values.flat()),
  shape: [values.length, values[0].length],
})

/** Equal within `ulps` units in the last place of f32. */
export function near(actual: number, expected: number, ulps = 1, note = ''): void {
  const off = Math.abs(actual - expected) / ulp(expected)
  const isNear = Object.is(actual, expected) || actual === expected || off <= ulps
  assert.ok(isNear, `${note} got ${actual}, expected ${expected}: ${off} ULP apart, ${ulps} allowed`)
}

export function allNear(actual: ArrayLike<number>, expected: ArrayLike<number>, ulps = 1): void {
  assert.equal(actual.length, expected.length)
  for (let i = 0; i < expected.length; i++) near(actual[i], expected[i], ulps, `[${i}]`)
}

/** Equal bit for bit. */
export const sameBits = (actual: ArrayLike<number>, expected: ArrayLike<number>): void =>
  assert.deepEqual(Array.from(actual), Array.from(expected))

export const sum = (values: ArrayLike<number>): number => Array.from(values).reduce((total, x) => total + x, 0)

/** Normal numbers, the same every time. */
export function normals(seed: number, count: number, scale = 1): Float32Array<ArrayBuffer> {
  const random = seeded(seed)
  return Float32Array.from({ length: count }, () => scale * random.normal())
}

/** A validator for `assert.throws`: this code, about this argument. */
export const refusal = (code: string, arg: string) => (error: unknown) =>
  error instanceof PrefgradError && error.code === code && error.arg === arg
