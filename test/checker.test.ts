import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mismatch } from './allclose.ts'
import { guarded, guardsHold } from './encode.ts'

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

test('NaN matches only NaN, and infinity only itself', () => {
  assert.equal(mismatch([Number.NaN], [Number.NaN], 'f32', bound), undefined)
  assert.ok(mismatch([Number.NaN], [0], 'f32', { ...bound, extra: [1e30] }) !== undefined)
  assert.ok(mismatch([0], [Number.NaN], 'f32', { ...bound, extra: [1e30] }) !== undefined)
  assert.ok(mismatch([Number.MAX_VALUE], [Number.POSITIVE_INFINITY], 'f32', bound) !== undefined)
  assert.ok(mismatch([Number.NEGATIVE_INFINITY], [Number.POSITIVE_INFINITY], 'f32', bound) !== undefined)
})

test('integers must be equal, and lengths too', () => {
  assert.ok(mismatch([3], [4], 'i32', { ulp: 100, reason: 'none' }) !== undefined)
  assert.ok(mismatch([1], [1, 1], 'f32', bound) !== undefined)
})

test('a byte that changed next to an output is seen', () => {
  const array = guarded('f32', 3)
  array.fill(7)
  assert.ok(guardsHold(array))
  new Uint8Array(array.buffer)[array.byteOffset + array.byteLength] ^= 1
  assert.ok(!guardsHold(array))
})
