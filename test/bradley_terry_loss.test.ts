import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bradleyTerryLoss, dpoLoss, readStats } from '../lib/index.ts'
import { allNear, f32, near, normals, refusal, sameBits } from './worked.ts'

const LN3 = Math.log(3)

test('a difference of log 3 is a probability of 3/4', () => {
  // -log(3/4) = 0.287682; gradients -(1 - 3/4) and +(1 - 3/4)
  const { loss, gradChosen, gradRejected } = bradleyTerryLoss({ chosen: f32(LN3), rejected: f32(0) })
  near(loss.item(), Math.log(4 / 3), 2)
  near(gradChosen.item(), -0.25, 2)
  near(gradRejected.item(), 0.25, 2)
})

test('equal scores cost log 2', () => {
  const { loss, gradChosen } = bradleyTerryLoss({ chosen: f32(5, -1), rejected: f32(5, -1) })
  near(loss.item(), Math.LN2)
  sameBits(gradChosen.data, [-0.25, -0.25])
})

test('a difference of 100 the wrong way costs 100, of 1e4 costs 1e4', () => {
  assert.equal(bradleyTerryLoss({ chosen: f32(0), rejected: f32(100) }).loss.item(), 100)
  assert.equal(bradleyTerryLoss({ chosen: f32(0), rejected: f32(1e4) }).loss.item(), 1e4)
  // The right way it costs e^-30, and the pull is as small: s(30) - 1 in f64 has three digits of it left.
  const { loss, gradChosen } = bradleyTerryLoss({ chosen: f32(30), rejected: f32(0) })
  near(loss.item(), Math.log1p(Math.exp(-30)))
  near(gradChosen.item(), -1 / (1 + Math.exp(30)))
})

test('a margin is subtracted from the difference', () => {
  // log 3 + 1/2 - 1/2
  const { loss } = bradleyTerryLoss({ chosen: f32(LN3 + 0.5), rejected: f32(0), margin: f32(0.5) })
  near(loss.item(), Math.log(4 / 3), 4)
})

test('a soft preference pulls to chosen - rejected = margin + log odds', () => {
  // p = 3/4, margin 1/2: no gradient at 1/2 + log 3; the loss there is the entropy of (3/4, 1/4).
  const inputs = { rejected: f32(0), margin: f32(0.5), preference: f32(0.75) }
  const { loss, gradChosen } = bradleyTerryLoss({ ...inputs, chosen: f32(0.5 + LN3) })
  assert.ok(Math.abs(gradChosen.item()) < 1e-7)
  near(loss.item(), 0.75 * Math.log(4 / 3) + 0.25 * Math.log(4), 2)
})

test('label smoothing mixes the preference with its opposite', () => {
  // p = 0.9: 0.9 log(4/3) + 0.1 log 4; gradient 3/4 - 0.9 = -0.15
  const inputs = { chosen: f32(LN3), rejected: f32(0) }
  const { loss, gradChosen } = bradleyTerryLoss(inputs, { labelSmoothing: 0.1 })
  near(loss.item(), 0.9 * Math.log(4 / 3) + 0.1 * Math.log(4), 2)
  near(gradChosen.item(), -0.15, 4)
  // The same as a preference of 0.9 (rounded to f32).
  const soft = bradleyTerryLoss({ ...inputs, preference: f32(0.9) })
  near(soft.loss.item(), loss.item(), 2)
})

test('centering pulls the sum of the scores to 0', () => {
  // log 2 + 0.5 (2 + 2)^2; gradients -1/2 + 0.5 * 2 * 4 and 1/2 + 4
  const inputs = { chosen: f32(2), rejected: f32(2) }
  const { loss, gradChosen, gradRejected } = bradleyTerryLoss(inputs, { centerCoefficient: 0.5 })
  near(loss.item(), Math.LN2 + 8)
  assert.equal(gradChosen.item(), 3.5)
  assert.equal(gradRejected.item(), 4.5)
})

