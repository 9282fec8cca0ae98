import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sequenceLogprobs } from '../lib/index.ts'
import { f32, i32, mask, normals, refusal, rows, sameBits } from './worked.ts'

test('a sequence is the sum, or the mean, of the tokens that count', () => {
  const logprob = rows([-1, -2, -4], [-8, -16, -32])
  const valid = mask([1, 0, 1], [1, 1, 1])
  const total = sequenceLogprobs({ logprob, valid })
  sameBits(total.logprob.data, [-1 - 4, -8 - 16 - 32])
  sameBits(total.count.data, [2, 3])
  const mean = sequenceLogprobs({ logprob, valid }, { reduce: 'mean' })
  sameBits(mean.logprob.data, f32(-5 / 2, -56 / 3))
})

test('the log-ratio adds up differences', () => {
  // (-1 + 1.5) + (-4 + 3) = -0.5
  const { logRatio } = sequenceLogprobs({
    logprob: rows([-1, -2, -4]),
    refLogprob: rows([-1.5, -2, -3]),
    valid: mask([1, 0, 1]),
  })
  sameBits(logRatio!.data, [-0.5])
})

test('a long pair keeps the sign of its log-ratio', () => {
  // Each token is 2^-21 likelier under the policy, one unit in the last place of -7.25: 4096 * 2^-21 = 2^-9.
  // That is one unit in the last place of either sum, about -29696.
  const T = 4096
  const refLogprob = { data: new Float32Array(T).fill(-7.25), shape: [1, T] }
  const logprob = { data: new Float32Array(T).fill(-7.25 + 2 ** -21), shape: [1, T] }
  const { logRatio } = sequenceLogprobs({ logprob, refLogprob })
  assert.equal(logRatio!.data[0], 2 ** -9)
})

test('a sequence in which nothing counts is 0', () => {
  const inputs = {
    logprob: rows([-1, -2], [-3, -4]),
    refLogprob: rows([-1, -1], [-1, -1]),
    valid: mask([0, 0], [0, 1]),
  }
  for (const reduce of ['sum', 'mean'] as const) {
    const { logprob, count, logRatio } = sequenceLogprobs(inputs, { reduce })
    sameBits(logprob.data, [0, -4])
    sameBits(count.data, [0, 1])
    sameBits(logRatio!.data, [0, -3])
  }
})

test('positions that do not count may hold anything', () => {
  const dirty = rows([-1, Number.NaN, Number.NEGATIVE_INFINITY], [Number.NaN, -2, -3])
  const valid = mask([1, 0, 0], [0, 1, 1])
  sameBits(sequenceLogprobs({ logprob: dirty, valid }).logprob.data, [-1, -5])
})

test('packed sequences equal padded ones bit for bit', () => {
  const lengths = [5, 0, 4097, 33]
  const packed = normals(1, 5 + 4097 + 33)
  const T = 4100
  const padded = new Float32Array(4 * T).fill(Number.NaN)
  const valid = new Uint8Array(4 * T)
  const offsets = [0]
  for (const [b, length] of lengths.entries()) {
    const start = offsets[b]
    padded.set(packed.subarray(start, start + length), b * T)
    valid.fill(1, b * T, b * T + length)
    offsets.push(start + length)
  }
  for (const reduce of ['sum', 'mean'] as const) {
    const short = sequenceLogprobs({ logprob: packed, offsets: i32(...offsets) }, { reduce })
    const long = sequenceLogprobs(
      { logprob: { data: padded, shape: [4, T] }, valid: { data: valid, shape: [4, T] } },
      { reduce },
    )
    sameBits(short.logprob.data, long.logprob.data)
    sameBits(short.count.data, long.count.data)
  }
})

test('the mean times the count is the sum, for counts that are powers of two', () => {
  const logprob = { data: normals(2, 6 * 64), shape: [6, 64] }
  const total = sequenceLogprobs({ logprob }).logprob.data
  const mean = sequenceLogprobs({ logprob }, { reduce: 'mean' }).logprob.data
  sameBits(
    Array.from(mean, (x) => 64 * x),
    total,
  )
})

test('offsets that fall or do not end at N are refused', () => {
  const logprob = f32(-1, -2, -3)
  assert.throws(() => sequenceLogprobs({ logprob, offsets: i32(0, 2, 1, 3) }), refusal('ERR_OFFSETS', 'offsets'))
  assert.throws(() => sequenceLogprobs({ logprob, offsets: i32(0, 2) }), refusal('ERR_OFFSETS', 'offsets'))
  assert.throws(() => sequenceLogprobs({ logprob, offsets: i32(1, 3) }), refusal('ERR_OFFSETS', 'offsets'))
})
