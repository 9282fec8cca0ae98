import assert from 'node:assert/strict'
import { test } from 'node:test'
import { poolRows, poolRowsBackward } from '../lib/index.ts'
import { assertClose } from './reference/model/close.ts'
import { f32, normals, seeded, u8 } from './reference/model/common.ts'

// Two sequences of three rows; the second row of the first does not count, nor does the last of the second.
const x = f32([1, 2, Number.NaN, Number.NaN, 5, 10, 3, 4, 5, 6, 7, 8], [2, 3, 2])
const valid = u8([1, 0, 1, 1, 255, 0], [2, 3])

test('the mean is over valid rows, whatever the others hold', () => {
  const { y } = poolRows({ x, valid })
  assert.deepEqual(y.shape, [2, 2])
  assert.deepEqual([...y.data], [(1 + 5) / 2, (2 + 10) / 2, (3 + 5) / 2, (4 + 6) / 2])
})

test("'last' is the last valid row", () => {
  assert.deepEqual([...poolRows({ x, valid }, { kind: 'last' }).y.data], [5, 10, 5, 6])
})

test('without valid every row counts', () => {
  assert.deepEqual([...poolRows({ x: f32([1, 2, 6], [1, 3, 1]) }).y.data], [3])
  assert.deepEqual([...poolRows({ x: f32([1, 2, 6], [1, 3, 1]) }, { kind: 'last' }).y.data], [6])
})

test('a sequence without a valid row gives 0', () => {
  const none = u8([0, 0, 1, 0], [2, 2])
  for (const kind of ['mean', 'last'] as const) {
    const { y } = poolRows({ x: f32([Number.NaN, 1, 2, 3], [2, 2, 1]), valid: none }, { kind })
    assert.deepEqual([...y.data], [0, 2])
  }
})

test('packed sequences have the bits of padded ones', () => {
  const rows = normals(seeded(1), [4, 5, 33])
  const flat = f32(rows.data, [20, 33])
  const offsets = new Int32Array([0, 5, 10, 15, 20])
  for (const kind of ['mean', 'last'] as const) {
    const padded = poolRows({ x: rows }, { kind }).y
    assert.deepEqual(poolRows({ x: flat, offsets }, { kind }).y.data, padded.data)
  }
})

test('poolRowsBackward spreads the gradient over valid rows, and is exactly 0 elsewhere', () => {
  const gradPooled = f32([6, 8, -2, 4], [2, 2])
  const mean = poolRowsBackward({ gradPooled, like: x, valid }).gradX
  assert.deepEqual([...mean.data], [3, 4, 0, 0, 3, 4, -1, 2, -1, 2, 0, 0])
  const last = poolRowsBackward({ gradPooled, like: x, valid }, { kind: 'last' }).gradX
  assert.deepEqual([...last.data], [0, 0, 0, 0, 6, 8, 0, 0, -2, 4, 0, 0])
})

test('the rows of a gradient add up to the pooled gradient', () => {
  const [T, H] = [7, 5]
  const gradPooled = normals(seeded(2), [1, H])
  const { gradX } = poolRowsBackward({ gradPooled, like: normals(seeded(3), [1, T, H]) })
  const sums = Array.from({ length: H }, (_, h) => {
    let sum = 0
    for (let t = 0; t < T; t++) sum += gradX.data[t * H + h]
    return sum
  })
  assertClose(sums, gradPooled.data)
})
