import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rotary, rotaryAttention, rotaryAttentionBackward } from '../lib/index.ts'
import { assertClose } from './reference/model/close.ts'
import { f32, i32, normals, offsetsOf, seeded } from './reference/model/common.ts'

const single = { heads: 1, keyValueHeads: 1 }

/** Two tokens of one head of size 2, all queries and keys [1, 0]: a key at distance d scores cos(d) / sqrt(2). */
const two = {
  query: f32([1, 0, 1, 0], [1, 2, 2]),
  key: f32([1, 0, 1, 0], [1, 2, 2]),
  value: f32([1, 0, 0, 1], [1, 2, 2]),
}
const [FAR, NEAR] = [Math.cos(1) / Math.SQRT2, 1 / Math.SQRT2] // 0.3820514, 0.7071068
const P0 = Math.exp(FAR) / (Math.exp(FAR) + Math.exp(NEAR)) // 0.4194442
const P1 = 1 - P0 // 0.5805558

test('the worked example: token 0 sees itself, token 1 weighs both by their distance', () => {
  const { y, logSum } = rotaryAttention(two, single)
  assert.deepEqual(y.shape, [1, 2, 2])
  assert.deepEqual(logSum.shape, [2, 1])
  assertClose(y.data, [1, 0, 0.4194442, 0.5805558])
  assertClose(logSum.data, [NEAR, Math.log(Math.exp(FAR) + Math.exp(NEAR))])
})

test('the gradients of the worked example', () => {
  const { y, logSum } = rotaryAttention(two, single)
  const call = { ...two, gradY: f32([0, 0, 1, 0], [1, 2, 2]), y, logSum }
  const { gradQuery, gradKey, gradValue } = rotaryAttentionBackward(call, single)
  // gradY . value = [1, 0], D = p0: gradScore = p0 (1 - p0), p1 (0 - p0) = g, -g.
  const g = (P0 * P1) / Math.SQRT2
  // Key 0 seen from query 1 is [cos 1, -sin 1], query 1 seen from key 0 is [cos 1, sin 1]; key 1 and query 1 are [1, 0].
  assertClose(gradQuery.data, [0, 0, g * (Math.cos(1) - 1), g * -Math.sin(1)])
  assertClose(gradKey.data, [g * Math.cos(1), g * Math.sin(1), -g, 0])
  assertClose(gradValue.data, [P0, 0, P1, 0])
})

/** Projections of B sequences of T tokens. */
function projections(seed: number, leading: readonly number[], heads: number, keyValueHeads: number, size: number) {
  const random = seeded(seed)
  return {
    query: normals(random, [...leading, heads * size]),
    key: normals(random, [...leading, keyValueHeads * size]),
    value: normals(random, [...leading, keyValueHeads * size]),
  }
}

test('one token alone returns its value bit for bit, and its query has no gradient', () => {
  const inputs = projections(1, [3, 1], 2, 2, 6)
  const options = { heads: 2, keyValueHeads: 2 }
  const { y, logSum } = rotaryAttention(inputs, options)
  assert.deepEqual(y.data, inputs.value.data)
  const gradY = normals(seeded(2), [3, 1, 12])
  const { gradQuery, gradKey, gradValue } = rotaryAttentionBackward({ ...inputs, gradY, y, logSum }, options)
  assertClose(gradValue.data, gradY.data)
  assertClose(gradQuery.data, new Float32Array(36), 1e-5)
  assertClose(gradKey.data, new Float32Array(36), 1e-5)
})

test('keys that are all equal to zero average the values seen so far', () => {
  const [T, size] = [5, 4]
  const { query, value } = projections(3, [1, T], 1, 1, size)
  const { y, logSum } = rotaryAttention({ query, key: f32(new Float32Array(T * size), [1, T, size]), value }, single)
  for (let t = 0; t < T; t++) {
    const mean = Array.from({ length: size }, (_, i) => {
      let sum = 0
      for (let j = 0; j <= t; j++) sum += value.data[j * size + i]
      return sum / (t + 1)
    })
    assertClose(y.data.subarray(t * size, (t + 1) * size), mean)
    assertClose([logSum.data[t]], [Math.log(t + 1)])
  }
})

test('a token has no effect on those before it', () => {
  const inputs = projections(4, [1, 70], 2, 1, 8)
  const options = { heads: 2, keyValueHeads: 1 }
  const before = rotaryAttention(inputs, options).y.data.slice(0, 50 * 16)
  for (const { data, shape } of Object.values(inputs)) data.fill(Number.NaN, 50 * shape[2])
  assert.deepEqual(rotaryAttention(inputs, options).y.data.slice(0, 50 * 16), before)
})

test('grouped queries equal queries whose heads each have a copy of the shared keys', () => {
  const [T, size] = [6, 8]
  const grouped = projections(5, [1, T], 4, 2, size)
  const repeated = (values: { data: Float32Array }) => {
    const copies: number[] = []
    for (let head = 0; head < T * 2; head++) {
      const shared = values.data.subarray(head * size, (head + 1) * size)
      copies.push(...shared, ...shared)
    }
    return f32(copies, [1, T, 4 * size])
  }
  const own = { query: grouped.query, key: repeated(grouped.key), value: repeated(grouped.value) }
  const shared = rotaryAttention(grouped, { heads: 4, keyValueHeads: 2 })
  assert.deepEqual(shared.y.data, rotaryAttention(own, { heads: 4, keyValueHeads: 4 }).y.data)
})

