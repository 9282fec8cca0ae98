import type { Inputs, RandomSource, Reference, Sample } from '../types.ts'
import { f32, laneDepth, lastOf, normals, rowsOf, seeded, spread, UNIT, zeros } from './common.ts'

const rows = (random: RandomSource, leading: readonly number[], H: number, scale = 1): Inputs => ({
  x: normals(random, [...leading, H], scale),
  weight: normals(random, [H]),
})

function samples(): Sample[] {
  const random = seeded(31)
  return [
    { name: 'one number', inputs: rows(random, [1], 1) },
    { name: 'no rows', inputs: rows(random, [0], 8) },
    { name: 'narrower than a vector', inputs: rows(random, [5], 3) },
    { name: 'one more than a vector', inputs: rows(random, [3], 17) },
    { name: 'leading dimensions', inputs: rows(random, [2, 4], 33) },
    { name: 'a wide row', inputs: rows(random, [2], 515) },
    { name: 'epsilon as large as the mean square', inputs: rows(random, [3], 20), options: { epsilon: 1 } },
    {
      name: 'a row of zeros: epsilon alone',
      inputs: { x: f32([0, 0, 0, 1, 2, 3], [2, 3]), weight: f32([1, 2, 3], [3]) },
    },
    { name: 'values of 1e17, whose squares still fit', inputs: rows(random, [2], 9, 1e17) },
    { name: 'values of 1e-20, whose squares vanish beside epsilon', inputs: rows(random, [2], 9, 1e-20) },
    {
      name: 'values of very different sizes',
      inputs: { x: spread(random, [4, 65], 8), weight: spread(random, [65], 3) },
    },
  ]
}

/** `1 / sqrt(mean(x^2) + epsilon)` of row n. */
function inverseRmsOf(x: Inputs[string], n: number, epsilon: number): number {
  const H = lastOf(x)
  let squares = 0
  for (let h = 0; h < H; h++) squares += x.data[n * H + h] ** 2
  return 1 / Math.sqrt(squares / H + epsilon)
}

/**
 * Share of `inverseRms` that f32 can be off: half that of the sum of squares (all positive, in 16 lanes), then one
 * rounding each for the mean, epsilon, root and quotient.
 */
export const inverseRmsError = (H: number): number => UNIT * (laneDepth(H) / 2 + 4)

/** Zhang & Sennrich 2019 (arXiv:1910.07467) eq. 4, with epsilon under the root. */
export const reference: Reference = {
  samples,
  random: (random) => ({ name: 'random', inputs: rows(random, [random.integer(1, 4)], random.integer(1, 40)) }),
  compute({ x, weight }, options) {
    const H = lastOf(x)
    const y = zeros(x.shape)
    const inverseRms = zeros(x.shape.slice(0, -1))
    for (let n = 0; n < rowsOf(x); n++) {
      inverseRms.data[n] = inverseRmsOf(x, n, Number(options.epsilon))
      for (let h = 0; h < H; h++) y.data[n * H + h] = x.data[n * H + h] * inverseRms.data[n] * weight.data[h]
    }
    return { y, inverseRms }
  },
  tolerances: {
    y: {
      ulp: 2,
      reason: 'two products; extra: the error of inverseRms',
      extra: ({ x }, _, { y }) => Float64Array.from(y.data, (value) => Math.abs(value) * inverseRmsError(lastOf(x))),
    },
    inverseRms: {
      ulp: 1,
      reason: 'stored in f32; extra: half the error of a sum of squares in 16 lanes, mean, epsilon, root, quotient',
      extra: ({ x }, _, { inverseRms }) => Float64Array.from(inverseRms.data, (s) => s * inverseRmsError(lastOf(x))),
    },
  },
}
