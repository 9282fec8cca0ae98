import type { Inputs, Options, RandomSource, Reference, Sample, Values } from '../types.ts'
import { chainBound, inner, normals, rowsOf, seeded, spread, zeros } from './common.ts'
import { reference as linear } from './linear.ts'

const call = (random: RandomSource, rows: readonly number[], I: number, O: number): Inputs => ({
  gradY: normals(random, [...rows, O]),
  x: normals(random, [...rows, I]),
  weight: normals(random, [O, I]),
})

function samples(): Sample[] {
  const random = seeded(12)
  const all = { wantBias: true }
  const large = 'too many elements for central differences; the small samples run the same lines'
  return [
    { name: 'one number', inputs: call(random, [1], 1, 1), options: all },
    { name: 'no rows: gradients of the weight are 0', inputs: call(random, [0], 3, 2), options: all },
    { name: 'small, all gradients', inputs: call(random, [4], 3, 5), options: all },
    { name: 'only gradX', inputs: call(random, [2, 2], 3, 2), options: { wantWeight: false } },
    { name: 'only gradWeight', inputs: call(random, [3], 2, 4), options: { wantX: false } },
    {
      name: 'only gradBias',
      inputs: call(random, [3], 2, 4),
      options: { wantX: false, wantWeight: false, wantBias: true },
    },
    { name: 'nothing fills a vector', inputs: call(random, [17], 33, 3), options: all },
    {
      name: 'several tiles of gradX, none of them full at the edge',
      inputs: call(random, [200], 261, 5),
      options: all,
      skipGradients: large,
    },
    {
      name: 'several tiles of gradWeight, none of them full at the edge',
      inputs: call(random, [6], 261, 198),
      options: all,
      skipGradients: large,
    },
    { name: 'more rows than one panel holds', inputs: call(random, [530], 5, 7), options: all, skipGradients: large },
    {
      name: 'more outputs than one panel holds',
      inputs: call(random, [3], 9, 530),
      options: all,
      skipGradients: large,
    },
    {
      name: 'terms of very different sizes',
      inputs: { gradY: spread(random, [9, 6], 8), x: spread(random, [9, 5], 8), weight: spread(random, [6, 5], 4) },
      options: all,
      skipGradients: 'central differences lose the small elements beside the large ones',
    },
  ]
}

/** The three products as (number of sums, terms per sum, term), so that value and bound are read off one formula. */
interface Sums {
  shape: readonly number[]
  terms: number
  term: (at: number, k: number) => number
}

function sumsOf({ gradY, x, weight }: Inputs): Record<'gradX' | 'gradWeight' | 'gradBias', Sums> {
  const [O, I] = weight.shape
  const N = rowsOf(x)
  return {
    gradX: {
      shape: x.shape,
      terms: O,
      term: (at, o) => gradY.data[Math.floor(at / I) * O + o] * weight.data[o * I + (at % I)],
    },
    gradWeight: {
      shape: weight.shape,
      terms: N,
      term: (at, n) => gradY.data[n * O + Math.floor(at / I)] * x.data[n * I + (at % I)],
    },
    gradBias: { shape: [O], terms: N, term: (o, n) => gradY.data[n * O + o] },
  }
}

function addUp({ shape, terms, term }: Sums): Values {
  const result = zeros(shape)
  for (let at = 0; at < result.data.length; at++) {
    for (let k = 0; k < terms; k++) result.data[at] += term(at, k)
  }
  return result
}

const tolerance = (name: 'gradX' | 'gradWeight' | 'gradBias') => ({
  ulp: 0,
  reason: 'a chain in f32 in rising order loses at most one rounding per product and partial sum',
  extra(inputs: Inputs) {
    const { shape, terms, term } = sumsOf(inputs)[name]
    return zeros(shape).data.map((_, at) => chainBound(terms, (k) => term(at, k)))
  },
})

/** `gradX = gradY weight`, `gradWeight = gradY^T x`, `gradBias` = the column sums of gradY. */
export const reference: Reference = {
  samples,
  random: (random) => ({
    name: 'random',
    inputs: call(random, [random.integer(1, 5)], random.integer(1, 6), random.integer(1, 6)),
    options: { wantBias: random.next() < 0.5 },
  }),
  compute(inputs, options: Options) {
    const sums = sumsOf(inputs)
    return {
      ...(options.wantX ? { gradX: addUp(sums.gradX) } : {}),
      ...(options.wantWeight ? { gradWeight: addUp(sums.gradWeight) } : {}),
      ...(options.wantBias ? { gradBias: addUp(sums.gradBias) } : {}),
    }
  },
  tolerances: {
    gradX: tolerance('gradX'),
    gradWeight: tolerance('gradWeight'),
    gradBias: tolerance('gradBias'),
  },
  derivative: {
    objective: ({ gradY, x, weight, bias }, options) => inner(gradY, linear.compute({ x, weight, bias }, options).y),
    gradients: { gradX: 'x', gradWeight: 'weight', gradBias: 'bias' },
  },
}
