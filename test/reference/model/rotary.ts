import type { Inputs, Options, RandomSource, Reference, Sample } from '../types.ts'
import { f32, i32, integers, lastOf, normals, rowsOf, seeded, zeros } from './common.ts'
import { pairSizes, rotate } from './rotation.ts'

const call = (random: RandomSource, leading: readonly number[], heads: number, size: number, last: number): Sample => ({
  name: 'random',
  inputs: { x: normals(random, [...leading, heads * size]), positions: integers(random, leading, 0, last) },
  options: { heads },
})

function samples(): Sample[] {
  const random = seeded(51)
  return [
    { ...call(random, [1], 1, 2, 3), name: 'one pair' },
    { ...call(random, [0], 2, 4, 3), name: 'no rows' },
    { ...call(random, [5], 3, 6, 0), name: 'position 0 turns nothing' },
    { ...call(random, [2, 7], 2, 10, 6), name: 'leading dimensions, half a head narrower than a vector' },
    { ...call(random, [3], 1, 34, 100), name: 'half a head of 17' },
    { ...call(random, [3], 4, 64, 4095), name: 'heads of 64, far positions' },
    { ...call(random, [4], 2, 16, 2 ** 24), name: 'positions that f32 angles cannot resolve' },
    {
      name: 'negative positions turn back',
      inputs: { x: normals(random, [3, 8]), positions: i32([-1, -17, -1000]) },
      options: { heads: 2 },
    },
    {
      name: 'another base',
      inputs: { x: normals(random, [3, 8]), positions: i32([1, 2, 77]) },
      options: { heads: 1, base: 500000 },
    },
    {
      name: 'large and small values',
      inputs: { x: f32([1e30, -1e30, 1e30, 1, 1e-30, 1e-30, -1e-30, 1e-30], [2, 4]), positions: i32([5, 9]) },
      options: { heads: 1 },
    },
  ]
}

function perHead(
  { x, positions }: Inputs,
  options: Options,
  map: (head: Float64Array, position: number) => Float64Array,
) {
  const width = lastOf(x)
  const size = width / Number(options.heads)
  const y = zeros(x.shape)
  for (let n = 0; n < rowsOf(x); n++) {
    for (let start = n * width; start < (n + 1) * width; start += size) {
      const head = Float64Array.from({ length: size }, (_, i) => x.data[start + i])
      y.data.set(map(head, positions.data[n]), start)
    }
  }
  return y
}

/** Su et al. 2021 (arXiv:2104.09864) eq. 34, halves layout. */
export const reference: Reference = {
  samples,
  random: (random) => call(random, [random.integer(1, 4)], random.integer(1, 3), 2 * random.integer(1, 9), 200),
  compute: (inputs, options) => ({
    y: perHead(inputs, options, (head, position) => rotate(head, position, Number(options.base))),
  }),
  tolerances: {
    y: {
      ulp: 4,
      reason: 'sine and cosine of an f64 angle, rounded once; two products and their sum, which may cancel',
      magnitude: (inputs, options) => perHead(inputs, options, pairSizes).data,
    },
  },
}
