import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBf16, toBf16 } from '../lib/model/bf16.ts'

const ALL = Uint16Array.from({ length: 65536 }, (_, i) => i)
const isNaNPattern = (bits: number) => (bits & 0x7fff) > 0x7f80

test('every bf16 pattern survives the way to float32 and back, NaNs with their quiet bit set', () => {
  const back = toBf16(fromBf16(ALL))
  for (const bits of ALL) assert.equal(back[bits], isNaNPattern(bits) ? bits | 0x40 : bits)
})

test('rounding takes the nearest bf16, and of two the even one', () => {
  // Between 1 (0x3f80) and its successor 1 + 2^-7 (0x3f81) lies the tie 1 + 2^-8.
  const cases: [value: number, bits: number][] = [
    [1 + 2 ** -8, 0x3f80],
    [1 + 2 ** -8 + 2 ** -23, 0x3f81],
    [1 + 2 ** -8 - 2 ** -23, 0x3f80],
    [1 + 3 * 2 ** -8, 0x3f82],
    [-(1 + 3 * 2 ** -8), 0xbf82],
    [0, 0x0000],
    [-0, 0x8000],
    [2 ** -149, 0x0000],
    [2 ** -133, 0x0001],
    [1.5 * 2 ** -133, 0x0002],
    [3.4028234663852886e38, 0x7f80],
    [3.3895313892515355e38, 0x7f7f],
    [Infinity, 0x7f80],
    [-Infinity, 0xff80],
  ]
  const rounded = toBf16(Float32Array.from(cases, ([value]) => value))
  cases.forEach(([value, bits], i) => {
    assert.equal(rounded[i], bits, `${value}`)
  })
})

test('no bf16 lies nearer than the one chosen, over all exponents', () => {
  const words = Uint32Array.from({ length: 100_000 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 0)
  const values = new Float32Array(words.buffer)
  const chosen = toBf16(values)
  const [below, at, above] = [-1, 0, 1].map((step) => fromBf16(chosen.map((bits) => bits + step)))
  values.forEach((value, i) => {
    if (Number.isNaN(value)) assert.ok(isNaNPattern(chosen[i]))
    else if (Number.isFinite(at[i])) {
      const error = Math.abs(at[i] - value)
      for (const other of [below[i], above[i]])
        if (!(Math.abs(other - value) >= error)) assert.ok(!Number.isFinite(other))
    }
  })
})

test('a NaN whose payload lies in the lower bits does not become infinite', () => {
  const nan = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer)
  assert.deepEqual([...toBf16(nan)], [0x7fc0, 0xffc0])
})

test('a view in the middle of a buffer is converted alone', () => {
  const buffer = Float32Array.of(9, 1, 2, 9)
  assert.deepEqual([...fromBf16(toBf16(buffer.subarray(1, 3)))], [1, 2])
})
