import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linear, linearBackward } from '../lib/index.ts'
import { assertClose, dot } from './reference/model/close.ts'
import { f32, normals, seeded } from './reference/model/common.ts'

test('linear multiplies rows by rows of the weight and adds the bias', () => {
  const x = f32([1, 2, 3, 4], [2, 2])
  const weight = f32([5, 6, 7, 8, 9, 10], [3, 2])
  const { y } = linear({ x, weight, bias: new Float32Array([0.5, -1, 0]) })
  // 1*5 + 2*6 + 0.5, 1*7 + 2*8 - 1, 1*9 + 2*10; 3*5 + 4*6 + 0.5, 3*7 + 4*8 - 1, 3*9 + 4*10
  assert.deepEqual(y.shape, [2, 3])
  assert.deepEqual([...y.data], [17.5, 22, 29, 39.5, 52, 67])
})

test('linear with the identity matrix returns x bit for bit', () => {
  const size = 33
  const x = normals(seeded(1), [7, size])
  const identity = f32(
    Array.from({ length: size * size }, (_, at) => (at % (size + 1) === 0 ? 1 : 0)),
    [size, size],
  )
  assert.deepEqual(linear({ x, weight: identity }).y.data, x.data)
})

test('a row of a batch has the bits of the row alone, in every tile', () => {
  const random = seeded(2)
  const [N, I, O] = [200, 70, 300]
  const x = normals(random, [N, I])
  const weight = normals(random, [O, I])
  const whole = linear({ x, weight }).y.data
  for (const n of [0, 1, 95, 191, 192, 199]) {
    const alone = linear({ x: f32(x.data.subarray(n * I, (n + 1) * I), [1, I]), weight })
    assert.deepEqual(alone.y.data, whole.slice(n * O, (n + 1) * O), `row ${n}`)
  }
  const some = linear({ x: f32(x.data.subarray(3 * I, 20 * I), [17, I]), weight })
  assert.deepEqual(some.y.data, whole.slice(3 * O, 20 * O), 'rows 3 to 19')
})

test('an output has the same bits whatever other outputs there are', () => {
  const random = seeded(3)
  const [I, O] = [129, 261]
  const x = normals(random, [5, I])
  const weight = normals(random, [O, I])
  const whole = linear({ x, weight }).y.data
  for (const o of [0, 15, 16, 255, 256, 260]) {
    const one = linear({ x, weight: f32(weight.data.subarray(o * I, (o + 1) * I), [1, I]) }).y.data
    assert.deepEqual(
      [...one],
      [0, 1, 2, 3, 4].map((n) => whole[n * O + o]),
      `output ${o}`,
    )
  }
})

test('terms are added in rising order, also where they fill more than one panel', () => {
  // In f32 2^24 + 1 is 2^24 (ties to even): once there, ones are lost; before it, they count.
  const large = 2 ** 24
  const weight = f32(new Float32Array(1030).fill(1), [1, 1030])
  const falling = f32(new Float32Array(1030).fill(1), [1, 1030])
  falling.data[0] = large
  assert.equal(linear({ x: falling, weight }).y.data[0], large)
  const rising = f32(new Float32Array(1030).fill(1), [1, 1030])
  rising.data[1029] = large
  // 1029 ones make 1029; 2^24 + 1029 lies between 2^24 + 1028 and 2^24 + 1030 and ties to the multiple of 4.
  assert.equal(linear({ x: rising, weight }).y.data[0], large + 1028)
})

test('linearBackward gives the worked gradients', () => {
  const gradY = f32([1, -1], [1, 2])
  const x = f32([2, 3, 4], [1, 3])
  const weight = f32([1, 2, 3, 4, 5, 6], [2, 3])
  const { gradX, gradWeight, gradBias } = linearBackward({ gradY, x, weight }, { wantBias: true })
  assert.deepEqual([...gradX!.data], [1 - 4, 2 - 5, 3 - 6])
  assert.deepEqual([...gradWeight!.data], [2, 3, 4, -2, -3, -4])
  assert.deepEqual([...gradBias!.data], [1, -1])
})

test('linearBackward leaves out what is not wanted', () => {
  const call = { gradY: f32([1], [1, 1]), x: f32([2], [1, 1]), weight: f32([3], [1, 1]) }
  assert.deepEqual(Object.keys(linearBackward(call)).sort(), ['gradWeight', 'gradX'])
  assert.deepEqual(Object.keys(linearBackward(call, { wantX: false, wantWeight: false, wantBias: true })), ['gradBias'])
})

test('both gradients restore the product: gradX . x = gradWeight . weight = gradY . y', () => {
  const random = seeded(4)
  const [x, weight, gradY] = [normals(random, [50, 37]), normals(random, [29, 37]), normals(random, [50, 29])]
  const { y } = linear({ x, weight })
  const { gradX, gradWeight } = linearBackward({ gradY, x, weight })
  const product = dot(gradY.data, y.data)
  assertClose([dot(gradX!.data, x.data), dot(gradWeight!.data, weight.data)], [product, product])
})

test('a row of gradX has the bits of the row alone', () => {
  const random = seeded(5)
  const [N, I, O] = [200, 33, 65]
  const [x, weight, gradY] = [normals(random, [N, I]), normals(random, [O, I]), normals(random, [N, O])]
  const whole = linearBackward({ gradY, x, weight }, { wantWeight: false }).gradX!.data
  for (const n of [0, 17, 191, 192, 199]) {
    const alone = linearBackward(
      {
        gradY: f32(gradY.data.subarray(n * O, (n + 1) * O), [1, O]),
        x: f32(x.data.subarray(n * I, (n + 1) * I), [1, I]),
        weight,
      },
      { wantWeight: false },
    )
    assert.deepEqual(alone.gradX!.data, whole.slice(n * I, (n + 1) * I), `row ${n}`)
  }
})

test('linearBackward adds to what out holds when asked', () => {
  const call = { gradY: f32([1, 2], [1, 2]), x: f32([3], [1, 1]), weight: f32([5, 7], [2, 1]) }
  const gradWeight = { data: new Float32Array([100, 200]), shape: [2, 1] }
  const gradX = { data: new Float32Array([1000]), shape: [1, 1] }
  linearBackward(call, { accumulate: ['gradWeight'] }, { out: { gradWeight, gradX } })
  assert.deepEqual([...gradWeight.data], [100 + 1 * 3, 200 + 2 * 3])
  assert.deepEqual([...gradX.data], [1 * 5 + 2 * 7])
})

test('without rows there is nothing to compute, and the gradients of weight and bias are 0', () => {
  const [x, weight] = [f32([], [0, 3]), f32([1, 2, 3, 4, 5, 6], [2, 3])]
  assert.deepEqual(linear({ x, weight }).y.shape, [0, 2])
  const { gradWeight, gradBias } = linearBackward({ gradY: f32([], [0, 2]), x, weight }, { wantBias: true })
  assert.deepEqual([...gradWeight!.data], [0, 0, 0, 0, 0, 0])
  assert.deepEqual([...gradBias!.data], [0, 0])
})
