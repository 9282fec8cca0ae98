import type { RandomSource, Reference, Sample } from '../types.ts'
import { f32, normals, seeded, spread } from './common.ts'

const pair = (random: RandomSource, shape: readonly number[]) => ({
  x: normals(random, shape),
  y: normals(random, shape),
})

function samples(): Sample[] {
  const random = seeded(82)
  return [
    { name: 'one number, default alpha', inputs: pair(random, [1]) },
    { name: 'nothing', inputs: pair(random, [0]), options: { alpha: 2 } },
    { name: 'one more than a vector', inputs: pair(random, [17]), options: { alpha: -0.5 } },
    { name: 'alpha that f32 cannot hold', inputs: pair(random, [3, 33]), options: { alpha: 1 / 3 } },
    { name: 'alpha 0 leaves y', inputs: pair(random, [20]), options: { alpha: 0 } },
    { name: 'one more than a chunk', inputs: pair(random, [16385]), options: { alpha: 1e-3 } },
    {
      name: 'values of very different sizes',
      inputs: { x: spread(random, [99], 15), y: spread(random, [99], 15) },
      options: { alpha: -123.456 },
    },
    {
      name: 'terms that cancel',
      inputs: { x: f32([1e8, 3, 7], [3]), y: f32([-2e8, -6, -14.000001], [3]) },
      options: { alpha: 2 },
    },
  ]
}

/** BLAS axpy: `y += alpha x`. */
export const reference: Reference = {
  samples,
  random: (random) => ({
    name: 'random',
    inputs: pair(random, [random.integer(0, 70)]),
    options: { alpha: random.normal() },
  }),
  compute: ({ x, y }, options) => ({
    y: { data: Float64Array.from(y.data, (value, at) => value + Number(options.alpha) * x.data[at]), shape: y.shape },
  }),
  tolerances: {
    y: {
      ulp: 3,
      reason: 'alpha, its product and the sum may each be rounded',
      magnitude: ({ x, y }, options) =>
        Float64Array.from(y.data, (value, at) =>
          Math.max(Math.abs(value), Math.abs(Number(options.alpha) * x.data[at])),
        ),
    },
  },
}
