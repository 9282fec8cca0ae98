import type { RandomSource, Reference, Sample } from '../types.ts'
import { integers, normals, seeded, sizeOf, zeros } from './common.ts'

const lookUp = (random: RandomSource, V: number, H: number, positions: readonly number[]) => ({
  table: normals(random, [V, H]),
  ids: integers(random, positions, 0, V - 1),
})

function samples(): Sample[] {
  const random = seeded(21)
  return [
    { name: 'one row, one number', inputs: lookUp(random, 1, 1, [1]) },
    { name: 'no positions', inputs: lookUp(random, 3, 5, [0]) },
    { name: 'repeated ids', inputs: lookUp(random, 3, 17, [20]) },
    { name: '[B, T] ids', inputs: lookUp(random, 50, 33, [3, 7]) },
    { name: 'a wide row', inputs: lookUp(random, 7, 515, [4]) },
    { name: 'rows of whole vectors', inputs: lookUp(random, 7, 260, [5]) },
    {
      name: 'rows that hold infinities and NaN',
      inputs: {
        table: { data: [Infinity, -Infinity, Number.NaN, 1, 2, 3], shape: [2, 3] },
        ids: { data: [0, 1, 0], shape: [3], dtype: 'i32' },
      },
    },
  ]
}

/** `y_i = table[ids_i]`. */
export const reference: Reference = {
  samples,
  random: (random) => ({
    name: 'random',
    inputs: lookUp(random, random.integer(1, 9), random.integer(1, 40), [random.integer(0, 12)]),
  }),
  compute({ table, ids }) {
    const H = table.shape[1]
    const y = zeros([...ids.shape, H])
    for (let n = 0; n < sizeOf(ids.shape); n++) {
      for (let h = 0; h < H; h++) y.data[n * H + h] = table.data[ids.data[n] * H + h]
    }
    return { y }
  },
  tolerances: { y: { ulp: 0, reason: 'values are only moved' } },
}
