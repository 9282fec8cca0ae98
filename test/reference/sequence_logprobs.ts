/** sequenceLogprobs: log p(y | x) = sum over the tokens that count of log p(y_t | x, y_<t), or their mean. */
import { sequences } from './common.ts'
import {
  chance,
  f32,
  type Layout,
  logProbabilities,
  longLayouts,
  normals,
  packed,
  padded,
  pick,
  randomLayout,
  seeded,
  smallLayouts,
  standard,
} from './draw.ts'
import { F64_SUM, output } from './numbers.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Values } from './types.ts'

/** Sum (or mean, 0 where nothing counts) of `term` per sequence. */
function reduce(inputs: Inputs, options: Options, term: (i: number) => number): number[] {
  return sequences(inputs, 'logprob').map(({ valid }) => {
    let sum = 0
    for (const i of valid) sum += term(i)
    return options.reduce === 'mean' ? sum / Math.max(1, valid.length) : sum
  })
}

/** The log-ratio adds up differences: the difference of two long sums has no digits left in f32. */
const difference =
  ({ logprob, refLogprob }: Inputs) =>
  (i: number): number =>
    logprob.data[i] - refLogprob.data[i]

function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const all = sequences(inputs, 'logprob')
  const shape = [all.length]
  return {
    logprob: output(
      reduce(inputs, options, (i) => inputs.logprob.data[i]),
      shape,
    ),
    count: output(
      all.map(({ valid }) => valid.length),
      shape,
    ),
    ...(inputs.refLogprob === undefined
      ? {}
      : { logRatio: output(reduce(inputs, options, difference(inputs)), shape) }),
  }
}

function draw(random: RandomSource, layout: Layout, withReference: boolean): Inputs {
  const logprob = logProbabilities(random, layout.N)
  const inputs: Inputs = { logprob: f32(logprob, layout.shape), ...layout.inputs }
  // A reference close to the policy: the log-ratio is small against either sum.
  if (withReference)
    inputs.refLogprob = f32(
      normals(random, layout.N, 0.02).map((x, i) => x + logprob[i]),
      layout.shape,
    )
  return inputs
}

function samples(): Sample[] {
  const random = seeded(3)
  const layouts = [
    standard(),
    ...smallLayouts(random),
    ...longLayouts(random),
    padded(3, 2048),
    packed([16, 15, 17, 0, 33]),
  ]
  return layouts.flatMap((layout, k): Sample[] =>
    ['sum', 'mean'].map((reduce) => ({
      name: `${layout.name}, ${reduce}`,
      inputs: draw(random, layout, (k + (reduce === 'sum' ? 0 : 1)) % 3 !== 0),
      options: { reduce },
    })),
  )
}

const sums = (term: (inputs: Inputs) => (i: number) => number) => ({
  ulp: 1,
  reason: 'added up in f64 and rounded once',
  extra: (inputs: Inputs, options: Options) =>
    reduce(inputs, options, (i) => Math.abs(term(inputs)(i))).map((size) => F64_SUM * size),
})

export const reference: Reference = {
  samples,
  random: (random) => ({
    name: 'random sequences',
    inputs: draw(random, randomLayout(random, false), chance(random, 0.5)),
    options: { reduce: pick(random, ['sum', 'mean']) },
  }),
  compute,
  tolerances: {
    logprob: sums((inputs) => (i) => inputs.logprob.data[i]),
    count: { ulp: 0, reason: 'a count' },
    logRatio: sums(difference),
  },
  masked: { by: 'valid', inputs: ['logprob', 'refLogprob'], outputs: [] },
}
