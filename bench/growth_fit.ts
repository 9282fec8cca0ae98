/** What a few times at growing sizes say: the power that they grow with, and how far they are from ideal. */
import type { GrowthCurve, GrowthFit, GrowthPoint } from './growth_types.ts'
import { threadsText } from './text.ts'

const timeOf = (point: GrowthPoint, threads: number): number | undefined =>
  point.times.find((time) => time.threads === threads)?.median

/** Slope of a line through points by least squares; undefined below two different x. */
export const slope = (points: readonly (readonly [x: number, y: number])[]): number | undefined => {
  const [meanX, meanY] = [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length)
  let [above, below] = [0, 0]
  for (const [x, y] of points) {
    above += (x - meanX) * (y - meanY)
    below += (x - meanX) ** 2
  }
  return below > 0 ? above / below : undefined
}

/** Milliseconds of a call that does nothing but its work at the ceiling's rate, beside what the smallest call takes. */
export const idealTime = (curve: GrowthCurve, point: GrowthPoint, threads: number): number | undefined => {
  const rate = curve.ceiling?.rates.find((one) => one.threads === threads)?.rate
  const least = timeOf(curve.points[0], 1) ?? timeOf(curve.points[0], threads)
  if (rate === undefined || least === undefined) return undefined
  return Math.max(least, 0) + (point.amount - curve.points[0].amount) / (rate * 1e6)
}

/** Work outweighs the call from this many times the least time on. */
const OUTWEIGHS = 5
/** The power is that of the last sizes: caches end somewhere before them. */
const LAST_SIZES = 5

/**
 * Fits each number of threads. The exponent is the slope, both axes logarithmic, of the time beyond the smallest call's
 * over the largest sizes; there is none when the largest does not outweigh the call.
 */
export const fitGrowth = (curve: Omit<GrowthCurve, 'fits'>): GrowthFit[] => {
  const threads = [...new Set(curve.points.flatMap(({ times }) => times.map((time) => time.threads)))]
  return threads.map((count): GrowthFit => {
    const timed = curve.points.flatMap((point) => {
      const ms = timeOf(point, count)
      return ms === undefined ? [] : [{ point, ms }]
    })
    const least = timed[0].ms
    const last = timed[timed.length - 1]
    const all = timed.filter(({ ms }) => ms > OUTWEIGHS * least).slice(-LAST_SIZES)
    // Whole models have few sizes, and their smallest is no mere call to take away.
    const [grown, base] = all.length < 3 ? [timed.slice(-3), 0] : [all, least]
    const exponent =
      grown.length < 3 || last.ms <= OUTWEIGHS * least
        ? undefined
        : slope(grown.map(({ point, ms }) => [Math.log(point.size), Math.log(ms - base)] as const))
    const ideal = idealTime({ ...curve, fits: [] }, last.point, count)
    return {
      threads: count,
      ...(exponent === undefined ? {} : { exponent }),
      ...(ideal === undefined ? {} : { overIdeal: last.ms / ideal }),
    }
  })
}

/** A power above this is more than a cache that ends: the cost grows faster than the size. */
const STEEP = 1.3

/** What a curve says, in one line. */
export const growthSentence = ({ op, letter, fixed, points, fits, stopped }: GrowthCurve): string => {
  const said = fits.map(({ threads, exponent, overIdeal }) => {
    const power = exponent === undefined ? 'the call outweighs the work' : `${letter}^${exponent.toFixed(2)}`
    return `${power}${overIdeal === undefined ? '' : `, ${overIdeal.toFixed(2)} times the ideal at the end`} (${threadsText(threads)})`
  })
  const last = points[points.length - 1]
  const at = fixed === '' ? '' : ` at ${fixed}`
  return `\`${op}\` against ${letter}${at}, up to ${letter} = ${last.size} (then: ${stopped}): ${said.join('; ')}`
}

/** Curves that cost more than their share, as sentences. */
export const steepSentences = (curves: readonly GrowthCurve[]): string[] =>
  curves.flatMap(({ op, letter, fits }) =>
    fits.flatMap(({ threads, exponent }) =>
      exponent !== undefined && exponent > STEEP
        ? [`\`${op}\` grows as ${letter}^${exponent.toFixed(2)} on ${threadsText(threads)}: faster than its size.`]
        : [],
    ),
  )

/** Tensors below this many bytes drown in what a process needs anyway. */
const WORTH_BYTES = 2 ** 22

/** The most that a call needs beside its tensors, as a share of them, as a sentence; undefined: not measured. */
export const memorySentence = ({ op, letter, points }: GrowthCurve): string | undefined => {
  const measured = points.flatMap(({ size, peakBytes, tensorBytes = 0 }) =>
    peakBytes === undefined || tensorBytes < WORTH_BYTES ? [] : [{ size, share: peakBytes / tensorBytes }],
  )
  if (measured.length === 0) return undefined
  const most = measured.reduce((found, one) => (one.share > found.share ? one : found))
  return `\`${op}\` against ${letter}: peak memory ${most.share.toFixed(2)} times its tensors at most (${letter} = ${most.size})`
}