test('packed sequences have the bits of padded ones, forward and backward', () => {
  const [B, T, heads, size] = [3, 7, 2, 6]
  const options = { heads, keyValueHeads: 1 }
  const padded = { ...projections(6, [B, T], heads, 1, size), gradY: normals(seeded(7), [B, T, heads * size]) }
  const offsets = offsetsOf([T, T, T]).data
  const flat = <V extends { data: Float32Array; shape: readonly number[] }>({ data, shape }: V) =>
    f32(data, [B * T, shape[2]])
  const packed = { query: flat(padded.query), key: flat(padded.key), value: flat(padded.value), offsets }
  const { gradY, ...inputs } = padded
  const one = rotaryAttention(inputs, options)
  const other = rotaryAttention(packed, options)
  assert.deepEqual(other.y.data, one.y.data)
  assert.deepEqual(other.logSum.data, one.logSum.data)
  const gradients = rotaryAttentionBackward({ ...padded, y: one.y, logSum: one.logSum }, options)
  const packedGradients = rotaryAttentionBackward(
    { ...packed, gradY: flat(gradY), y: other.y, logSum: other.logSum },
    options,
  )
  assert.deepEqual(packedGradients.gradQuery.data, gradients.gradQuery.data)
  assert.deepEqual(packedGradients.gradKey.data, gradients.gradKey.data)
  assert.deepEqual(packedGradients.gradValue.data, gradients.gradValue.data)
})

test('a packed sequence begins at position 0 wherever it lies, so its bits are those of it alone', () => {
  const lengths = [5, 0, 90, 3]
  const N = 98
  const options = { heads: 2, keyValueHeads: 2 }
  const inputs = projections(8, [N], 2, 2, 4)
  const whole = rotaryAttention({ ...inputs, offsets: offsetsOf(lengths).data }, options)
  const alone = ({ data }: { data: Float32Array }) => f32(data.subarray(95 * 8), [1, 3, 8])
  const last = rotaryAttention(
    { query: alone(inputs.query), key: alone(inputs.key), value: alone(inputs.value) },
    options,
  )
  assert.deepEqual(last.y.data, whole.y.data.slice(95 * 8))
})

/** A cache [1, S, C] whose first rows are those of a sequence; the rest holds NaN. */
const cacheOf = (rows: ArrayLike<number>, S: number, C: number) => {
  const data = new Float32Array(S * C).fill(Number.NaN)
  data.set(rows)
  return { data, shape: [1, S, C] }
}

test('decoding token by token from a cache gives the bits of the whole call', () => {
  const [T, size, S] = [70, 10, 80]
  const options = { heads: 4, keyValueHeads: 2 }
  const { query, key, value } = projections(9, [1, T], 4, 2, size)
  const [Q, C] = [4 * size, 2 * size]
  const whole = rotaryAttention({ query, key, value }, options)
  const positions = i32(
    Array.from({ length: T }, (_, t) => t),
    [1, T],
  )
  const rotated = rotary({ x: key, positions }, { heads: 2 }).y.data
  for (let t = 0; t < T; t++) {
    const step = {
      query: f32(query.data.subarray(t * Q, (t + 1) * Q), [1, 1, Q]),
      value: cacheOf(value.data.subarray(0, (t + 1) * C), S, C),
      keyLengths: new Int32Array([t + 1]),
    }
    const plain = rotaryAttention({ ...step, key: cacheOf(key.data.subarray(0, (t + 1) * C), S, C) }, options)
    assert.deepEqual(plain.y.data, whole.y.data.slice(t * Q, (t + 1) * Q), `token ${t}`)
    const turned = rotaryAttention(
      { ...step, key: cacheOf(rotated.subarray(0, (t + 1) * C), S, C) },
      { ...options, keysRotated: true },
    )
    assert.deepEqual(turned.y.data, plain.y.data, `token ${t}, rotated keys`)
    assert.deepEqual(turned.logSum.data, whole.logSum.data.slice(t * 4, (t + 1) * 4), `token ${t}, logSum`)
  }
})

test('a key length shorter than the queries or longer than the cache is refused', () => {
  const query = f32([1, 0, 1, 0], [1, 2, 2])
  const cache = cacheOf([1, 0, 1, 0, 1, 0], 3, 2)
  for (const length of [1, 4]) {
    assert.throws(
      () => rotaryAttention({ query, key: cache, value: cache, keyLengths: new Int32Array([length]) }, single),
      { code: 'ERR_BAD_VALUE', arg: 'keyLengths', index: 0, value: length },
    )
  }
})

test('offsets that fall are refused', () => {
  const token = f32([1, 0, 1, 0], [2, 2])
  const offsets = new Int32Array([0, 3, 2])
  assert.throws(() => rotaryAttention({ query: token, key: token, value: token, offsets }, single), {
    code: 'ERR_OFFSETS',
    arg: 'offsets',
  })
})

test('every token spreads its gradient over values with weights that add up to 1', () => {
  const [T, size] = [40, 6]
  const inputs = projections(10, [1, T], 1, 1, size)
  const gradY = normals(seeded(11), [1, T, size])
  const { y, logSum } = rotaryAttention(inputs, single)
  const { gradValue } = rotaryAttentionBackward({ ...inputs, gradY, y, logSum }, single)
  const columns = (data: ArrayLike<number>) =>
    Array.from({ length: size }, (_, i) =>
      Array.from({ length: T }, (_, t) => data[t * size + i]).reduce((a, b) => a + b),
    )
  assertClose(columns(gradValue.data), columns(gradY.data), 1e-5)
})
