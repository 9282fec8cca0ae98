import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fill } from '../lib/index.ts'

test('fill sets every element to the value rounded to f32', () => {
  const x = new Float32Array([1, Number.NaN, 3])
  fill({ x }, { value: 0.1 })
  assert.deepEqual(x, new Float32Array([0.1, 0.1, 0.1]))
})

test('the value is 0 unless said', () => {
  const x = new Float32Array([1, 2])
  fill({ x })
  assert.deepEqual([...x], [0, 0])
})

test('a view is filled, and nothing around it', () => {
  const all = new Float32Array([1, 2, 3, 4, 5])
  fill({ x: all.subarray(1, 3) }, { value: -1 })
  assert.deepEqual([...all], [1, -1, -1, 4, 5])
})
