import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tokenRewards } from '../lib/index.ts'
import { allNear, f32, i32, mask, near, normals, refusal, rows, sameBits, sum, u8 } from './worked.ts'

// x = refLogprob - logprob = -1/2, 1, 1/4
const logprob = rows([-1, -2, -0.5])
const refLogprob = rows([-1.5, -1, -0.25])

test('every token pays its KL estimate and the last one gets the score', () => {
  // k1 = -x = 1/2, -1, -1/4; at 1/4 each: -1/8, 1/4, 1/16, and 2 at the end.
  const { rewards, kl } = tokenRewards({ score: f32(2), logprob, refLogprob }, { klCoefficient: 0.25 })
  sameBits(kl.data, [0.5, -1, -0.25])
  sameBits(rewards.data, [-0.125, 0.25, 2.0625])
})

test('the estimators are those of Schulman 2020', () => {
  const kl = (klEstimator: 'k2' | 'k3' | 'abs') =>
    tokenRewards({ logprob, refLogprob }, { klCoefficient: 1, klEstimator }).kl.data
  sameBits(kl('k2'), [0.125, 0.5, 0.03125])
  allNear(kl('k3'), [Math.exp(-0.5) + 0.5 - 1, Math.E - 1 - 1, Math.exp(0.25) - 0.25 - 1])
  sameBits(kl('abs'), [0.5, 1, 0.25])
})

test('the score falls on the last valid token, the slot behind it, or the last column', () => {
  const valid = mask([1, 1, 0, 0])
  const inputs = { score: f32(8), logprob: rows([-1, -1, -9, -9]), refLogprob: rows([-2, -2, -1, -1]), valid }
  const at = (scoreAt: 'last' | 'after-last' | 'end') =>
    tokenRewards(inputs, { klCoefficient: 0.5, scoreAt }).rewards.data
  // k1 = 1 at both valid tokens; the slots that do not count pay no KL.
  sameBits(at('last'), [-0.5, 7.5, 0, 0])
  sameBits(at('after-last'), [-0.5, -0.5, 8, 0])
  sameBits(at('end'), [-0.5, -0.5, 0, 8])
})

test('a full row has no slot behind its last token', () => {
  const inputs = { score: f32(1), logprob, refLogprob, valid: mask([1, 1, 1]) }
  const call = () => tokenRewards(inputs, { klCoefficient: 0.1, scoreAt: 'after-last' })
  assert.throws(call, refusal('ERR_BAD_VALUE', 'valid'))
})

test('the score is clipped before the KL and before the penalty of a missing end', () => {
  const inputs = {
    score: f32(7, -7, 1),
    ended: u8(1, 0, 0),
    logprob: rows([-1, -1], [-1, -1], [-1, -1]),
    refLogprob: rows([-2, -2], [-2, -2], [-2, -2]),
  }
  const options = { klCoefficient: 0.5, rewardClip: 3, missingEndPenalty: -1 }
  // 3 - 1/2; -3 - 1 - 1/2; 1 - 1 - 1/2
  sameBits(tokenRewards(inputs, options).rewards.data, [-0.5, 2.5, -0.5, -4.5, -0.5, -0.5])
})

test('tokens may have scores of their own', () => {
  const { rewards } = tokenRewards(
    { tokenScore: rows([1, 2, 4]), logprob, refLogprob, valid: mask([1, 0, 1]) },
    { klCoefficient: 0.25 },
  )
  sameBits(rewards.data, [1 - 0.125, 0, 4 + 0.0625])
})

test('the rewards of a sequence add up to score minus klCoefficient times its KL', () => {
  const logprob = { data: normals(1, 4 * 50), shape: [4, 50] }
  const refLogprob = { data: normals(2, 4 * 50), shape: [4, 50] }
  const score = f32(1, -2, 3, 0.5)
  const { rewards, kl } = tokenRewards({ score, logprob, refLogprob }, { klCoefficient: 0.1 })
  for (let b = 0; b < 4; b++) {
    const row = (x: { data: ArrayLike<number> }) => Array.from(x.data).slice(50 * b, 50 * b + 50)
    const size = sum(row(rewards).map(Math.abs))
    const off = Math.abs(sum(row(rewards)) - (score[b] - 0.1 * sum(row(kl))))
    assert.ok(off < 2 ** -23 * size, `${off} of ${size}`)
  }
})

test('k3 of almost equal policies is x^2 / 2, not rounding', () => {
  // x = 2^-20: e^x - 1 - x = x^2/2 (1 + x/3 + ...) = 4.547475e-13
  const x = 2 ** -20
  const { kl } = tokenRewards(
    { logprob: rows([-1]), refLogprob: rows([-1 + x]) },
    { klCoefficient: 1, klEstimator: 'k3' },
  )
  near(kl.data[0], (x * x) / 2 + x ** 3 / 6)
})

test('packed rewards equal padded ones bit for bit', () => {
  const packed = { logprob: normals(3, 9), refLogprob: normals(4, 9) }
  const spread = (x: Float32Array) => rows([...x.subarray(0, 4), 0], [0, 0, 0, 0, 0], [...x.subarray(4)])
  const options = { klCoefficient: 0.2, klEstimator: 'k3' as const }
  const score = f32(1, 0, -1)
  const short = tokenRewards({ ...packed, score, offsets: i32(0, 4, 4, 9) }, options).rewards.data
  const long = tokenRewards(
    {
      score,
      logprob: spread(packed.logprob),
      refLogprob: spread(packed.refLogprob),
      valid: mask([1, 1, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]),
    },
    options,
  ).rewards.data
  sameBits(short, [...long.subarray(0, 4), ...long.subarray(10)])
})

test('a penalty for a missing end needs to know what ended', () => {
  const call = () => tokenRewards({ logprob, refLogprob }, { klCoefficient: 0, missingEndPenalty: -1 })
  assert.throws(call, refusal('ERR_ARGUMENT', 'ended'))
})
