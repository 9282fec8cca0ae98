import type { RandomSource, Reference, Sample } from '../types.ts'
import { i32, integers, lastOf, normals, seeded, sizeOf } from './common.ts'

const write = (random: RandomSource, M: number, H: number, rows: readonly number[]) => ({
  x: normals(random, [...rows, H]),
  rows: integers(random, rows, 0, M - 1),
  into: normals(random, [M, H]),
})

function samples(): Sample[] {
  const random = seeded(25)
  return [
    { name: 'one row, one number', inputs: write(random, 1, 1, [1]) },
    { name: 'nothing written', inputs: write(random, 3, 4, [0]) },
    { name: 'of equal rows the last wins', inputs: write(random, 3, 17, [12]) },
    {
      name: 'into a cache [B, S, H]',
      inputs: { x: normals(random, [2, 1, 33]), rows: i32([4, 5], [2, 1]), into: normals(random, [2, 5, 33]) },
    },
    { name: 'every row many times', inputs: write(random, 30, 3, [600]) },
    { name: 'more rows than one warp compares', inputs: write(random, 1500, 2, [2500]) },
    { name: 'a wide row', inputs: write(random, 9, 515, [4]) },
    { name: 'rows of whole vectors', inputs: write(random, 7, 260, [5]) },
  ]
}

/** `into[rows_i] = x_i`, i rising. */
export const reference: Reference = {
  samples,
  random: (random) => ({
    name: 'random',
    inputs: write(random, random.integer(1, 9), random.integer(1, 40), [random.integer(0, 12)]),
  }),
  compute({ x, rows, into }) {
    const H = lastOf(x)
    const data = Float64Array.from(into.data)
    for (let n = 0; n < sizeOf(rows.shape); n++) {
      for (let h = 0; h < H; h++) data[rows.data[n] * H + h] = x.data[n * H + h]
    }
    return { into: { data, shape: into.shape } }
  },
  tolerances: { into: { ulp: 0, reason: 'values are only moved' } },
}
