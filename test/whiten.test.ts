import assert from 'node:assert/strict'
import { test } from 'node:test'
import { whiten } from '../lib/index.ts'
import { allNear, f32, mask, normals, rows, sameBits, sum, u8 } from './worked.ts'

test('1, 2, 3 become -1, 0, 1', () => {
  // mean 2, variance (1 + 0 + 1) / (3 - 1) = 1
  sameBits(whiten({ x: f32(1, 2, 3) }, { epsilon: 0 }).y.data, [-1, 0, 1])
  // variance / 3 instead: 2/3
  const population = whiten({ x: f32(1, 2, 3) }, { unbiased: false, epsilon: 0 }).y.data
  allNear(population, [-Math.sqrt(1.5), 0, Math.sqrt(1.5)])
})

test('epsilon is added to the variance', () => {
  // variance 1 + 3 = 4: halves
  sameBits(whiten({ x: f32(1, 2, 3) }, { epsilon: 3 }).y.data, [-0.5, 0, 0.5])
})

test('without shiftMean the values keep their mean', () => {
  // 2 + (-1, 0, 1) / 2
  sameBits(whiten({ x: f32(1, 2, 3) }, { epsilon: 3, shiftMean: false }).y.data, [1.5, 2, 2.5])
})

test('only values that count are looked at, and the others become 0', () => {
  const x = rows([1, Number.NaN, 2], [3, 999, Number.POSITIVE_INFINITY])
  sameBits(whiten({ x, valid: mask([1, 0, 1], [1, 0, 0]) }, { epsilon: 0 }).y.data, [-1, 0, 0, 1, 0, 0])
})

test('fewer than two values give 0', () => {
  sameBits(whiten({ x: f32() }).y.data, [])
  sameBits(whiten({ x: f32(5) }).y.data, [0])
  sameBits(whiten({ x: f32(5, 6), valid: u8(0, 1) }, { shiftMean: false }).y.data, [0, 0])
})

test('values that do not vary become 0', () => {
  sameBits(whiten({ x: new Float32Array(1000).fill(2) }).y.data, new Float32Array(1000))
})

test('the result has mean 0 and variance 1', () => {
  const count = 10_000
  const { y } = whiten({ x: normals(1, count, 7).map((v) => v + 100) }, { epsilon: 0 })
  const mean = sum(y.data) / count
  const variance = sum(Array.from(y.data, (v) => (v - mean) ** 2)) / (count - 1)
  assert.ok(Math.abs(mean) < 1e-8, `mean ${mean}`)
  assert.ok(Math.abs(variance - 1) < 1e-7, `variance ${variance}`)
})

test('a power of two as unit changes no bit', () => {
  const x = normals(2, 1234)
  const plain = whiten({ x }, { epsilon: 0 }).y.data
  sameBits(whiten({ x: x.map((v) => 8 * v) }, { epsilon: 0 }).y.data, plain)
  sameBits(
    whiten({ x: x.map((v) => -v) }, { epsilon: 0 }).y.data,
    plain.map((v) => -v),
  )
})

test('a spread of 1 around 1e4 keeps its digits', () => {
  // Deviations of -1, 0, 1 around a mean of 10000: sums of squares of the values themselves would lose them.
  sameBits(whiten({ x: f32(9999, 10000, 10001) }, { epsilon: 0 }).y.data, [-1, 0, 1])
})

test('x may be overwritten', () => {
  const x = f32(1, 2, 3)
  whiten({ x }, { epsilon: 0 }, { out: { y: x } })
  sameBits(x, [-1, 0, 1])
})
