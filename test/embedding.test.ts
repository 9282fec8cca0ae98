import assert from 'node:assert/strict'
import { test } from 'node:test'
import { embedding, embeddingBackward } from '../lib/index.ts'
import { assertClose, dot } from './reference/model/close.ts'
import { f32, i32, integers, normals, seeded } from './reference/model/common.ts'

const table = f32([1, 2, 10, 20, 100, 200], [3, 2])

test('embedding gives the row of each id, as often as it is asked for', () => {
  const { y } = embedding({ table, ids: new Int32Array([2, 0, 2]) })
  assert.deepEqual(y.shape, [3, 2])
  assert.deepEqual([...y.data], [100, 200, 1, 2, 100, 200])
})

test('embedding takes [B, T] ids and adds the width', () => {
  const { y } = embedding({ table, ids: i32([1, 0, 0, 1], [2, 2]) })
  assert.deepEqual(y.shape, [2, 2, 2])
  assert.deepEqual([...y.data], [10, 20, 1, 2, 1, 2, 10, 20])
})

test('embedding refuses an id outside the table, names it, and writes NaN for that row only', () => {
  const y = new Float32Array(6)
  assert.throws(
    () => embedding({ table, ids: new Int32Array([1, 3, 0]) }, {}, { out: { y: { data: y, shape: [3, 2] } } }),
    {
      code: 'ERR_ID_RANGE',
      arg: 'ids',
      index: 1,
      value: 3,
    },
  )
  assert.deepEqual([...y], [10, 20, Number.NaN, Number.NaN, 1, 2])
  assert.throws(() => embedding({ table, ids: new Int32Array([0, -1]) }), { code: 'ERR_ID_RANGE', index: 1, value: -1 })
})

test('embeddingBackward adds the gradients of one id, and leaves other rows exactly 0', () => {
  // Row 2 is used at positions 0 and 2: [1, 2] + [5, 6]. Row 1 is never used.
  const gradY = f32([1, 2, 3, 4, 5, 6], [3, 2])
  const { gradTable } = embeddingBackward({ gradY, ids: new Int32Array([2, 0, 2]) }, { vocabularySize: 3 })
  assert.deepEqual(gradTable.shape, [3, 2])
  assert.deepEqual([...gradTable.data], [3, 4, 0, 0, 6, 8])
})

test('embeddingBackward adds duplicates in order of position', () => {
  // 2^60 + 1 is 2^60 in f32 and in f64: a 1 that comes before the large pair has cancelled is lost, one after it counts.
  const large = 2 ** 60
  const ids = new Int32Array([1, 1, 1])
  const sum = (terms: number[]): number =>
    embeddingBackward({ gradY: f32(terms, [3, 1]), ids }, { vocabularySize: 2 }).gradTable.data[1]
  assert.equal(sum([large, 1, -large]), 0)
  assert.equal(sum([1, large, -large]), 0)
  assert.equal(sum([large, -large, 1]), 1)
})

test('embeddingBackward adds to what out holds when asked', () => {
  const gradTable = new Float32Array([1, 10, 100])
  const out = { gradTable: { data: gradTable, shape: [3, 1] } }
  const options = { vocabularySize: 3, accumulate: true }
  embeddingBackward({ gradY: f32([5, 7], [2, 1]), ids: new Int32Array([2, 0]) }, options, { out })
  assert.deepEqual([...gradTable], [8, 10, 105])
})

test('the gradient is the transpose of the look-up: gradY . embedding(table) = gradTable . table', () => {
  const random = seeded(1)
  const inputs = { table: normals(random, [40, 9]), ids: integers(random, [100], 0, 39) }
  const gradY = normals(random, [100, 9])
  const { y } = embedding(inputs)
  const { gradTable } = embeddingBackward({ gradY, ids: inputs.ids }, { vocabularySize: 40 })
  assertClose([dot(gradTable.data, inputs.table.data)], [dot(gradY.data, y.data)])
})
