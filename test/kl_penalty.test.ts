import assert from 'node:assert/strict'
import { test } from 'node:test'
import { klPenalty, readStats } from '../lib/index.ts'
import { allNear, f32, i32, mask, near, normals, rows, sameBits } from './worked.ts'

const LN2 = Math.LN2
type Estimator = 'k1' | 'k2' | 'k3' | 'abs'
type Gradient = 'value' | 'unbiased'

/** One token at x = refLogprob - logprob = log 2. */
function atLog2(estimator: Estimator, gradient: Gradient) {
  const { kl, gradLogprob } = klPenalty({ logprob: f32(-LN2), refLogprob: f32(0) }, { estimator, gradient })
  return [kl.item(), gradLogprob.item()]
}

test('every estimator and its derivative at x = log 2', () => {
  // k1 -x, k2 x^2/2, k3 2 - x - 1, |x|; derivatives by logprob: 1, -x, 1 - 2, -1.
  allNear(atLog2('k1', 'value'), [-LN2, 1], 2)
  allNear(atLog2('k2', 'value'), [(LN2 * LN2) / 2, -LN2], 2)
  allNear(atLog2('k3', 'value'), [1 - LN2, -1], 4)
  allNear(atLog2('abs', 'value'), [LN2, -1], 2)
})

test('the unbiased gradient is -x, and |x| - sign(x) for abs', () => {
  for (const estimator of ['k1', 'k2', 'k3'] as const) near(atLog2(estimator, 'unbiased')[1], -LN2, 2)
  near(atLog2('abs', 'unbiased')[1], LN2 - 1, 4)
})

test('its expectation over the policy is the gradient of the true KL', () => {
  // Two tokens with odds e^t, reference odds e^u: d KL / dt = p (1 - p) (t - u). A token's log-probability moves by
  // 1 - p or -p with t.
  const [t, u] = [0.8, -0.4]
  const log = (logit: number) => [-Math.log1p(Math.exp(-logit)), -Math.log1p(Math.exp(logit))]
  const p = 1 / (1 + Math.exp(-t))
  const truth = p * (1 - p) * (t - u)
  const expectation = (estimator: Estimator, gradient: Gradient) => {
    const inputs = { logprob: f32(...log(t)), refLogprob: f32(...log(u)) }
    const { data } = klPenalty(inputs, { estimator, gradient, aggregate: 'token-sum' }).gradLogprob
    return p * data[0] * (1 - p) + (1 - p) * data[1] * -p
  }
  for (const estimator of ['k1', 'k2', 'k3'] as const) near(expectation(estimator, 'unbiased'), truth, 8)
  near(expectation('k2', 'value'), truth, 8)
  // The derivative of k1 has expectation 0, that of k3 belongs to the other KL.
  assert.ok(Math.abs(expectation('k1', 'value')) < 1e-7)
  assert.ok(Math.abs(expectation('k3', 'value') - truth) > 0.01)
})

test('a small x keeps its digits in k3', () => {
  for (const x of [2 ** -20, -(2 ** -20), 2 ** -10]) {
    const { kl } = klPenalty({ logprob: f32(-1), refLogprob: f32(-1 + x) })
    near(kl.item(), (x * x) / 2 + x ** 3 / 6 + x ** 4 / 24)
  }
})

test('a clamp cuts the estimate and its gradient', () => {
  // x = -3, 0.5, 3; clampInput 1: x = -1, 0.5, 1.
  const inputs = { logprob: f32(0, 0, -3), refLogprob: f32(-3, 0.5, 0) }
  const inner = klPenalty(inputs, { estimator: 'k2', gradient: 'value', clampInput: 1 })
  sameBits(inner.kl.data, [0.5, 0.125, 0.5])
  sameBits(inner.gradLogprob.data.map(Math.abs), f32(0, 0.5 / 3, 0))
  // clampOutput 2: x^2/2 = 4.5 is cut to 2.
  const outer = klPenalty(inputs, { estimator: 'k2', gradient: 'value', clampOutput: 2 })
  sameBits(outer.kl.data, [2, 0.125, 2])
  sameBits(outer.gradLogprob.data.map(Math.abs), f32(0, 0.5 / 3, 0))
})

test('the loss is the aggregate of the estimates', () => {
  // k1 = 1, 2 | 3: mean 2, mean of row means (1.5 + 3) / 2.
  const inputs = {
    logprob: rows([1, 2], [3, 9]),
    refLogprob: rows([0, 0], [0, 0]),
    valid: mask([1, 1], [1, 0]),
  }
  const options = { estimator: 'k1' as const }
  const result = klPenalty(inputs, options)
  assert.equal(result.loss.item(), 2)
  sameBits(result.kl.data, [1, 2, 3, 0])
  assert.equal(klPenalty(inputs, { ...options, aggregate: 'sequence-mean' }).loss.item(), 2.25)
  const { kl, klMin, klMax, count } = readStats(result)
  assert.deepEqual({ kl, klMin, klMax, count }, { kl: 2, klMin: 1, klMax: 3, count: 3 })
})

test('equal policies cost nothing and pull nowhere', () => {
  const logprob = normals(1, 50)
  for (const estimator of ['k1', 'k2', 'k3', 'abs'] as const) {
    const { loss, gradLogprob } = klPenalty({ logprob, refLogprob: logprob }, { estimator })
    assert.equal(Math.abs(loss.item()), 0)
    sameBits(gradLogprob.data.map(Math.abs), new Float32Array(50))
  }
})

test('weights and gradScale scale what they should', () => {
  const inputs = { logprob: f32(1, 2), refLogprob: f32(0, 0), weight: f32(2, 0) }
  const { loss, gradLogprob, kl } = klPenalty(inputs, { estimator: 'k2', gradScale: 8 })
  // (2 * 1/2 + 0 * 2) / 2; gradients 8 * w * -x / 2 with x = -1, -2
  assert.equal(loss.item(), 0.5)
  sameBits(gradLogprob.data, [8, 0])
  sameBits(kl.data, [0.5, 2])
})

test('packed sequences equal padded ones bit for bit', () => {
  const [logprob, refLogprob] = [normals(3, 9), normals(4, 9)]
  const pad = (x: Float32Array) => rows([...x.subarray(0, 4), Number.NaN], [...x.subarray(4)])
  const valid = mask([1, 1, 1, 1, 0], [1, 1, 1, 1, 1])
  const options = { aggregate: 'sequence-mean' as const }
  const short = klPenalty({ logprob, refLogprob, offsets: i32(0, 4, 9) }, options)
  const long = klPenalty({ logprob: pad(logprob), refLogprob: pad(refLogprob), valid }, options)
  assert.equal(long.loss.item(), short.loss.item())
  sameBits(long.stats.data, short.stats.data)
  for (const name of ['kl', 'gradLogprob'] as const) {
    const { data } = long[name]
    sameBits([...data.subarray(0, 4), ...data.subarray(5)], short[name].data)
    assert.equal(data[4], 0)
  }
})
