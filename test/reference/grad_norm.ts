/** gradNorm: sqrt(sum g^2). Squares of f32 numbers neither overflow nor vanish in f64. */
import { f32, normals, seeded } from './draw.ts'
import { output } from './numbers.ts'
import type { Inputs, Reference, Sample, Values } from './types.ts'

function compute(inputs: Inputs): Record<string, Values> {
  let sum = 0
  for (let i = 0; i < inputs.grad.data.length; i++) sum += inputs.grad.data[i] ** 2
  return { norm: output([Math.sqrt(sum)], [1]) }
}

function samples(): Sample[] {
  const random = seeded(13)
  const sizes = [0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 1000, 65535, 65536, 65537, 131073]
  const constant = (value: number, count: number): Inputs => ({ grad: f32(new Float64Array(count).fill(value)) })
  return [
    ...sizes.map((P) => ({ name: `P = ${P}`, inputs: { grad: f32(normals(random, P, 1e-3)) } })),
    { name: '3, 4', inputs: { grad: f32([3, 4]) } },
    { name: 'zeros', inputs: constant(0, 100) },
    { name: 'squares that vanish in f32', inputs: constant(1e-30, 50) },
    { name: 'subnormal gradients', inputs: constant(1e-40, 16) },
    { name: 'squares that overflow f32', inputs: constant(1e30, 50) },
    { name: 'a norm beyond f32', inputs: constant(3e38, 4) },
    { name: 'an infinite gradient', inputs: { grad: f32([1, Number.POSITIVE_INFINITY, 2]) } },
    {
      name: 'one large among many small',
      inputs: { grad: f32(Float64Array.from({ length: 70000 }, (_, i) => (i === 66000 ? 1e4 : 1e-4))) },
    },
  ]
}

export const reference: Reference = {
  samples,
  random: (random) => ({
    name: 'random gradients',
    inputs: { grad: f32(normals(random, random.integer(0, 100), 10 ** random.integer(-6, 6))) },
  }),
  compute,
  tolerances: { norm: { ulp: 1, reason: 'sum of squares and root in f64, rounded once' } },
}
