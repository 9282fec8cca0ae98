import type { RandomSource, Reference, Sample } from '../types.ts'
import { f32, normals, seeded, spread } from './common.ts'

const pair = (random: RandomSource, shape: readonly number[]) => ({
  x: normals(random, shape),
  y: normals(random, shape),
})

function samples(): Sample[] {
  const random = seeded(81)
  return [
    { name: 'one number', inputs: pair(random, [1]) },
    { name: 'nothing', inputs: pair(random, [0]) },
    { name: 'one more than a vector', inputs: pair(random, [17]) },
    { name: 'three dimensions', inputs: pair(random, [3, 5, 7]) },
    { name: 'one more than a chunk', inputs: pair(random, [16385]) },
    { name: 'values of very different sizes', inputs: { x: spread(random, [99], 20), y: spread(random, [99], 20) } },
    {
      name: 'infinities, NaN, overflow, subnormals',
      inputs: {
        x: { data: [Infinity, Infinity, Number.NaN, 3e38, 2 ** -149, 1.5 * 2 ** -126, 1], shape: [7] },
        y: { data: [1, -Infinity, 1, 3e38, 2 ** -149, -(2 ** -126), -1], shape: [7] },
      },
    },
  ]
}

/** `z = x + y`. */
export const reference: Reference = {
  samples,
  random: (random) => ({ name: 'random', inputs: pair(random, [random.integer(0, 70)]) }),
  compute: ({ x, y }) => ({
    // Rounding an f64 sum of two f32 gives the f32 sum: 53 >= 2 * 24 + 2 bits.
    z: f32(
      Array.from(x.data, (value, at) => value + y.data[at]),
      x.shape,
    ),
  }),
  tolerances: { z: { ulp: 0, reason: 'one correctly rounded addition' } },
}
