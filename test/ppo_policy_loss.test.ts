import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mergeStats, ppoPolicyLoss, readStats } from '../lib/index.ts'
import { allNear, f32, i32, mask, near, normals, refusal, rows, sameBits, u8 } from './worked.ts'

/** Log-probabilities whose ratios to 0 are these. */
const logs = (...ratios: number[]) => f32(...ratios.map(Math.log))
const zeros = (count: number) => new Float32Array(count)

/** One token with this ratio and advantage. */
function token(ratio: number, A: number, options: { dualClip?: number; clipLow?: number; clipHigh?: number } = {}) {
  const result = ppoPolicyLoss({ logprob: logs(ratio), oldLogprob: f32(0), advantage: f32(A) }, options)
  return { loss: result.loss.item(), grad: result.gradLogprob.item(), stats: readStats(result) }
}

test('at ratio 1 the loss is the mean of -A and the gradient -A / n', () => {
  const advantage = f32(2, -1, 0.5, 4)
  const logprob = f32(-1, -2, -0.3, -7)
  const { loss, gradLogprob } = ppoPolicyLoss({ logprob, oldLogprob: logprob, advantage })
  assert.equal(loss.item(), -5.5 / 4)
  sameBits(gradLogprob.data, [-0.5, 0.25, -0.125, -1])
})

test('a ratio inside the clip counts as it is', () => {
  // -A r = -2 * 1.1; its derivative by the log-probability is the same number.
  const { loss, grad } = token(1.1, 2)
  near(loss, -2.2, 2)
  near(grad, -2.2, 2)
})

test('what went further than the clip in the good direction earns no more', () => {
  // A = 2, r = 1.5: -2 * 1.2 and no gradient. A = -1, r = 0.5: 0.8 and no gradient.
  const up = token(1.5, 2)
  near(up.loss, -2.4)
  assert.equal(up.grad, 0)
  assert.deepEqual([up.stats.clipFractionHigh, up.stats.clipFractionLow], [1, 0])
  const down = token(0.5, -1)
  near(down.loss, 0.8)
  assert.equal(down.grad, 0)
  assert.deepEqual([down.stats.clipFractionHigh, down.stats.clipFractionLow], [0, 1])
})

test('a ratio next to a clip is judged as f64 has it, however few digits f32 has left', () => {
  const count = 41
  for (const [clipLow, clipHigh, dualClip] of [
    [0.2, 0.28, 2.5],
    [0.15, 0.5, 1.3],
    [0.25, 0.2, 7],
  ]) {
    for (const [A, edge] of [
      [1, 1 + clipHigh],
      [-1, 1 - clipLow],
      [-1, dualClip],
    ]) {
      const logprob = Float32Array.from({ length: count }, (_, k) => Math.log(edge) + (k - 20) * 2 ** -26)
      const given = { logprob, oldLogprob: zeros(count), advantage: new Float32Array(count).fill(A) }
      const result = ppoPolicyLoss(given, { clipLow, clipHigh, dualClip })
      const clipped = Array.from(logprob, (x) => Number(edge > 1 ? Math.exp(x) > edge : Math.exp(x) < edge))
      assert.deepEqual(
        Array.from(result.gradLogprob.data, (g) => Number(g === 0)),
        clipped,
      )
      const some = clipped.reduce((sum, one) => sum + one)
      assert.ok(some > 0 && some < count)
      const { clipFractionHigh, clipFractionLow, dualClipFraction } = readStats(result)
      near(clipFractionHigh + clipFractionLow + dualClipFraction, some / count)
    }
  }
})

test('a weight and an advantage whose product f32 does not hold still have their gradient', () => {
  // -(1e-25 * 1e-25) e 1e15: the ratio is clipped only where the advantage is above 0.
  const given = { logprob: f32(1), oldLogprob: f32(0), advantage: f32(-1e-25), weight: f32(1e-25) }
  const { gradLogprob } = ppoPolicyLoss(given, { gradScale: 1e15 })
  near(gradLogprob.item(), Math.fround(1e-25) * Math.fround(1e-25) * Math.E * 1e15)
})

test('what went in the bad direction pays in full', () => {
  // A = -1, r = 1.5: max(1.5, 1.2). A = 2, r = 0.5: max(-1, -1.6).
  const up = token(1.5, -1)
  allNear([up.loss, up.grad], [1.5, 1.5], 2)
  const down = token(0.5, 2)
  allNear([down.loss, down.grad], [-1, -1], 2)
  assert.equal(up.stats.clipFraction + down.stats.clipFraction, 0)
})

test('the two sides of the clip are set apart', () => {
  near(token(1.5, 1, { clipHigh: 0.28 }).loss, -1.28)
  near(token(0.5, -1, { clipLow: 0.1 }).loss, 0.9)
})

