import type { Inputs, RandomSource, Reference, Sample } from '../types.ts'
import { chainBound, f32, i32, inner, integers, lastOf, normals, seeded, sizeOf, zeros } from './common.ts'
import { reference as embedding } from './embedding.ts'

const call = (random: RandomSource, V: number, H: number, positions: readonly number[]): Sample => ({
  name: 'random',
  inputs: { gradY: normals(random, [...positions, H]), ids: integers(random, positions, 0, V - 1) },
  options: { vocabularySize: V },
})

function samples(): Sample[] {
  const random = seeded(22)
  return [
    { ...call(random, 1, 1, [1]), name: 'one row, one number' },
    { ...call(random, 4, 3, [0]), name: 'no positions: all rows are 0' },
    { ...call(random, 3, 17, [40]), name: 'many positions share a row' },
    { ...call(random, 300, 5, [6, 7]), name: 'several blocks of the table, most rows untouched' },
    { ...call(random, 129, 33, [200]), name: 'one row more than a block' },
    {
      name: 'large gradients that cancel',
      inputs: { gradY: f32([1e8, 1, -1e8, 5], [4, 1]), ids: i32([2, 2, 2, 0]) },
      options: { vocabularySize: 3 },
    },
    {
      name: 'an id that half of 600 positions hold',
      inputs: {
        gradY: normals(random, [600, 40]),
        ids: i32(Array.from({ length: 600 }, () => (random.next() < 0.5 ? 257 : random.integer(0, 299)))),
      },
      options: { vocabularySize: 300 },
      skipGradients: 'too many elements',
    },
    { ...call(random, 700, 2, [3000]), name: 'two tiles of positions', skipGradients: 'too many elements' },
    {
      ...call(random, 9000, 1, [17000]),
      name: 'more positions than one merge joins',
      skipGradients: 'too many elements',
    },
  ]
}

/** Positions that hold each id, in order. */
function positionsOf({ ids }: Inputs, V: number): number[][] {
  const positions: number[][] = Array.from({ length: V }, () => [])
  for (let n = 0; n < sizeOf(ids.shape); n++) positions[ids.data[n]].push(n)
  return positions
}

/** `gradTable_v` = sum over i with `ids_i = v` of `gradY_i`, in order of position. */
export const reference: Reference = {
  samples,
  random: (random) => call(random, random.integer(1, 9), random.integer(1, 20), [random.integer(0, 12)]),
  compute(inputs, options) {
    const V = Number(options.vocabularySize)
    const H = lastOf(inputs.gradY)
    const gradTable = zeros([V, H])
    positionsOf(inputs, V).forEach((positions, v) => {
      for (const n of positions) {
        for (let h = 0; h < H; h++) gradTable.data[v * H + h] += inputs.gradY.data[n * H + h]
      }
    })
    return { gradTable }
  },
  tolerances: {
    gradTable: {
      ulp: 0,
      reason: 'at most one f32 rounding per position that shares the row, in order',
      extra(inputs, options) {
        const V = Number(options.vocabularySize)
        const H = lastOf(inputs.gradY)
        const positions = positionsOf(inputs, V)
        return zeros([V, H]).data.map((_, at) => {
          const sharing = positions[Math.floor(at / H)]
          // A row that one position uses is a plain copy.
          return sharing.length < 2
            ? 0
            : chainBound(sharing.length, (k) => inputs.gradY.data[sharing[k] * H + (at % H)])
        })
      },
    },
  },
  derivative: {
    objective: ({ gradY, ids, table }, options) => inner(gradY, embedding.compute({ ids, table }, options).y),
    gradients: { gradTable: 'table' },
  },
}
