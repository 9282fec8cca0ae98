import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mergeStats, ppoValueLoss, readStats } from '../lib/index.ts'
import { allNear, f32, i32, mask, near, normals, refusal, rows, sameBits } from './worked.ts'

test('without a clip it is half the mean squared error', () => {
  // errors 1, -2, 3: (1 + 4 + 9) / 2 / 3; gradients error / 3
  const { loss, gradValue } = ppoValueLoss({ value: f32(2, 0, 4), returns: f32(1, 2, 1) })
  near(loss.item(), 7 / 3)
  allNear(gradValue.data, [1 / 3, -2 / 3, 1])
})

test('a value beyond the clip pays the larger error and gets no gradient', () => {
  // old 0.5, clip 0.25: V = 1 is read as 0.75. R = 3: max(2^2, 2.25^2) / 2 = 2.53125.
  const inputs = { value: f32(1), oldValue: f32(0.5), returns: f32(3) }
  const result = ppoValueLoss(inputs, { clip: 0.25 })
  assert.equal(result.loss.item(), 2.25 ** 2 / 2)
  assert.equal(result.gradValue.item(), 0)
  assert.equal(readStats(result).clipFraction, 1)
  // R = 0: the unclipped error 1 is the larger one, and pulls.
  const back = ppoValueLoss({ ...inputs, returns: f32(0) }, { clip: 0.25 })
  assert.equal(back.loss.item(), 0.5)
  assert.equal(back.gradValue.item(), 1)
  assert.equal(readStats(back).clipFraction, 0)
})

test('at a tie the gradient is the unclipped one', () => {
  // V = 1 is just at 0.5 + 0.5; V = 2 and its clipped 1.5 are equally far from 1.75.
  const inputs = { value: f32(1, 2), oldValue: f32(0.5, 1), returns: f32(3, 1.75) }
  const result = ppoValueLoss(inputs, { clip: 0.5, aggregate: 'token-sum' })
  sameBits(result.gradValue.data, [-2, 0.25])
  assert.equal(readStats(result).clipFraction, 0)
})

test('what is no number is not clipped away', () => {
  const inf = Number.POSITIVE_INFINITY
  const cases: [value: number, old: number, target: number, gradient: number][] = [
    [Number.NaN, 0, 0, Number.NaN],
    [1, Number.NaN, 0, Number.NaN],
    [inf, 0, inf, Number.NaN],
    [inf, 0, 0, inf],
  ]
  for (const [value, old, target, gradient] of cases) {
    const inputs = { value: f32(value), oldValue: f32(old), returns: f32(target) }
    const result = ppoValueLoss(inputs, { clip: 0.2 })
    sameBits(result.gradValue.data, [gradient])
    sameBits(result.loss.data, [gradient])
  }
})

test('an error whose square leaves f32 still counts with its weight', () => {
  // 2^100 (2^-80)^2 / 2 = 2^-61, the gradient 2^100 2^-80; (2^-80)^2 alone would be 0.
  const { loss, gradValue } = ppoValueLoss({ value: f32(2 ** -80), returns: f32(0), weight: f32(2 ** 100) })
  assert.equal(loss.item(), 2 ** -61)
  assert.equal(gradValue.item(), 2 ** 20)
})

test('scale is the factor of the squared error', () => {
  const inputs = { value: f32(3), returns: f32(1) }
  const { loss, gradValue } = ppoValueLoss(inputs, { scale: 1 })
  assert.equal(loss.item(), 4)
  assert.equal(gradValue.item(), 4)
})

test('explained variance: 1 for the returns themselves, 0 for their mean, negative for worse', () => {
  const returns = f32(1, 2, 3, 6)
  const explained = (...value: number[]) => readStats(ppoValueLoss({ value: f32(...value), returns })).explainedVariance
  assert.equal(explained(1, 2, 3, 6), 1)
  assert.equal(explained(3, 3, 3, 3), 0)
  // Errors 2, 4, 6, 12: four times the variance of the returns, 1 - 4.
  assert.equal(explained(-1, -2, -3, -6), -3)
  // A constant offset explains everything: the variance of the error is 0.
  assert.equal(explained(11, 12, 13, 16), 1)
})

test('returns that do not vary explain nothing', () => {
  // 0.1 has no exact sum: a mean taken by division would leave a variance of rounding.
  for (const count of [1, 3, 7, 1000]) {
    const returns = new Float32Array(count).fill(0.1)
    assert.equal(readStats(ppoValueLoss({ value: normals(1, count), returns })).explainedVariance, 0)
  }
})

test('moving values and returns together changes nothing', () => {
  const value = f32(1, 2.5, -3, 0.25)
  const returns = f32(0.5, 2, 1, -1)
  const oldValue = f32(1.5, 2.5, -2, 0)
  const shift = (x: Float32Array<ArrayBuffer>) => x.map((v) => v + 16)
  const near0 = ppoValueLoss({ value, returns, oldValue }, { clip: 0.5 })
  const near16 = ppoValueLoss(
    { value: shift(value), returns: shift(returns), oldValue: shift(oldValue) },
    { clip: 0.5 },
  )
  assert.equal(near16.loss.item(), near0.loss.item())
  sameBits(near16.gradValue.data, near0.gradValue.data)
})

test('only positions that count take part', () => {
  const result = ppoValueLoss({
    value: rows([1, Number.NaN], [5, 3]),
    returns: rows([0, 1], [Number.NaN, 1]),
    valid: mask([1, 0], [0, 1]),
  })
  // (1 + 4) / 2 / 2
  assert.equal(result.loss.item(), 1.25)
  sameBits(result.gradValue.data, [0.5, 0, 0, 1])
})

test('packed sequences equal padded ones bit for bit', () => {
  const [value, returns] = [normals(3, 9), normals(4, 9)]
  const pad = (x: Float32Array) => rows([...x.subarray(0, 4), Number.NaN], [...x.subarray(4)])
  const options = { aggregate: 'sequence-mean' as const }
  const short = ppoValueLoss({ value, returns, offsets: i32(0, 4, 9) }, options)
  const valid = mask([1, 1, 1, 1, 0], [1, 1, 1, 1, 1])
  const long = ppoValueLoss({ value: pad(value), returns: pad(returns), valid }, options)
  assert.equal(long.loss.item(), short.loss.item())
  sameBits(long.stats.data, short.stats.data)
  sameBits([...long.gradValue.data.subarray(0, 4), ...long.gradValue.data.subarray(5)], short.gradValue.data)
})

test('explained variance of merged micro-batches is that of the whole', () => {
  const [value, returns] = [normals(5, 100), normals(6, 100)]
  const whole = ppoValueLoss({ value, returns })
  const parts = [
    ppoValueLoss({ value: value.slice(0, 33), returns: returns.slice(0, 33) }),
    ppoValueLoss({ value: value.slice(33), returns: returns.slice(33) }),
  ]
  near(readStats(mergeStats(...parts)).explainedVariance, readStats(whole).explainedVariance, 64)
})

test('a clip needs the values at sampling time', () => {
  const call = () => ppoValueLoss({ value: f32(1), returns: f32(1) }, { clip: 0.2 })
  assert.throws(call, refusal('ERR_ARGUMENT', 'oldValue'))
})