test('the dual clip bounds what a negative advantage can cost', () => {
  // A = -2, r = 5, c = 3: min(max(10, 2.4), 6) = 6, no gradient.
  const { loss, grad, stats } = token(5, -2, { dualClip: 3 })
  assert.equal(loss, 6)
  assert.equal(grad, 0)
  assert.equal(stats.dualClipFraction, 1)
  near(token(2.5, -2, { dualClip: 3 }).loss, 5, 2)
})

test('the figures of a well-known faulty test, with the right signs', () => {
  // e^-1 = 0.36788 is inside a clip of 1; e^0.1 = 1.10517 inside 0.2; advantages of 1.
  near(token(Math.exp(-1), 1, { clipLow: 1 }).loss, -0.36787944117, 2)
  near(token(Math.exp(0.1), 1).loss, -1.10517091808, 2)
})

test('an advantage of 0 is exactly 0, even where the ratio overflows', () => {
  const inputs = { logprob: f32(0, -1), oldLogprob: f32(-1000, -1), advantage: f32(0, 1) }
  const { loss, gradLogprob } = ppoPolicyLoss(inputs)
  assert.equal(loss.item(), -0.5)
  sameBits(gradLogprob.data.map(Math.abs), [0, 0.5])
})

test('approxKl is the mean of (r - 1) - log r, the extremes are those of r', () => {
  const result = ppoPolicyLoss({ logprob: logs(2, 0.5), oldLogprob: zeros(2), advantage: f32(1, 1) })
  const stats = readStats(result)
  // ((2 - 1) - log 2 + (0.5 - 1) + log 2) / 2 = 1/4
  near(stats.approxKl, 0.25, 2)
  allNear([stats.ratioMean, stats.ratioMin, stats.ratioMax], [1.25, 0.5, 2], 2)
})

test('the aggregates differ where rows have different lengths', () => {
  // Terms 1, 2 | 3 | none: 6 / 3 tokens; (1.5 + 3) / 2 rows, or / 3 with the empty one; (3 + 3) / 2; 6.
  const one = rows([0, 0], [0, 0], [0, 0])
  const inputs = {
    logprob: one,
    oldLogprob: one,
    advantage: rows([-1, -2], [-3, 99], [99, 99]),
    valid: mask([1, 1], [1, 0], [0, 0]),
  }
  const loss = (options: Parameters<typeof ppoPolicyLoss>[1]) => ppoPolicyLoss(inputs, options).loss.item()
  assert.equal(loss({}), 2)
  assert.equal(loss({ aggregate: 'sequence-mean' }), 2.25)
  assert.equal(loss({ aggregate: 'sequence-mean', countEmpty: true }), 1.5)
  assert.equal(loss({ aggregate: 'sequence-mean-token-sum' }), 3)
  assert.equal(loss({ aggregate: 'sequence-mean-token-sum', countEmpty: true }), 2)
  assert.equal(loss({ aggregate: 'token-sum' }), 6)
  // A normalizer replaces the outer denominator.
  assert.equal(loss({ normalizer: 4 }), 1.5)
  assert.equal(loss({ aggregate: 'sequence-mean', normalizer: 8 }), 4.5 / 8)
  assert.equal(loss({ aggregate: 'token-sum', normalizer: 4 }), 1.5)
})

test('weights scale terms and never enter a denominator', () => {
  const inputs = { logprob: zeros(2), oldLogprob: zeros(2), advantage: f32(-1, -2), weight: f32(4, 0) }
  const { loss, gradLogprob } = ppoPolicyLoss(inputs)
  assert.equal(loss.item(), 4 / 2)
  sameBits(gradLogprob.data.map(Math.abs), [2, 0])
})

test('a weight of 0 takes the term and the gradient, and leaves the figures', () => {
  // Ratios 2 and 0.5 with A = 1 and -1 are beyond both clips, whatever they weigh.
  const given = { logprob: logs(2, 0.5, 1), oldLogprob: zeros(3), advantage: f32(1, -1, 1), weight: f32(0, 0, 1) }
  const result = ppoPolicyLoss(given)
  near(result.loss.item(), -1 / 3)
  const { clipFractionHigh, clipFractionLow, ratioMax } = readStats(result)
  near(clipFractionHigh, 1 / 3)
  near(clipFractionLow, 1 / 3)
  near(ratioMax, 2)
})

test('a sequence ratio is the geometric mean of the token ratios', () => {
  // Ratios 2 and 1: s = sqrt 2, clipped at 1.2 for A = 1, not for A = -1. Loss (-1.2 + sqrt 2) / 2.
  const inputs = { logprob: rows([Math.LN2, 0]), oldLogprob: rows([0, 0]), advantage: rows([1, -1]) }
  const direct = ppoPolicyLoss(inputs, { ratioLevel: 'sequence' })
  near(direct.loss.item(), (Math.SQRT2 - 1.2) / 2, 4)
  // direct: (s / n) * (1/2) * 1 for both tokens; token: the clipped one has none.
  allNear(direct.gradLogprob.data, [Math.SQRT2 / 4, Math.SQRT2 / 4], 2)
  const wise = ppoPolicyLoss(inputs, { ratioLevel: 'sequence', sequenceGradient: 'token' })
  allNear(wise.gradLogprob.data.map(Math.abs), [0, Math.SQRT2 / 2], 2)
  const stats = readStats(direct)
  assert.equal(stats.clipFractionHigh, 0.5)
  near(stats.ratioMean, Math.SQRT2, 2)
})

