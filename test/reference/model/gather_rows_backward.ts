import type { Inputs, RandomSource, Reference, Sample } from '../types.ts'
import { chainBound, f32, i32, inner, integers, lastOf, normals, seeded, sizeOf, zeros } from './common.ts'
import { reference as gatherRows } from './gather_rows.ts'

const call = (random: RandomSource, M: number, H: number, picked: readonly number[]): Sample => ({
  name: 'random',
  inputs: { gradY: normals(random, [...picked, H]), rows: integers(random, picked, 0, M - 1) },
  options: { count: M },
})

function samples(): Sample[] {
  const random = seeded(24)
  return [
    { ...call(random, 1, 1, [1]), name: 'one row, one number' },
    { ...call(random, 4, 3, [0]), name: 'nothing was picked: all rows are 0' },
    { ...call(random, 3, 17, [25]), name: 'rows picked many times' },
    { ...call(random, 270, 6, [4, 5]), name: 'several blocks of rows, most of them never picked' },
    {
      name: 'large gradients that cancel',
      inputs: { gradY: f32([-3e9, 7, 3e9], [3, 1]), rows: i32([1, 1, 1]) },
      options: { count: 2 },
    },
    { ...call(random, 2, 3, [300]), name: 'rows picked a hundred times' },
    { ...call(random, 4, 260, [9]), name: 'rows of whole vectors' },
  ]
}

const termsOf = ({ gradY, rows }: Inputs, row: number, h: number): number[] => {
  const terms: number[] = []
  for (let n = 0; n < sizeOf(rows.shape); n++) {
    if (rows.data[n] === row) terms.push(gradY.data[n * lastOf(gradY) + h])
  }
  return terms
}

/** `gradX_m` = sum over i with `rows_i = m` of `gradY_i`, in order. */
export const reference: Reference = {
  samples,
  random: (random) => call(random, random.integer(1, 9), random.integer(1, 20), [random.integer(0, 12)]),
  compute(inputs, options) {
    const H = lastOf(inputs.gradY)
    const gradX = zeros([Number(options.count), H])
    for (let at = 0; at < gradX.data.length; at++) {
      for (const term of termsOf(inputs, Math.floor(at / H), at % H)) gradX.data[at] += term
    }
    return { gradX }
  },
  tolerances: {
    gradX: {
      ulp: 0,
      reason: 'at most one f32 rounding per use of the row, in order',
      extra(inputs, options) {
        const H = lastOf(inputs.gradY)
        return zeros([Number(options.count), H]).data.map((_, at) => {
          const terms = termsOf(inputs, Math.floor(at / H), at % H)
          return terms.length < 2 ? 0 : chainBound(terms.length, (k) => terms[k])
        })
      },
    },
  },
  derivative: {
    objective: ({ gradY, rows, x }, options) => inner(gradY, gatherRows.compute({ rows, x }, options).y),
    gradients: { gradX: 'x' },
  },
}
