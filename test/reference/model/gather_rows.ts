import type { RandomSource, Reference, Sample } from '../types.ts'
import { i32, integers, normals, seeded, sizeOf, zeros } from './common.ts'

const pick = (random: RandomSource, M: number, H: number, rows: readonly number[]) => ({
  x: normals(random, [M, H]),
  rows: integers(random, rows, 0, M - 1),
})

function samples(): Sample[] {
  const random = seeded(23)
  return [
    { name: 'one row, one number', inputs: pick(random, 1, 1, [1]) },
    { name: 'nothing picked', inputs: pick(random, 3, 4, [0]) },
    { name: 'rows in reverse', inputs: { x: normals(random, [4, 17]), rows: i32([3, 2, 1, 0]) } },
    { name: 'repeated rows, leading dimensions', inputs: pick(random, 5, 33, [3, 6]) },
    { name: 'a wide row', inputs: pick(random, 3, 515, [2]) },
    { name: 'rows of whole vectors', inputs: pick(random, 4, 260, [6]) },
  ]
}

/** `y_i = x[rows_i]`. */
export const reference: Reference = {
  samples,
  random: (random) => ({
    name: 'random',
    inputs: pick(random, random.integer(1, 9), random.integer(1, 40), [random.integer(0, 12)]),
  }),
  compute({ x, rows }) {
    const H = x.shape[1]
    const y = zeros([...rows.shape, H])
    for (let n = 0; n < sizeOf(rows.shape); n++) {
      for (let h = 0; h < H; h++) y.data[n * H + h] = x.data[rows.data[n] * H + h]
    }
    return { y }
  },
  tolerances: { y: { ulp: 0, reason: 'values are only moved' } },
}
