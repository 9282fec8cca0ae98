import type { Inputs, RandomSource, Reference, Sample } from '../types.ts'
import { chainBound, f32, lastOf, normals, rowsOf, seeded, spread, zeros } from './common.ts'

const product = (random: RandomSource, rows: readonly number[], I: number, O: number, bias = false): Inputs => ({
  x: normals(random, [...rows, I]),
  weight: normals(random, [O, I]),
  ...(bias ? { bias: normals(random, [O]) } : {}),
})

function samples(): Sample[] {
  const random = seeded(11)
  return [
    { name: 'one number', inputs: product(random, [1], 1, 1, true) },
    { name: 'no rows', inputs: product(random, [0], 5, 7) },
    { name: 'nothing fills a vector', inputs: product(random, [3], 17, 33, true) },
    { name: 'one term per sum', inputs: product(random, [33], 1, 129) },
    { name: 'one output', inputs: product(random, [129], 33, 1, true) },
    { name: 'one row, as in decoding', inputs: product(random, [1], 129, 64) },
    { name: 'leading dimensions', inputs: product(random, [2, 3], 20, 8, true) },
    { name: 'several tiles, none of them full at the edge', inputs: product(random, [200], 70, 515, true) },
    { name: 'more terms than one panel holds', inputs: product(random, [5], 1030, 19) },
    {
      name: 'terms of very different sizes',
      inputs: { x: spread(random, [7, 40], 15), weight: spread(random, [5, 40], 3) },
    },
    {
      name: 'large terms that cancel: 3e8 + 1 - 3e8',
      inputs: { x: f32([3e8, 1, -3e8, -3e8, 1, 3e8], [2, 3]), weight: f32([1, 1, 1, 1, 2 ** -20, 1], [2, 3]) },
    },
  ]
}

/** `y = x weight^T + bias`. */
export const reference: Reference = {
  samples,
  random: (random) => ({
    name: 'random',
    inputs: product(random, [random.integer(1, 9)], random.integer(1, 40), random.integer(1, 40), random.next() < 0.5),
  }),
  compute({ x, weight, bias }) {
    const [O, I] = weight.shape
    const y = zeros([...x.shape.slice(0, -1), O])
    for (let n = 0; n < rowsOf(x); n++) {
      for (let o = 0; o < O; o++) {
        let sum = 0
        for (let i = 0; i < I; i++) sum += x.data[n * I + i] * weight.data[o * I + i]
        y.data[n * O + o] = bias ? sum + bias.data[o] : sum
      }
    }
    return { y }
  },
  tolerances: {
    y: {
      ulp: 0,
      reason: 'a chain in f32 loses at most one rounding per partial sum, however the order of the terms makes them',
      extra({ x, weight, bias }) {
        const O = weight.shape[0]
        const I = lastOf(x)
        return Float64Array.from({ length: rowsOf(x) * O }, (_, at) => {
          const row = Math.floor(at / O) * I
          const column = (at % O) * I
          const term = (k: number): number => (k < I ? x.data[row + k] * weight.data[column + k] : bias.data[at % O])
          return chainBound(bias ? I + 1 : I, term)
        })
      },
    },
  },
}
