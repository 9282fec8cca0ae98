import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Random } from '../lib/random.ts'
import {
  bootstrap,
  calibration,
  crossPairs,
  distinctNgrams,
  mean,
  type PairCounts,
  pairAccuracy,
  pearson,
  quantiles,
  repetitionRate,
  spearman,
  wilsonInterval,
  winRate,
} from '../lib/train/statistics.ts'

const near = (actual: number, expected: number, tolerance = 1e-12) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not within ${tolerance} of ${expected}`)
const higher = (a: number, b: number) => (Math.sign(a - b) + 1) / 2

describe('win rate', () => {
  test('every sample of one policy meets every sample of the other, prompt by prompt', () => {
    // Prompt 0: 3>1, 3>2, 2>1, 2=2. Prompt 1: 0<5.
    assert.deepEqual(crossPairs([[3, 2], [0]], [[1, 2], [5]], higher), [
      { wins: 3, ties: 1, losses: 0 },
      { wins: 0, ties: 0, losses: 1 },
    ])
  })

  test('ties count one half, or not at all', () => {
    const { tiesHalf, withoutTies, tieShare, pairs, prompts } = winRate(
      [
        { wins: 3, ties: 1, losses: 0 },
        { wins: 0, ties: 0, losses: 1 },
      ],
      { seed: 1 },
    )
    assert.equal(tiesHalf.value, (3 + 0.5) / 5)
    assert.equal(withoutTies.value, 3 / 4)
    assert.equal(tieShare, 1 / 5)
    assert.deepEqual([pairs, prompts], [5, 2])
    // Only three different resamples exist: {0,0} gives 3.5/4, {0,1} 0.7, {1,1} 0; 1/4 of them lie at each end.
    assert.deepEqual([tiesHalf.low, tiesHalf.high], [0, 3.5 / 4])
  })

  test('all ties give one half, and no number without them', () => {
    const { tiesHalf, withoutTies } = winRate([{ wins: 0, ties: 4, losses: 0 }], { seed: 1 })
    assert.deepEqual(tiesHalf, { value: 0.5, low: 0.5, high: 0.5 })
    assert.deepEqual(withoutTies, { value: Number.NaN, low: Number.NaN, high: Number.NaN })
  })

  test('swapping the policies gives one minus the rate', () => {
    const samples = fc.array(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 2, maxLength: 4 }), { minLength: 3 })
    fc.assert(
      fc.property(samples, (first) => {
        const second = first.map((values) => values.map((value) => (value * 7 + 1) % 4))
        const forward = winRate(crossPairs(first, second, higher), { seed: 1, resamples: 1 }).tiesHalf.value
        const backward = winRate(crossPairs(second, first, higher), { seed: 1, resamples: 1 }).tiesHalf.value
        near(forward, 1 - backward)
      }),
      { numRuns: 50 },
    )
  })

  test('the interval is of prompts, not of pairs: copying every pair leaves it as it is', () => {
    const prompts: PairCounts[] = Array.from({ length: 40 }, (_, i) => ({ wins: i % 4, ties: 1, losses: (i * 3) % 4 }))
    const copied = prompts.map(({ wins, ties, losses }) => ({ wins: 16 * wins, ties: 16 * ties, losses: 16 * losses }))
    assert.deepEqual(winRate(copied, { seed: 5 }).tiesHalf, winRate(prompts, { seed: 5 }).tiesHalf)
  })

  test('a preference outside 0 to 1 and two numbers of prompts are refused', () => {
    assert.throws(() => crossPairs([[1]], [[1]], () => Number.NaN), { code: 'ERR_BAD_VALUE', index: 0 })
    assert.throws(() => crossPairs([[1]], [], higher), { code: 'ERR_SHAPE' })
  })
})

describe('intervals', () => {
  test('the bootstrap of a mean agrees with the normal interval, and the seed decides it', () => {
    const values = Array.from({ length: 400 }, (_, i) => (i * 37) % 100)
    const { value, low, high } = bootstrap(values, mean, { seed: 3 })
    const deviation = Math.sqrt(mean(values.map((x) => (x - mean(values)) ** 2)))
    assert.equal(value, mean(values))
    // The standard error of an end of a 95 % interval from 2000 resamples is about 4 % of its half width.
    const half = (1.96 * deviation) / Math.sqrt(values.length)
    near((high - low) / 2, half, 0.15 * half)
    assert.deepEqual(bootstrap(values, mean, { seed: 3 }), { value, low, high })
    assert.notDeepEqual(bootstrap(values, mean, { seed: 4 }), { value, low, high })
  })

  test('the interval covers the truth about as often as it says', () => {
    let covered = 0
    for (let run = 0; run < 200; run++) {
      const random = new Random(1000 + run)
      const values = Array.from({ length: 60 }, () => random.next())
      const { low, high } = bootstrap(values, mean, { seed: run, resamples: 200 })
      if (low <= 0.5 && 0.5 <= high) covered++
    }
    // 190 expected; the standard deviation of a binomial of 200 at 95 % is 3.1.
    assert.ok(covered >= 180 && covered <= 199, `${covered} of 200`)
  })

  test('a bad level, no clusters and no resamples are refused', () => {
    assert.throws(() => bootstrap([], mean, { seed: 1 }), { code: 'ERR_ARGUMENT' })
    assert.throws(() => bootstrap([1], mean, { seed: 1, level: 95 }), { code: 'ERR_OPTION', value: 95 })
    assert.throws(() => bootstrap([1], mean, { seed: 1, resamples: 0 }), { code: 'ERR_OPTION' })
  })

  test("Wilson's interval for 8 of 10 at z = 2", () => {
    // z²/n = 0.4; centre (0.8 + 0.2)/1.4; spread 2·√(0.16/10 + 0.4/40)/1.4 = 2·√0.026/1.4
    const { value, low, high } = wilsonInterval(8, 10, 2)
    assert.equal(value, 0.8)
    near(low, (1 - 2 * Math.sqrt(0.026)) / 1.4)
    near(high, (1 + 2 * Math.sqrt(0.026)) / 1.4)
  })

  test("Wilson's interval stays in [0, 1] and is not empty at its ends", () => {
    assert.deepEqual([wilsonInterval(0, 5).low, wilsonInterval(5, 5).high], [0, 1])
    assert.ok(wilsonInterval(0, 5).high > 0.4 && wilsonInterval(5, 5).low < 0.6)
    assert.throws(() => wilsonInterval(6, 5), { code: 'ERR_OPTION', arg: 'successes' })
    assert.throws(() => wilsonInterval(0, 0), { code: 'ERR_OPTION', arg: 'trials' })
  })
})

describe('calibration', () => {
  test('the error is the gap of each bin weighted by its share', () => {
    // Bin [0, ½): 0.2 and 0.4, labels 0 and 1: means 0.3 and 0.5. Bin [½, 1]: 0.5 and 1, labels 1 and 1: 0.75 and 1.
    const { expectedError, bins } = calibration([0.2, 0.4, 0.5, 1], [0, 1, 1, 1], 2)
    near(expectedError, 0.5 * 0.2 + 0.5 * 0.25)
    assert.deepEqual(
      bins.map(({ count }) => count),
      [2, 2],
    )
    near(bins[0].predicted, 0.3)
    assert.equal(bins[1].observed, 1)
  })

  test('predictions equal to soft labels are perfectly calibrated, and an empty bin has no mean', () => {
    const soft = [0.05, 0.15, 0.55, 0.95]
    const { expectedError, bins } = calibration(soft, soft)
    assert.equal(expectedError, 0)
    assert.equal(bins.length, 10)
    assert.ok(Number.isNaN(bins[3].observed) && bins[3].count === 0)
  })

  test('what is no probability is refused with its place', () => {
    assert.throws(() => calibration([0.5, Number.NaN], [1, 1]), { code: 'ERR_BAD_VALUE', index: 1 })
    assert.throws(() => calibration([0.5], [2]), { code: 'ERR_BAD_VALUE', arg: 'labels', value: 2 })
    assert.throws(() => calibration([], []), { code: 'ERR_ARGUMENT' })
  })

  test('accuracy is over decided pairs, and an undecided prediction is half right', () => {
    // Right, wrong, half; the last pair is a tie and does not count.
    assert.deepEqual(pairAccuracy([0.9, 0.8, 0.5, 0.1], [0.7, 0.2, 1, 0.5]), { share: 0.5, correct: 1.5, total: 3 })
    assert.ok(Number.isNaN(pairAccuracy([0.9], [0.5]).share))
  })
})

describe('text', () => {
  test('distinct-2 of "a b a b" and "a b" is two of four', () => {
    // ab ba ab | ab: the different ones are ab and ba.
    assert.equal(distinctNgrams([[1, 2, 1, 2], Int32Array.of(1, 2)], 2), 2 / 4)
    assert.ok(Number.isNaN(distinctNgrams([[1]], 2)))
  })

  test('n-grams of different tokens are not confused', () => {
    assert.equal(
      distinctNgrams(
        [
          [1, 12],
          [11, 2],
        ],
        2,
      ),
      1,
    )
  })

  test('repetition is the share of n-grams that a sequence already had', () => {
    // "a b a b a": ab ba ab ba, two of four repeat; "a b c": none of two; "a" has no 2-gram and does not count.
    assert.equal(repetitionRate([[1, 2, 1, 2, 1], [1, 2, 3], [1]], 2), (0.5 + 0) / 2)
    assert.equal(repetitionRate([new Int32Array(50)], 3), 1 - 1 / 48)
  })
})

describe('correlation and quantiles', () => {
  test('Pearson of (1, 2, 3) and (1, 3, 2) is one half', () => {
    // Deviations (−1, 0, 1) and (−1, 1, 0): 1 / √(2 · 2)
    near(pearson([1, 2, 3], [1, 3, 2]), 0.5)
    assert.ok(Number.isNaN(pearson([1, 1], [1, 2])))
  })

  test('Spearman sees order only, and ties share their rank', () => {
    near(spearman([1, 2, 3], [1, 100, 1e6]), 1)
    near(spearman([1, 2, 3], [3, 2, 1]), -1)
    // Ranks (0, 1½, 1½, 3) and (0, 1, 2, 3), mean 1½: Σxy = 2¼ + 0 + 0 + 2¼, Σx² = 4½, Σy² = 2¼ + ¼ + ¼ + 2¼ = 5
    near(spearman([1, 5, 5, 9], [1, 2, 3, 4]), 4.5 / Math.sqrt(4.5 * 5))
  })

  test('the quantile of 0, 10, 20 at 0.25 lies at position 0.5', () => {
    assert.deepEqual(quantiles([20, 0, 10], [0, 0.25, 0.5, 1]), [0, 5, 10, 20])
    assert.throws(() => quantiles([], [0.5]), { code: 'ERR_ARGUMENT' })
    assert.throws(() => quantiles([1], [50]), { code: 'ERR_OPTION', value: 50 })
  })
})
