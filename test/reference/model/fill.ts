import type { Reference, Sample } from '../types.ts'
import { f32, normals, seeded } from './common.ts'

function samples(): Sample[] {
  const random = seeded(83)
  return [
    { name: 'one number, default value', inputs: { x: normals(random, [1]) } },
    { name: 'nothing', inputs: { x: normals(random, [0]) }, options: { value: 1 } },
    { name: 'a value that f32 cannot hold', inputs: { x: normals(random, [17]) }, options: { value: 1 / 3 } },
    { name: 'two dimensions', inputs: { x: normals(random, [3, 33]) }, options: { value: -7.5 } },
    { name: 'one more than a chunk', inputs: { x: normals(random, [16385]) }, options: { value: 1e-40 } },
    {
      name: 'what was there does not matter',
      inputs: { x: { data: [Number.NaN, Infinity, -1], shape: [3] } },
      options: { value: 3e38 },
    },
  ]
}

/** `x_i = value`. */
export const reference: Reference = {
  samples,
  random: (random) => ({
    name: 'random',
    inputs: { x: normals(random, [random.integer(0, 70)]) },
    options: { value: random.normal() },
  }),
  compute: ({ x }, options) => ({
    x: f32(
      Array.from(x.data, () => Number(options.value)),
      x.shape,
    ),
  }),
  tolerances: { x: { ulp: 0, reason: 'the value, rounded to f32 once' } },
}
