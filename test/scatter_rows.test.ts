import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gatherRows, scatterRows } from '../lib/index.ts'
import { f32, i32, normals, seeded } from './reference/model/common.ts'

test('scatterRows writes the named rows and leaves the others', () => {
  const into = f32([0, 1, 2, 3, 4, 5], [3, 2])
  scatterRows({ x: f32([10, 20, 30, 40], [2, 2]), rows: new Int32Array([2, 0]), into })
  assert.deepEqual([...into.data], [30, 40, 2, 3, 10, 20])
})

test('of equal row numbers the last wins', () => {
  const into = f32([0, 0], [2, 1])
  scatterRows({ x: f32([1, 2, 3], [3, 1]), rows: new Int32Array([1, 1, 1]), into })
  assert.deepEqual([...into.data], [0, 3])
})

test('a cache [B, S, H] takes one row of each sequence', () => {
  // Row numbers run over the whole cache: sequence 0 at place 1, sequence 1 at place 0 (row 3).
  const into = f32(new Float32Array(6), [2, 3, 1])
  scatterRows({ x: f32([7, 8], [2, 1, 1]), rows: i32([1, 3], [2, 1]), into })
  assert.deepEqual([...into.data], [0, 7, 0, 8, 0, 0])
})

test('rows that were written can be gathered again', () => {
  const x = normals(seeded(1), [4, 9])
  const rows = new Int32Array([5, 0, 3, 2])
  const into = f32(new Float32Array(54), [6, 9])
  scatterRows({ x, rows, into })
  assert.deepEqual(gatherRows({ x: into, rows }).y.data, x.data)
})

test('a row number outside is refused and writes nothing beside', () => {
  const into = f32([1, 2, 3], [3, 1])
  assert.throws(() => scatterRows({ x: f32([9, 8], [2, 1]), rows: new Int32Array([3, 1]), into }), {
    code: 'ERR_ID_RANGE',
    arg: 'rows',
    index: 0,
    value: 3,
  })
  assert.deepEqual([...into.data], [1, 8, 3])
})
