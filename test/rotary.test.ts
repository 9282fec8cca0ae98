import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rotary } from '../lib/index.ts'
import { assertClose, dot } from './reference/model/close.ts'
import { f32, normals, seeded } from './reference/model/common.ts'

const at = (...positions: number[]) => new Int32Array(positions)

test('a single pair turns by one radian per position', () => {
  const { y } = rotary({ x: f32([1, 0, 0, 1], [2, 2]), positions: at(1, 1) }, { heads: 1 })
  // [cos 1, sin 1] and [-sin 1, cos 1]
  assertClose(y.data, [0.5403023, 0.841471, -0.841471, 0.5403023])
})

test('element i pairs with element i + headSize/2, and later pairs turn more slowly', () => {
  const { y } = rotary({ x: f32([1, 2, 3, 4], [1, 4]), positions: at(2) }, { heads: 1, base: 100 })
  // Pair (1, 3) by 2 * 100^0 = 2 radians: cos 2 = -0.4161468, sin 2 = 0.9092974.
  // Pair (2, 4) by 2 * 100^(-2/4) = 0.2 radians: cos 0.2 = 0.9800666, sin 0.2 = 0.1986693.
  assertClose(y.data, [
    1 * -0.4161468 - 3 * 0.9092974,
    2 * 0.9800666 - 4 * 0.1986693,
    1 * 0.9092974 + 3 * -0.4161468,
    2 * 0.1986693 + 4 * 0.9800666,
  ])
})

test('every head turns alike', () => {
  const head = [0.5, -1.5, 2.5, 3.5]
  const { y } = rotary({ x: f32([...head, ...head], [1, 8]), positions: at(7) }, { heads: 2 })
  assert.deepEqual(y.data.slice(0, 4), y.data.slice(4))
})

test('position 0 changes no bit', () => {
  const x = normals(seeded(1), [3, 24])
  assert.deepEqual(rotary({ x, positions: at(0, 0, 0) }, { heads: 2 }).y.data, x.data)
})

test('a rotation keeps the length of a head', () => {
  const x = normals(seeded(2), [4, 32])
  const { y } = rotary({ x, positions: at(1, 10, 1000, 123456) }, { heads: 1 })
  for (let n = 0; n < 4; n++) {
    const [before, after] = [x.data, y.data].map((data) => data.subarray(n * 32, (n + 1) * 32))
    assertClose([dot(after, after)], [dot(before, before)])
  }
})

test('the product of a query and a key depends on the distance of their positions alone', () => {
  const x = normals(seeded(3), [2, 16])
  const score = (query: number, key: number): number => {
    const { y } = rotary({ x, positions: at(query, key) }, { heads: 1 })
    return dot(y.data.subarray(0, 16), y.data.subarray(16))
  }
  assertClose([score(105, 100), score(100005, 100000)], [score(5, 0), score(5, 0)], 4e-6)
})

test('a negative position turns back, in place', () => {
  const x = normals(seeded(4), [2, 20])
  const { y } = rotary({ x, positions: at(17, 300) }, { heads: 2 })
  const out = { y: { data: y.data, shape: y.shape } }
  rotary({ x: out.y, positions: at(-17, -300) }, { heads: 2 }, { out })
  assertClose(out.y.data, x.data)
})

test('rows that do not divide into heads of even size are refused', () => {
  const x = f32([1, 2, 3, 4, 5, 6], [1, 6])
  assert.throws(() => rotary({ x, positions: at(1) }, { heads: 2 }), { code: 'ERR_OPTION', arg: 'heads' })
  assert.throws(() => rotary({ x, positions: at(1) }, { heads: 4 }), { code: 'ERR_OPTION', arg: 'heads' })
})
