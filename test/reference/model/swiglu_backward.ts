import type { Inputs, RandomSource, Reference, Sample } from '../types.ts'
import { f32, normals, SMALLEST_NORMAL, seeded, zeros } from './common.ts'
import { GATES, sigmoid, reference as swiglu } from './swiglu.ts'

const call = (random: RandomSource, shape: readonly number[], scale = 1): Inputs => ({
  gradY: normals(random, shape),
  gate: normals(random, shape, scale),
  up: normals(random, shape),
})

function samples(): Sample[] {
  const random = seeded(42)
  const finite = GATES.filter((gate) => Math.abs(gate) < 1e30)
  return [
    { name: 'one number', inputs: call(random, [1, 1]) },
    { name: 'no rows', inputs: call(random, [0, 4]) },
    { name: 'narrower than a vector', inputs: call(random, [5, 3]) },
    { name: 'leading dimensions, one more than a vector', inputs: call(random, [2, 2, 17], 4) },
    { name: 'a wide row', inputs: call(random, [2, 515], 10), skipGradients: 'too many elements' },
    {
      name: 'gates from -1e4 to 200',
      inputs: {
        gradY: f32(
          finite.map((_, i) => (i % 3 ? 1 : -0.5)),
          [1, finite.length],
        ),
        gate: f32(finite, [1, finite.length]),
        up: f32(
          finite.map((_, i) => (i % 2 ? -2 : 1.5)),
          [1, finite.length],
        ),
      },
      skipGradients: 'slopes of 1e-30 beside slopes of 1',
    },
  ]
}

/** Shazeer 2020 (arXiv:2002.05202) eq. 6, with s = sigmoid(gate): `s + gate s (1 - s)` is the slope of `gate s`. */
export const reference: Reference = {
  samples,
  random: (random) => ({ name: 'random', inputs: call(random, [random.integer(1, 3), random.integer(1, 12)], 4) }),
  compute({ gradY, gate, up }) {
    const gradGate = zeros(gate.shape)
    const gradUp = zeros(gate.shape)
    for (let at = 0; at < gradUp.data.length; at++) {
      const s = sigmoid(gate.data[at])
      // 1 - s as sigmoid(-gate): no digits lost where s is close to 1.
      gradGate.data[at] = gradY.data[at] * up.data[at] * s * (1 + gate.data[at] * sigmoid(-gate.data[at]))
      gradUp.data[at] = gradY.data[at] * gate.data[at] * s
    }
    return { gradGate, gradUp }
  },
  tolerances: {
    gradGate: {
      ulp: 10,
      reason: 'a sigmoid within 4 ULP used twice, and four products; 1 + gate (1 - s) cancels near gate = -1.28',
      magnitude: ({ gradY, gate, up }) =>
        Float64Array.from(
          gate.data,
          (x, at) => Math.abs(gradY.data[at] * up.data[at]) * sigmoid(x) * (1 + Math.abs(x)),
        ),
      extra: ({ gradY, gate, up }) =>
        Float64Array.from(
          gate.data,
          (x, at) => Math.abs(gradY.data[at] * up.data[at]) * (1 + Math.abs(x)) * SMALLEST_NORMAL,
        ),
    },
    gradUp: {
      ulp: 6,
      reason: 'exp within 1 ULP, its sum with 1, a quotient and two products; extra: a sigmoid below f32 may be 0',
      extra: ({ gradY, gate }) =>
        Float64Array.from(gate.data, (x, at) => Math.abs(gradY.data[at] * x) * SMALLEST_NORMAL),
    },
  },
  derivative: {
    objective({ gradY, gate, up }, options) {
      const { y } = swiglu.compute({ gate, up }, options)
      return Array.from(y.data).reduce((sum, value, at) => sum + value * gradY.data[at], 0)
    },
    gradients: { gradGate: 'gate', gradUp: 'up' },
  },
}
