import type { Reference, Sample } from '../types.ts'
import { normals, seeded, spread } from './common.ts'

function samples(): Sample[] {
  const random = seeded(84)
  return [
    { name: 'one number', inputs: { x: normals(random, [1]) } },
    { name: 'nothing', inputs: { x: normals(random, [0]) } },
    { name: 'three dimensions', inputs: { x: spread(random, [3, 5, 7], 30) } },
    { name: 'one more than a chunk', inputs: { x: normals(random, [16385]) } },
    {
      name: 'infinities, NaN, zeros of both signs, subnormals',
      inputs: { x: { data: [Infinity, -Infinity, Number.NaN, 0, -0, 2 ** -149, -3 * 2 ** -140], shape: [7] } },
    },
  ]
}

/** `y = x`. */
export const reference: Reference = {
  samples,
  random: (random) => ({ name: 'random', inputs: { x: spread(random, [random.integer(0, 70)], 20) } }),
  compute: ({ x }) => ({ y: { data: Float64Array.from(x.data), shape: x.shape } }),
  tolerances: { y: { ulp: 0, reason: 'values are only moved' } },
}
