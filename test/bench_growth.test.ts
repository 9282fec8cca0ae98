/** How cost grows: which sizes, what is fitted, what is said, and what is drawn. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { families } from '../bench/cases/index.ts'
import { formatBytes, formatCount, formatTime, logAxis } from '../bench/growth_chart.ts'
import { fitGrowth, growthSentence, idealTime, memorySentence, slope, steepSentences } from '../bench/growth_fit.ts'
import { sizeAt, sweepsOf, tooMuch } from '../bench/growth_plan.ts'
import { growthSvg } from '../bench/growth_plot.ts'
import type { GrowthCurve, GrowthPoint } from '../bench/growth_types.ts'

const time = (threads: number, ms: number) => ({ threads, min: ms, median: ms, p20: ms, p80: ms })

/** Times of `ms(size)` at 1, 10, ... 10^6, a byte for each unit of size. */
const curveOf = (ms: (size: number) => number, more: Partial<GrowthPoint> = {}): GrowthCurve => {
  const points = [0, 1, 2, 3, 4, 5, 6].map((power): GrowthPoint => {
    const size = 10 ** power
    return { size, shape: String(size), amount: size, tensorBytes: 8 * size, times: [time(1, ms(size))], ...more }
  })
  const curve = {
    ...{ op: 'sum', letter: 'N', dtype: 'f32', fixed: '', unit: 'GB/s' as const, stopped: 'more than 1 s a call' },
    // A byte a nanosecond is 1e-6 ms.
    ceiling: { kind: 'read' as const, rates: [{ threads: 1, rate: 1 }] },
    points,
  }
  return { ...curve, fits: fitGrowth(curve) }
}

describe('bench growth', () => {
  test('a slope is that of the line through its points', () => {
    const line = [1, 2, 3].map((x) => [x, 5 - 2 * x] as const)
    assert.equal(slope(line), -2)
    assert.equal(slope([[1, 1]]), undefined)
  })

  test('the power is found beneath what every call costs, and the ideal is the smallest call and the bytes', () => {
    const linear = curveOf((size) => 0.001 + size * 2e-6)
    assert.ok(Math.abs(linear.fits[0].exponent! - 1) < 0.01, `${linear.fits[0].exponent}`)
    const ideal = idealTime(linear, linear.points[6], 1)!
    assert.ok(Math.abs(ideal - (linear.points[0].times[0].median + (1e6 - 1) * 1e-6)) < 1e-9)
    assert.ok(Math.abs(linear.fits[0].overIdeal! - 2) < 0.01)
    assert.deepEqual(steepSentences([linear]), [])
  })

  test('what grows faster than its size is said', () => {
    const square = curveOf((size) => 0.001 + size ** 2 * 1e-9)
    assert.deepEqual(steepSentences([square]), ['`sum` grows as N^2.00 on 1 thread: faster than its size.'])
    assert.match(growthSentence(square), /up to N = 1000000 \(then: more than 1 s a call\): N\^2\.00/)
  })

  test('three sizes are enough for a power, if the last costs several times the first', () => {
    const curve = curveOf((size) => 10 + size)
    const few = { ...curve, points: curve.points.slice(0, 4) }
    assert.ok(Math.abs(fitGrowth(few)[0].exponent! - 1) < 0.2)
    assert.equal(fitGrowth({ ...curve, points: curve.points.slice(0, 2) })[0].exponent, undefined)
  })

  test('times that never leave the cost of a call have no power', () => {
    const flat = curveOf(() => 0.001)
    assert.equal(flat.fits[0].exponent, undefined)
    assert.match(growthSentence(flat), /the call outweighs the work/)
  })

  test('the most memory beside the tensors is said, small tensors aside', () => {
    const curve = curveOf((size) => size)
    assert.equal(memorySentence(curve), undefined)
    for (const point of curve.points) point.peakBytes = 2 * point.tensorBytes!
    curve.points[0].peakBytes = 1e9
    assert.equal(memorySentence(curve), '`sum` against N: peak memory 2.00 times its tensors at most (N = 1000000)')
  })

  test('sizes go 1, 3, 10, 30 until the next would be too much for memory or time', () => {
    assert.deepEqual([0, 1, 2, 3, 4].map(sizeAt), [1, 3, 10, 30, 100])
    const limits = { bytes: 2 ** 20, ms: 1000 }
    assert.equal(tooMuch({ size: 10, bytes: 1000, ms: 1 }, 30, limits), undefined)
    assert.match(tooMuch({ size: 10, bytes: 2 ** 19, ms: 1 }, 30, limits)!, /more than 1 MiB/)
    assert.match(tooMuch({ size: 10, bytes: 1, ms: 500 }, 30, limits)!, /more than 1 s a call/)
  })

  test('every op has a sweep for each of its sizes, and a whole model for those of its batch', () => {
    for (const family of families) {
      const sweeps = sweepsOf(family)
      for (const { letter, shapeAt } of sweeps) {
        const place = family.letters.split('x').indexOf(letter)
        assert.equal(shapeAt(77)[place], 77)
        assert.equal(shapeAt(77).length, family.letters.split('x').length)
      }
      assert.ok(sweeps.length > 0, family.op)
    }
    const step = families.find(({ op }) => op === 'ppoStep')!
    assert.deepEqual(
      sweepsOf(step).map(({ letter, fixed }) => `${letter} at ${fixed}`),
      ['B at M = 1, T = 64', 'T at M = 1, B = 8'],
    )
  })

  test('an axis spans whole decades, and labels keep their unit', () => {
    const axis = logAxis([3, 400], 0, 100, 9)
    assert.deepEqual(axis.ticks, [1, 10, 100, 1000])
    assert.equal(Math.round(axis.toPixel(10)), 33)
    assert.deepEqual(logAxis([1, 1e9], 0, 90, 4).ticks, [1, 1e3, 1e6, 1e9])
    assert.deepEqual(logAxis([5, 5], 0, 1, 9).ticks, [1, 10])
    assert.deepEqual([30, 1000, 3_200_000].map(formatCount), ['30', '1 k', '3.2 M'])
    assert.deepEqual([2.5e-4, 0.001, 3.2, 10_000].map(formatTime), ['250 ns', '1 µs', '3.2 ms', '10 s'])
    assert.deepEqual([512, 2e6].map(formatBytes), ['512 B', '2 MB'])
  })

  test('a plot has its axes, the ideal line and a legend, and no number that is none', () => {
    const curve = curveOf((size) => 0.001 + size * 2e-6, { overheads: [{ way: 'prepared', ms: -1 }], peakBytes: 1e6 })
    const svg = growthSvg([curve])
    for (const text of [
      'sum: time of a call',
      '1 thread',
      'ideal (read), 1 thread',
      'peak of a fresh process',
      '100 µs',
    ]) {
      assert.ok(svg.includes(`>${text}<`), text)
    }
    assert.ok(!/NaN|Infinity|undefined/.test(svg))
    // Three panels in two rows, of which the last says that a negative overhead cannot be drawn.
    assert.match(svg, /^<svg [^>]*viewBox="0 0 700 592"/)
    assert.ok(svg.includes('>not measured<'))
  })
})
