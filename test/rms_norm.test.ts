import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rmsNorm, rmsNormBackward } from '../lib/index.ts'
import { assertClose, dot } from './reference/model/close.ts'
import { f32, normals, seeded } from './reference/model/common.ts'

// (3^2 + 4^2) / 2 = 12.5; with epsilon 3.5 the root is exactly 4.
const x = f32([3, 4], [1, 2])
const weight = new Float32Array([2, -1])

test('rmsNorm divides by the root of the mean square and multiplies by the gain', () => {
  const { y, inverseRms } = rmsNorm({ x, weight }, { epsilon: 3.5 })
  assert.deepEqual([...inverseRms.data], [1 / 4])
  assert.deepEqual([...y.data], [(3 / 4) * 2, (4 / 4) * -1])
})

test('rmsNormBackward gives the worked gradients', () => {
  const inverseRms = new Float32Array([1 / 4])
  const { gradX, gradWeight } = rmsNormBackward({ gradY: f32([1, 1], [1, 2]), x, weight, inverseRms })
  // gradY w = [2, -1]; mean(gradY w x) = (2*3 - 1*4) / 2 = 1; s = 1/4.
  assertClose(gradX.data, [(2 - 3 / 16) / 4, (-1 - 4 / 16) / 4])
  assertClose(gradWeight.data, [3 / 4, 4 / 4])
})

test('rows times a power of two normalise to the same bits where epsilon does not reach', () => {
  const rows = normals(seeded(1), [3, 65])
  const gain = normals(seeded(2), [65]).data
  const eightfold = f32(
    rows.data.map((value) => 8 * value),
    rows.shape,
  )
  const plain = rmsNorm({ x: rows, weight: gain }, { epsilon: 1e-30 })
  const scaled = rmsNorm({ x: eightfold, weight: gain }, { epsilon: 1e-30 })
  assert.deepEqual(scaled.y.data, plain.y.data)
  assertClose(
    scaled.inverseRms.data,
    plain.inverseRms.data.map((s) => s / 8),
  )
})

test('a normalised row has mean square 1', () => {
  const H = 129
  const { y } = rmsNorm({ x: normals(seeded(3), [1, H], 50), weight: new Float32Array(H).fill(1) })
  assertClose([dot(y.data, y.data) / H], [1])
})

test('a row of zeros stays zero', () => {
  const { y, inverseRms } = rmsNorm(
    { x: f32([0, 0, 0], [1, 3]), weight: new Float32Array([1, 2, 3]) },
    { epsilon: 0.25 },
  )
  assert.deepEqual([...y.data], [0, 0, 0])
  assert.deepEqual([...inverseRms.data], [2])
})

test('a row of a batch has the bits of the row alone', () => {
  const H = 77
  const rows = normals(seeded(4), [70, H])
  const gain = normals(seeded(5), [H]).data
  const whole = rmsNorm({ x: rows, weight: gain }).y.data
  for (const n of [0, 31, 69]) {
    const alone = rmsNorm({ x: f32(rows.data.subarray(n * H, (n + 1) * H), [1, H]), weight: gain })
    assert.deepEqual(alone.y.data, whole.slice(n * H, (n + 1) * H), `row ${n}`)
  }
})

test('gradX is orthogonal to x, because the length of x has no effect', () => {
  const random = seeded(6)
  const [N, H] = [3, 33]
  const rows = normals(random, [N, H])
  const gain = normals(random, [H]).data
  const { inverseRms } = rmsNorm({ x: rows, weight: gain }, { epsilon: 1e-12 })
  const { gradX } = rmsNormBackward({ gradY: normals(random, [N, H]), x: rows, weight: gain, inverseRms })
  for (let n = 0; n < N; n++) {
    const row = [n * H, (n + 1) * H] as const
    assertClose([dot(gradX.data.subarray(...row), rows.data.subarray(...row))], [0], 1e-5)
  }
})

test('the gradient of the gain adds up over rows of several blocks', () => {
  // s = 1 and x = 1 everywhere: each column of gradWeight counts the rows.
  const [N, H] = [200, 3]
  const ones = f32(new Float32Array(N * H).fill(1), [N, H])
  const { gradWeight } = rmsNormBackward({
    gradY: ones,
    x: ones,
    weight: new Float32Array(H),
    inverseRms: new Float32Array(N).fill(1),
  })
  assert.deepEqual([...gradWeight.data], [200, 200, 200])
})

test('without rows the gradient of the gain is 0', () => {
  const none = f32([], [0, 2])
  const call = { gradY: none, x: none, weight: new Float32Array(2), inverseRms: new Float32Array(0) }
  assert.deepEqual([...rmsNormBackward(call).gradWeight.data], [0, 0])
})
