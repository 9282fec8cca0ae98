import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sequenceLogprobs, sequenceLogprobsBackward } from '../lib/index.ts'
import { f32, i32, mask, near, normals, refusal, rows, sameBits, sum } from './worked.ts'

test('every token that counts gets its sequence gradient', () => {
  const valid = mask([1, 0, 1], [1, 1, 1])
  const { gradLogprob } = sequenceLogprobsBackward({ gradSequence: f32(2, -3), valid })
  sameBits(gradLogprob.data, [2, 0, 2, -3, -3, -3])
  assert.deepEqual(gradLogprob.shape, [2, 3])
})

test('a mean shares the gradient out', () => {
  // 2 / 2 tokens, -3 / 3 tokens, 5 / nothing.
  const valid = mask([1, 0, 1], [1, 1, 1], [0, 0, 0])
  const { gradLogprob } = sequenceLogprobsBackward({ gradSequence: f32(2, -3, 5), valid }, { reduce: 'mean' })
  sameBits(gradLogprob.data, [1, 0, 1, -1, -1, -1, 0, 0, 0])
})

test('it is the adjoint of the forward call', () => {
  // sum over b of g_b * S(x)_b = sum over t of gradLogprob_t * x_t
  const x = { data: normals(1, 3 * 7), shape: [3, 7] }
  const valid = mask([1, 1, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1])
  const gradSequence = f32(0.5, -2, 1.25)
  for (const reduce of ['sum', 'mean'] as const) {
    const forward = sequenceLogprobs({ logprob: x, valid }, { reduce }).logprob.data
    const backward = sequenceLogprobsBackward({ gradSequence, like: x, valid }, { reduce }).gradLogprob.data
    near(sum(Array.from(backward, (g, i) => g * x.data[i])), sum(Array.from(forward, (s, b) => s * gradSequence[b])), 8)
  }
})

test('like gives the shape and is not read', () => {
  const like = rows([Number.NaN, Number.NaN])
  sameBits(sequenceLogprobsBackward({ gradSequence: f32(4), like }).gradLogprob.data, [4, 4])
})

test('packed gradients equal padded ones', () => {
  const gradSequence = f32(1, 2, 3)
  const packed = sequenceLogprobsBackward(
    { gradSequence, like: new Float32Array(5), offsets: i32(0, 3, 3, 5) },
    { reduce: 'mean' },
  )
  const padded = sequenceLogprobsBackward(
    { gradSequence, valid: mask([1, 1, 1], [0, 0, 0], [1, 1, 0]) },
    { reduce: 'mean' },
  )
  sameBits(packed.gradLogprob.data, f32(1 / 3, 1 / 3, 1 / 3, 1.5, 1.5))
  sameBits(padded.gradLogprob.data, f32(1 / 3, 1 / 3, 1 / 3, 0, 0, 0, 1.5, 1.5, 0))
})

test('a gradient can be added to one that is there', () => {
  const held = rows([10, 20])
  sequenceLogprobsBackward(
    { gradSequence: f32(4), valid: mask([1, 0]) },
    { accumulate: true },
    { out: { gradLogprob: held } },
  )
  sameBits(held.data, [14, 20])
})

test('without like or valid the shape is not known', () => {
  const call = () => sequenceLogprobsBackward({ gradSequence: f32(1), offsets: i32(0, 2) })
  assert.throws(call, refusal('ERR_ARGUMENT', 'like'))
})
