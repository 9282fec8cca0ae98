/**
 * How far f32 attention may be from float64: a first-order analysis of each step, added up along the way. It holds for
 * any order of the sums over keys and for online softmax; it fails for half precision or a wrong term.
 */
import type { Inputs, Options } from '../types.ts'
import { headsOf, type Key, queries } from './attention.ts'
import { SMALLEST_NORMAL, UNIT, zeros } from './common.ts'
import { pairSizes } from './rotation.ts'

/** Relative error of `e^(score - shift)`: that of the score, and of an exponential whose argument was rounded. */
const exponentialError = ({ score, scoreBound }: Key, shift: number): number =>
  Math.expm1(scoreBound + UNIT * (Math.abs(score) + 2 * Math.abs(score - shift) + Math.abs(shift) + 4))

/** Bounds of `y` and `logSum`. */
export function forwardBounds(inputs: Inputs, options: Options): { y: Float64Array; logSum: Float64Array } {
  const { query, value } = inputs
  const { heads, size } = headsOf(query, options)
  const y = zeros(query.shape).data
  const logSum = new Float64Array(y.length / size)
  for (const { token, head, start, keys } of queries(inputs, options)) {
    const max = keys.reduce((largest, { score }) => Math.max(largest, score), -Infinity)
    const sum = keys.reduce((total, { score }) => total + Math.exp(score - max), 0)
    const logarithm = max + Math.log(sum)
    // Every sum over keys: one rounding per key, and a few for rescaling and the quotient.
    const summation = UNIT * (2 * keys.length + 8)
    const seen = keys.map((key) => ({
      start: key.start,
      p: Math.exp(key.score - max) / sum,
      error: exponentialError(key, max),
    }))
    for (let i = start; i < start + size; i++) {
      const mean = seen.reduce((total, key) => total + key.p * value.data[key.start + i - start], 0)
      for (const { start: at, p, error } of seen) {
        const v = value.data[at + i - start]
        y[i] += (p * summation + SMALLEST_NORMAL) * Math.abs(v) + p * error * Math.abs(v - mean)
      }
    }
    logSum[token * heads + head] =
      seen.reduce((total, { p, error }) => total + p * error, summation) +
      2 * UNIT * (Math.abs(logarithm) + Math.abs(max))
  }
  return { y, logSum }
}

/** A sum that grows in f32: error inherited by its terms, and the sizes that one rounding per term falls on. */
interface Running {
  inherited: Float64Array
  sizes: Float64Array
  terms: Float64Array
}

const running = (shape: readonly number[]): Running => ({
  inherited: zeros(shape).data,
  sizes: zeros(shape).data,
  terms: zeros(shape).data,
})

function addTo(to: Running, at: number, size: number, error: number): void {
  to.sizes[at] += size
  to.inherited[at] += error
  to.terms[at]++
}

/** Two roundings per term of a product, one per addition. */
const boundOf = ({ inherited, sizes, terms }: Running): Float64Array =>
  inherited.map((error, at) => error + UNIT * (terms[at] + 3) * sizes[at])

/** Turning back a gradient adds its pair's errors, and 4 roundings of its pair's sizes. */
function turnedBack(bound: Float64Array, sizes: Float64Array, size: number): Float64Array {
  const turned = new Float64Array(bound.length)
  for (let start = 0; start < bound.length; start += size) {
    const errors = pairSizes(bound.subarray(start, start + size))
    const magnitudes = pairSizes(sizes.subarray(start, start + size))
    for (let i = 0; i < size; i++) turned[start + i] = errors[i] + 4 * UNIT * magnitudes[i]
  }
  return turned
}

/** Bounds of the three gradients. */
export function backwardBounds(inputs: Inputs, options: Options): Record<string, Float64Array> {
  const { gradY, query, key, value, y, logSum } = inputs
  const { heads, size, scale } = headsOf(query, options)
  const gradQuery = running(query.shape)
  const gradKey = running(key.shape)
  const gradValue = running(value.shape)
  for (const { token, head, start, rotated, keys } of queries(inputs, options)) {
    const shift = logSum.data[token * heads + head]
    const queryError = pairSizes(rotated)
    for (const seen of keys) {
      const p = Math.exp(seen.score - shift)
      const pError = p * exponentialError(seen, shift) + SMALLEST_NORMAL
      let difference = 0
      let sizes = 0
      for (let i = 0; i < size; i++) {
        const [g, v, mean] = [gradY.data[start + i], value.data[seen.start + i], y.data[start + i]]
        difference += g * (v - mean)
        sizes += Math.abs(g) * (Math.abs(v) + Math.abs(mean))
      }
      const gradScore = Math.abs(p * difference)
      const gradScoreError = pError * Math.abs(difference) + p * UNIT * (size + 2) * sizes
      const keyError = pairSizes(seen.rotated)
      for (let i = 0; i < size; i++) {
        const [q, k, g] = [Math.abs(rotated[i]), Math.abs(seen.rotated[i]), Math.abs(gradY.data[start + i])]
        const turning = 4 * UNIT * scale * gradScore
        addTo(gradQuery, start + i, scale * gradScore * k, scale * gradScoreError * k + turning * keyError[i])
        addTo(gradKey, seen.start + i, scale * gradScore * q, scale * gradScoreError * q + turning * queryError[i])
        addTo(gradValue, seen.start + i, p * g, pError * g)
      }
    }
  }
  return {
    gradQuery: turnedBack(boundOf(gradQuery), gradQuery.sizes, size),
    gradKey: turnedBack(boundOf(gradKey), gradKey.sizes, size),
    gradValue: boundOf(gradValue),
  }
}
