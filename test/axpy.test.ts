import assert from 'node:assert/strict'
import { test } from 'node:test'
import { axpy } from '../lib/index.ts'
import { normals, seeded } from './reference/model/common.ts'

test('axpy adds alpha times x to y, in place', () => {
  const y = new Float32Array([10, 20, 30])
  axpy({ x: new Float32Array([1, 2, 3]), y }, { alpha: -0.5 })
  assert.deepEqual([...y], [10 - 0.5, 20 - 1, 30 - 1.5])
})

test('alpha is 1 unless said', () => {
  const y = new Float32Array([1])
  axpy({ x: new Float32Array([2]), y })
  assert.deepEqual([...y], [3])
})

test('a prepared call goes there and back when alpha changes its sign', () => {
  const x = new Float32Array([1, -2, 3])
  const y = new Float32Array([8, 16, 32])
  const call = axpy.prepare({ x, y }, { alpha: 0.25 })
  call.run()
  assert.deepEqual([...y], [8.25, 15.5, 32.75])
  call.set({ alpha: -0.25 })
  call.run()
  assert.deepEqual([...y], [8, 16, 32])
  call.dispose()
})

test('alpha 0 leaves every bit of y', () => {
  const y = normals(seeded(1), [5, 9])
  const before = y.data.slice()
  axpy({ x: normals(seeded(2), [5, 9]), y }, { alpha: 0 })
  assert.deepEqual(y.data, before)
})