test('with one advantage per sequence both gradients of a sequence ratio have the same total', () => {
  const logprob = { data: normals(1, 3 * 8, 0.1), shape: [3, 8] }
  const oldLogprob = { data: normals(2, 3 * 8, 0.1), shape: [3, 8] }
  const advantage = rows(new Array(8).fill(1), new Array(8).fill(-2), new Array(8).fill(0.5))
  const total = (sequenceGradient: 'direct' | 'token') => {
    const inputs = { logprob, oldLogprob, advantage }
    const { data } = ppoPolicyLoss(inputs, { ratioLevel: 'sequence', sequenceGradient }).gradLogprob
    return [0, 1, 2].map((b) => data.subarray(8 * b, 8 * b + 8).reduce((a, x) => a + x, 0))
  }
  allNear(total('token'), total('direct'), 8)
})

const batch = (seed: number, N: number) => ({
  logprob: normals(seed, N, 0.3),
  oldLogprob: normals(seed + 1, N, 0.3),
  advantage: normals(seed + 2, N),
})

test('packed sequences equal padded ones bit for bit', () => {
  const packed = batch(10, 9)
  const pad = (x: Float32Array) =>
    rows([...x.subarray(0, 4), Number.NaN], new Array(5).fill(Number.NaN), [...x.subarray(4)])
  const padded = {
    logprob: pad(packed.logprob),
    oldLogprob: pad(packed.oldLogprob),
    advantage: pad(packed.advantage),
    valid: mask([1, 1, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]),
  }
  for (const aggregate of ['token-mean', 'sequence-mean', 'sequence-mean-token-sum', 'token-sum'] as const) {
    for (const ratioLevel of ['token', 'sequence'] as const) {
      const options = { aggregate, ratioLevel, dualClip: 1.5 }
      const short = ppoPolicyLoss({ ...packed, offsets: i32(0, 4, 4, 9) }, options)
      const long = ppoPolicyLoss(padded, options)
      assert.equal(long.loss.item(), short.loss.item())
      sameBits(long.stats.data, short.stats.data)
      const { data } = long.gradLogprob
      sameBits([...data.subarray(0, 4), ...data.subarray(10)], short.gradLogprob.data)
      sameBits(data.subarray(4, 10), zeros(6))
    }
  }
})

test('micro-batches with a normalizer add up to the full batch', () => {
  const whole = batch(20, 48)
  const part = (from: number, to: number) =>
    ppoPolicyLoss(
      {
        logprob: whole.logprob.slice(from, to),
        oldLogprob: whole.oldLogprob.slice(from, to),
        advantage: whole.advantage.slice(from, to),
      },
      { normalizer: 48 },
    )
  const full = ppoPolicyLoss(whole)
  const parts = [part(0, 20), part(20, 48)]
  near(parts[0].loss.item() + parts[1].loss.item(), full.loss.item(), 8)
  allNear([...parts[0].gradLogprob.data, ...parts[1].gradLogprob.data], full.gradLogprob.data)
  const merged = readStats(mergeStats(...parts))
  const figures = readStats(full)
  for (const name of ['loss', 'approxKl', 'ratioMean']) near(merged[name], figures[name], 16, name)
  for (const name of ['count', 'clipFraction', 'ratioMin', 'ratioMax']) assert.equal(merged[name], figures[name], name)
})

test('nothing valid is a loss of 0 with gradients of 0', () => {
  const result = ppoPolicyLoss({ ...batch(30, 3), valid: u8(0, 0, 0) })
  assert.equal(result.loss.item(), 0)
  sameBits(result.gradLogprob.data, zeros(3))
  assert.equal(readStats(result).count, 0)
})

test('gradients can be scaled and added to what is there', () => {
  const inputs = { logprob: zeros(2), oldLogprob: zeros(2), advantage: f32(-1, -2) }
  const held = f32(10, 20)
  const options = { gradScale: 4, accumulate: true }
  const { loss } = ppoPolicyLoss(inputs, options, { out: { gradLogprob: held } })
  sameBits(held, [10 + 2, 20 + 4])
  assert.equal(loss.item(), 1.5)
})

test('a flat tensor has no sequences', () => {
  const inputs = batch(40, 4)
  assert.throws(() => ppoPolicyLoss(inputs, { aggregate: 'sequence-mean' }), refusal('ERR_ARGUMENT', 'aggregate'))
  assert.throws(() => ppoPolicyLoss(inputs, { ratioLevel: 'sequence' }), refusal('ERR_ARGUMENT', 'ratioLevel'))
})
