import assert from 'node:assert/strict'
import { test } from 'node:test'
import { add } from '../lib/index.ts'
import { normals, seeded } from './reference/model/common.ts'

test('add gives the correctly rounded sum of each pair', () => {
  // 2^24 + 1 ties to 2^24, 2^24 + 3 ties to 2^24 + 4.
  const large = 2 ** 24
  const { z } = add({ x: new Float32Array([1, large, large]), y: new Float32Array([2, 1, 3]) })
  assert.deepEqual([...z.data], [3, large, large + 4])
})

test('the order of the two does not matter', () => {
  const random = seeded(1)
  const [x, y] = [normals(random, [3, 7]), normals(random, [3, 7])]
  assert.deepEqual(add({ x, y }).z.data, add({ x: y, y: x }).z.data)
  assert.deepEqual(add({ x, y }).z.shape, [3, 7])
})

test('the sum may take the place of either', () => {
  const [x, y] = [new Float32Array([1, 2]), new Float32Array([10, 20])]
  add({ x, y }, {}, { out: { z: x } })
  assert.deepEqual([...x], [11, 22])
  add({ x, y }, {}, { out: { z: y } })
  assert.deepEqual([...y], [21, 42])
})

test('shapes never broadcast', () => {
  assert.throws(() => add({ x: new Float32Array(3), y: new Float32Array(1) }), { code: 'ERR_SHAPE', arg: 'y' })
})
