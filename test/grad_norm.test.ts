import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gradNorm } from '../lib/index.ts'
import { f32, near, normals } from './worked.ts'

const norm = (grad: Float32Array<ArrayBuffer>): number => gradNorm({ grad }).norm.item()

test('3 and 4 have norm 5', () => {
  assert.equal(norm(f32(3, 4)), 5)
  assert.equal(norm(f32(2, -3, 6)), 7)
  assert.equal(norm(f32()), 0)
})

test('squares neither vanish nor overflow on the way', () => {
  // 1e-30 squared is 0 in f32, 1e30 squared infinite: sqrt(4) * 1e-30 and sqrt(4) * 1e30.
  near(norm(new Float32Array(4).fill(1e-30)), 2 * Math.fround(1e-30))
  near(norm(new Float32Array(4).fill(1e30)), 2 * Math.fround(1e30))
})

test('a gradient that is not finite makes a norm that is not', () => {
  assert.equal(norm(f32(1, Number.NEGATIVE_INFINITY)), Number.POSITIVE_INFINITY)
  assert.ok(Number.isNaN(norm(f32(1, Number.NaN, 2))))
})

test('equal gradients: sqrt(P) times one of them', () => {
  // 2^20 values of 0.5: sqrt(2^20) / 2 = 512
  assert.equal(norm(new Float32Array(2 ** 20).fill(0.5)), 512)
})

test('a power of two in every gradient is one in the norm', () => {
  const grad = normals(1, 200_003, 1e-3)
  const unit = norm(grad)
  assert.equal(norm(grad.map((g) => 16 * g)), 16 * unit)
  assert.equal(norm(grad.map((g) => -g)), unit)
  assert.equal(norm(grad), unit)
})

test('the squares of parts add up to the square of the whole', () => {
  const grad = normals(2, 100_000)
  const [first, second] = [norm(grad.slice(0, 70_001)), norm(grad.slice(70_001))]
  near(norm(grad), Math.hypot(first, second), 2)
})
