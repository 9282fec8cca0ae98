import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gatherRows, gatherRowsBackward } from '../lib/index.ts'
import { f32, normals, seeded } from './reference/model/common.ts'

test('gatherRows picks rows in the order asked for', () => {
  const x = f32([1, 2, 3, 4, 5, 6], [3, 2])
  const { y } = gatherRows({ x, rows: new Int32Array([2, 2, 0]) })
  assert.deepEqual(y.shape, [3, 2])
  assert.deepEqual([...y.data], [5, 6, 5, 6, 1, 2])
})

test('a permutation and its inverse give the rows back', () => {
  const x = normals(seeded(1), [5, 19])
  const there = gatherRows({ x, rows: new Int32Array([3, 0, 4, 1, 2]) }).y
  const back = gatherRows({ x: there, rows: new Int32Array([1, 3, 4, 0, 2]) }).y
  assert.deepEqual(back.data, x.data)
})

test('gatherRowsBackward adds up where a row was picked more than once', () => {
  const gradY = f32([1, 2, 10, 20, 100, 200], [3, 2])
  const { gradX } = gatherRowsBackward({ gradY, rows: new Int32Array([2, 2, 0]) }, { count: 4 })
  assert.deepEqual(gradX.shape, [4, 2])
  assert.deepEqual([...gradX.data], [100, 200, 0, 0, 1 + 10, 2 + 20, 0, 0])
})

test('the gradient of a permutation is the permutation back', () => {
  const gradY = normals(seeded(2), [4, 7])
  const rows = new Int32Array([2, 0, 3, 1])
  const { gradX } = gatherRowsBackward({ gradY, rows }, { count: 4 })
  assert.deepEqual(gatherRows({ x: gradX, rows }).y.data, gradY.data)
})

test('a row number outside x is refused and named', () => {
  const x = f32([1, 2], [2, 1])
  assert.throws(() => gatherRows({ x, rows: new Int32Array([0, 2]) }), {
    code: 'ERR_ID_RANGE',
    arg: 'rows',
    index: 1,
    value: 2,
  })
  assert.throws(() => gatherRowsBackward({ gradY: f32([1], [1, 1]), rows: new Int32Array([-1]) }, { count: 2 }), {
    code: 'ERR_ID_RANGE',
    arg: 'rows',
    index: 0,
  })
})
