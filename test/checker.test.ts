/** The comparisons that the other suites trust. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mismatch } from './allclose.ts'
import { conforms } from './conformance.ts'
import { decode, encode, guarded, guardsHold } from './encode.ts'
import { references } from './reference/index.ts'
import { ulp } from './reference/numbers.ts'
import type { Inputs, Options, Values } from './reference/types.ts'
import { assertSameBits, opNames, rows, samplesOf, withDefaults } from './run_op.ts'

const bound = { ulp: 2, reason: 'a test' }
const unit = 2 ** -23 // of f32 in [1, 2)

test('two units pass where two are allowed, three fail with index and both values', () => {
  assert.equal(mismatch([1 + 2 * unit], [1], 'f32', bound), undefined)
  const said = mismatch([0, 1 + 3 * unit], [0, 1], 'f32', bound)
  assert.match(said!, /^\[1\] is 1\.0000003\d*, expected 1: off by 3\.00 ULP, allowed 2\.00 \(a test\)/)
})

test('a nudged output fails in either direction and in every element type', () => {
  for (const [dtype, step] of [
    ['f32', 2 ** -23],
    ['bf16', 2 ** -7],
    ['f16', 2 ** -10],
  ] as const) {
    assert.ok(mismatch([1 + 3 * step], [1], dtype, bound) !== undefined)
    assert.ok(mismatch([1.5 - 3 * step], [1.5], dtype, bound) !== undefined)
  }
})

test('a bound may be in units of the terms that were added up, plus what the inputs force', () => {
  assert.equal(mismatch([2 * unit], [0], 'f32', { ...bound, magnitude: [1] }), undefined)
  assert.ok(mismatch([3 * unit], [0], 'f32', { ...bound, magnitude: [1] }) !== undefined)
  assert.equal(mismatch([3 * unit], [0], 'f32', { ...bound, magnitude: [1], extra: [unit] }), undefined)
})

test('NaN matches only NaN, and infinity only itself', () => {
  assert.equal(mismatch([Number.NaN], [Number.NaN], 'f32', bound), undefined)
  assert.equal(mismatch([-0], [0], 'f32', bound), undefined)
  for (const [got, expected] of [
    [Number.NaN, 0],
    [0, Number.NaN],
    [Number.POSITIVE_INFINITY, 3e38],
    [3e38, Number.POSITIVE_INFINITY],
    [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  ]) {
    assert.ok(mismatch([got], [expected], 'f32', { ...bound, extra: [1e300] }) !== undefined, `${got}, ${expected}`)
  }
})

test('a bound that allows anything is a mismatch', () => {
  for (const limitless of [Number.POSITIVE_INFINITY, Number.NaN]) {
    assert.ok(mismatch([1], [2], 'f32', { ...bound, extra: [limitless] }) !== undefined)
    assert.ok(mismatch([1], [2], 'f32', { ...bound, magnitude: [limitless] }) !== undefined)
  }
})

test('integers must be equal, and lengths too', () => {
  assert.ok(mismatch([3], [4], 'i32', { ulp: 100, reason: 'none', extra: [100] }) !== undefined)
  assert.ok(mismatch([1], [1, 1], 'f32', bound) !== undefined)
})

test('a byte that changed next to an array is seen', () => {
  for (const at of [-1, 12]) {
    const array = guarded('f32', 3)
    array.fill(7)
    assert.ok(guardsHold(array))
    new Uint8Array(array.buffer)[array.byteOffset + at] ^= 1
    assert.ok(!guardsHold(array))
  }
})

test('one flipped bit, and the sign of a zero, are other bits', () => {
  assertSameBits({ y: Float32Array.of(1, Number.NaN) }, { y: Float32Array.of(1, Number.NaN) }, 'here')
  assert.throws(
    () => assertSameBits({ y: Float32Array.of(0) }, { y: Float32Array.of(-0) }, 'here'),
    /y\[0\] is 0 and 0/,
  )
  assert.throws(() => assertSameBits({ y: Float32Array.of(1) }, { y: Float32Array.of(1 + unit) }, 'here'), /other bits/)
})

test('16-bit numbers go to bits and back', () => {
  for (const dtype of ['bf16', 'f16'] as const) {
    const patterns = Array.from({ length: 65536 }, (_, bits) => bits)
    const values = decode(patterns, dtype)
    const back = encode({ data: values, shape: [65536], dtype }).data
    for (const bits of patterns) {
      assert.ok(back[bits] === bits || Number.isNaN(values[bits]), `${dtype} 0x${bits.toString(16)}`)
    }
  }
  assert.deepEqual(decode([0x3c00, 0xc000, 0x7bff, 0x0001], 'f16'), Float64Array.of(1, -2, 65504, 2 ** -24))
  assert.deepEqual(decode([0x3f80, 0xc000, 0x0001], 'bf16'), Float64Array.of(1, -2, 2 ** -133))
})

/** The reference's answer with one finite element of one output moved by more than twice what it may be off. */
const nudged = (name: string, output: string, inputs: Inputs, options: Options): Record<string, Values> => {
  const expected = compute.get(name)!(inputs, options)
  const { data, dtype = 'f32' } = expected[output]
  const { cpu, ...own } = references[name].tolerances[output]
  const { ulp: ulps, magnitude, extra } = { ...own, ...cpu }
  const i = Array.from(data).findIndex(Number.isFinite)
  const integer = dtype === 'i32' || dtype === 'u8'
  const unit = integer ? 1 : ulp(Math.max(Math.abs(data[i]), magnitude?.(inputs, options, expected)[i] ?? 0), dtype)
  const moved = Float64Array.from(data)
  moved[i] += 2 * (ulps * unit + (extra?.(inputs, options, expected)[i] ?? 0)) + 2 * unit
  return { ...expected, [output]: { ...expected[output], data: moved } }
}

const compute = new Map(opNames.map((name) => [name, references[name].compute]))

test('conformance fails for every output of every op when its answer is not near enough', async () => {
  for (const name of opNames) {
    for (const output of Object.keys(references[name].tolerances)) {
      const sample = samplesOf(name).find(({ inputs, options }) => {
        const values = compute.get(name)!(inputs, withDefaults(rows[name], options))[output]
        return values !== undefined && Array.from(values.data).some(Number.isFinite)
      })
      assert.ok(sample !== undefined, `${name} has no sample with a finite ${output}`)
      references[name].compute = (inputs, options) => nudged(name, output, inputs, options)
      try {
        await assert.rejects(conforms(name, sample), new RegExp(`${output}\\[\\d+\\] is`), `${name}: ${output}`)
      } finally {
        references[name].compute = compute.get(name)!
      }
    }
  }
})
