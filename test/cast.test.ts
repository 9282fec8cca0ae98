import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cast } from '../lib/index.ts'

type Half = 'bf16' | 'f16'
const narrow = (values: number[], dtype: Half): number[] => [
  ...cast({ x: Float32Array.from(values) }, { dtype }).y.data,
]
const widen = (patterns: Uint16Array, dtype: Half): Float32Array =>
  cast({ x: { data: patterns, shape: [patterns.length], dtype } }, { dtype: 'f32' }).y.data as Float32Array

const ALL = Uint16Array.from({ length: 65536 }, (_, pattern) => pattern)

test('f32 to bf16 rounds to nearest, ties to even', () => {
  // bf16 keeps 7 bits after the point: around 1 the step is 2^-7, a tie lies at 2^-8.
  const tie = 2 ** -8
  const values = [1, 1 + tie, 1 + 3 * tie, 1 + tie * 1.01, 1 + tie * 0.99, -1 - 3 * tie]
  assert.deepEqual(narrow(values, 'bf16'), [0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x3f80, 0xbf82])
})

test('f32 to f16 rounds to nearest, ties to even, through subnormals and overflow', () => {
  // The largest f16 is 65504; 65520 is half a step above it and ties to infinity.
  assert.deepEqual(narrow([1, -2, 65504, 65519, 65520, -1e9], 'f16'), [0x3c00, 0xc000, 0x7bff, 0x7bff, 0x7c00, 0xfc00])
  // The smallest f16 is 2^-24; half of it ties to 0, three halves of it tie to 2 * 2^-24.
  const least = 2 ** -24
  assert.deepEqual(narrow([least, least / 2, least * 0.51, least * 1.5, -least / 4], 'f16'), [1, 0, 1, 2, 0x8000])
})

test('infinities and NaN stay what they are', () => {
  for (const dtype of ['bf16', 'f16'] as const) {
    const [up, down, none] = widen(Uint16Array.from(narrow([Infinity, -Infinity, Number.NaN], dtype)), dtype)
    assert.deepEqual([up, down, none], [Infinity, -Infinity, Number.NaN])
  }
  // A NaN whose payload lies in the lower half only must not become an infinity.
  const low = new Float32Array(new Uint32Array([0x7f800001]).buffer)
  assert.deepEqual([...widen(cast({ x: low }, { dtype: 'bf16' }).y.data as Uint16Array, 'bf16')], [Number.NaN])
  assert.deepEqual([...widen(cast({ x: low }, { dtype: 'f16' }).y.data as Uint16Array, 'f16')], [Number.NaN])
})

test('every bf16 widens to the f32 with the same upper half', () => {
  const wide = widen(ALL, 'bf16')
  const bits = new Uint32Array(wide.slice().buffer)
  for (let pattern = 0; pattern < 65536; pattern++) {
    if (Number.isNaN(wide[pattern])) assert.ok((pattern & 0x7fff) > 0x7f80)
    else assert.equal(bits[pattern], pattern * 65536)
  }
})

test('every f16 widens to (-1)^sign 2^(exponent - 15) (1 + fraction / 1024)', () => {
  const wide = widen(ALL, 'f16')
  for (let pattern = 0; pattern < 65536; pattern++) {
    const [exponent, fraction] = [(pattern >> 10) & 31, pattern & 1023]
    const size =
      exponent === 31
        ? fraction === 0
          ? Infinity
          : Number.NaN
        : exponent === 0
          ? fraction * 2 ** -24
          : (1 + fraction / 1024) * 2 ** (exponent - 15)
    assert.ok(Object.is(wide[pattern], pattern >= 32768 ? -size : size), `pattern 0x${pattern.toString(16)}`)
  }
})

test('widening and narrowing again gives every pattern back', () => {
  for (const dtype of ['bf16', 'f16'] as const) {
    const wide = widen(ALL, dtype)
    const again = cast({ x: wide }, { dtype }).y.data
    for (let pattern = 0; pattern < 65536; pattern++) {
      if (!Number.isNaN(wide[pattern])) assert.equal(again[pattern], pattern, `${dtype} 0x${pattern.toString(16)}`)
    }
  }
})