test('weights scale the terms, the denominator is the number of pairs or the normalizer', () => {
  const inputs = { chosen: f32(0, 0), rejected: f32(0, 0), weight: f32(3, 0) }
  near(bradleyTerryLoss(inputs).loss.item(), (3 * Math.LN2) / 2)
  const { loss, gradChosen } = bradleyTerryLoss(inputs, { normalizer: 8, gradScale: 2 })
  near(loss.item(), (3 * Math.LN2) / 8)
  sameBits(gradChosen.data.map(Math.abs), [(2 * 3) / 2 / 8, 0])
})

test('accuracy compares the scores with the preference, and ties count half', () => {
  // right, wrong, tied scores, undecided preference, right about the second
  const result = bradleyTerryLoss({
    chosen: f32(2, 1, 1, 5, 0),
    rejected: f32(1, 2, 1, 0, 3),
    preference: f32(1, 0.75, 1, 0.5, 0.25),
  })
  const { accuracy, margin, count, chosenMean, rejectedMean } = readStats(result)
  near(accuracy, (1 + 0 + 0.5 + 0.5 + 1) / 5, 1)
  // (1 - 1 + 0 + 5 - 3) / 5
  near(margin, 2 / 5)
  near(chosenMean, 9 / 5)
  near(rejectedMean, 7 / 5)
  assert.equal(count, 5)
})

const scores = (seed: number) => normals(seed, 500, 3)
const preference = scores(3).map((x) => Math.fround(1 / (1 + Math.exp(-x))))

test('L(c, r, m, p) = L(r, c, -m, 1 - p), and swapping flips the margin', () => {
  const [chosen, rejected, margin] = [scores(1), scores(2), scores(4)]
  const there = bradleyTerryLoss({ chosen, rejected, margin, preference })
  const back = bradleyTerryLoss({
    chosen: rejected,
    rejected: chosen,
    margin: margin.map((m) => -m),
    preference: preference.map((p) => 1 - p),
  })
  // 1 - p is rounded to f32 where p is below 1/2, by at most 2^-25: that times |d| < 32 in the loss, and beside the
  // rounding of either gradient.
  assert.ok(Math.abs(back.loss.item() - there.loss.item()) < 32 * 2 ** -25 + 2 ** -22)
  for (let b = 0; b < 500; b++) {
    assert.ok(Math.abs(back.gradChosen.data[b] - there.gradRejected.data[b]) < 2 ** -22 / 500)
  }
  near(readStats(back).margin, -readStats(there).margin)
})

test('the same identity holds for hard preferences, which are plain one way round', () => {
  const [chosen, rejected] = [scores(1), scores(2)]
  const there = bradleyTerryLoss({ chosen, rejected })
  const back = bradleyTerryLoss({ chosen: rejected, rejected: chosen, preference: new Float32Array(500) })
  near(back.loss.item(), there.loss.item(), 4)
  allNear(back.gradChosen.data, there.gradRejected.data, 6)
})

test('it is DPO without a reference at beta = 1', () => {
  const [chosen, rejected] = [scores(5), scores(6)]
  for (const labelSmoothing of [0, 0.2]) {
    const pairs = bradleyTerryLoss({ chosen, rejected }, { labelSmoothing })
    const dpo = dpoLoss({ policyChosen: chosen, policyRejected: rejected }, { beta: 1, labelSmoothing })
    near(pairs.loss.item(), dpo.loss.item())
    allNear(pairs.gradChosen.data, dpo.gradPolicyChosen.data)
    allNear(pairs.gradRejected.data, dpo.gradPolicyRejected.data)
  }
})

test('no pairs are a loss of 0', () => {
  const result = bradleyTerryLoss({ chosen: f32(), rejected: f32() })
  assert.equal(result.loss.item(), 0)
  assert.equal(readStats(result).count, 0)
})

test('a preference outside [0, 1] is refused', () => {
  for (const bad of [-0.1, 1.5, Number.NaN]) {
    const call = () => bradleyTerryLoss({ chosen: f32(1, 1), rejected: f32(0, 0), preference: f32(1, bad) })
    assert.throws(call, refusal('ERR_BAD_VALUE', 'preference'))
  }
})
