import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copy } from '../lib/index.ts'

test('copy keeps every bit, those of NaN included', () => {
  // A quiet NaN with a payload, -0, the smallest subnormal, infinity.
  const bits = new Uint32Array([0x7fc12345, 0x80000000, 0x00000001, 0x7f800000])
  const { y } = copy({ x: new Float32Array(bits.buffer) })
  assert.deepEqual(new Uint32Array(y.data.slice().buffer), bits)
})

test('the copy is memory of its own, of the same shape', () => {
  const x = { data: new Float32Array([1, 2, 3, 4, 5, 6]), shape: [1, 3, 2] }
  const { y } = copy({ x })
  x.data.fill(0)
  assert.deepEqual(y.shape, [1, 3, 2])
  assert.deepEqual([...y.data], [1, 2, 3, 4, 5, 6])
})
