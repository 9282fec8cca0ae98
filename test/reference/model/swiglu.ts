import type { Inputs, RandomSource, Reference, Sample } from '../types.ts'
import { f32, normals, SMALLEST_NORMAL, seeded, zeros } from './common.ts'

const pair = (random: RandomSource, shape: readonly number[], scale = 1): Inputs => ({
  gate: normals(random, shape, scale),
  up: normals(random, shape),
})

/** Gates at which a careless exponential overflows, underflows or cancels. */
export const GATES = [
  0, -1.2784645, 1e-30, -1e-30, 17, -17, 30, -30, 80, -80, -87, -88.5, -89, -100, -104, 200, -1e4, 1e30, -1e30,
]

function samples(): Sample[] {
  const random = seeded(41)
  return [
    { name: 'one number', inputs: pair(random, [1, 1]) },
    { name: 'no rows', inputs: pair(random, [0, 4]) },
    { name: 'narrower than a vector', inputs: pair(random, [5, 3]) },
    { name: 'leading dimensions, one more than a vector', inputs: pair(random, [2, 3, 17], 4) },
    { name: 'a wide row', inputs: pair(random, [2, 515], 10) },
    {
      name: 'gates from -1e30 to 1e30',
      inputs: {
        gate: f32(GATES, [1, GATES.length]),
        up: f32(
          GATES.map((_, i) => (i % 2 ? -2 : 1.5)),
          [1, GATES.length],
        ),
      },
    },
  ]
}

/** `1 / (1 + e^-x)`. */
export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** Shazeer 2020 (arXiv:2002.05202) eq. 6: `y = gate sigmoid(gate) up`. */
export const reference: Reference = {
  samples,
  random: (random) => ({ name: 'random', inputs: pair(random, [random.integer(1, 4), random.integer(1, 40)], 5) }),
  compute({ gate, up }) {
    const y = zeros(gate.shape)
    for (let at = 0; at < y.data.length; at++) y.data[at] = gate.data[at] * sigmoid(gate.data[at]) * up.data[at]
    return { y }
  },
  tolerances: {
    y: {
      ulp: 6,
      reason: 'exp within 1 ULP, its sum with 1, a quotient and two products; extra: a sigmoid below f32 may be 0',
      extra: ({ gate, up }) =>
        Float64Array.from(gate.data, (value, at) => Math.abs(value * up.data[at]) * SMALLEST_NORMAL),
    },
  },
}
