/** sequenceLogprobsBackward: every token that counts gets its sequence's gradient, divided by the count for a mean. */
import { sequences } from './common.ts'
import {
  chance,
  f32,
  type Layout,
  longLayouts,
  normals,
  pick,
  randomLayout,
  seeded,
  smallLayouts,
  standard,
} from './draw.ts'
import { output } from './numbers.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Values } from './types.ts'

/** The tensor that says how tokens lie: `like`, or else `valid`. */
const shapeOf = (inputs: Inputs): string => (inputs.like === undefined ? 'valid' : 'like')

function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const like = shapeOf(inputs)
  const gradLogprob = new Float64Array(inputs[like].data.length)
  sequences(inputs, like).forEach(({ valid }, b) => {
    for (const i of valid) gradLogprob[i] = inputs.gradSequence.data[b] / (options.reduce === 'mean' ? valid.length : 1)
  })
  return { gradLogprob: output(gradLogprob, inputs[like].shape) }
}

/** Sum over sequences of gradient times sequence log-probability, with `like` as the token log-probabilities. */
function objective(inputs: Inputs, options: Options): number {
  let sum = 0
  sequences(inputs, 'like').forEach(({ valid }, b) => {
    for (const i of valid) {
      sum += (inputs.gradSequence.data[b] * inputs.like.data[i]) / (options.reduce === 'mean' ? valid.length : 1)
    }
  })
  return sum
}

function draw(random: RandomSource, layout: Layout, withLike: boolean): Inputs {
  return {
    gradSequence: f32(normals(random, layout.B)),
    ...(withLike || layout.inputs.valid === undefined ? { like: f32(normals(random, layout.N), layout.shape) } : {}),
    ...layout.inputs,
  }
}

function sample(name: string, inputs: Inputs, reduce: string): Sample {
  if (inputs.like === undefined)
    return { name, inputs, options: { reduce }, skipGradients: 'without like there is nothing to vary' }
  const isLarge = inputs.like.data.length > 1000
  return {
    name,
    inputs,
    options: { reduce },
    ...(isLarge ? { skipGradients: 'large: linear like the small ones' } : {}),
  }
}

function samples(): Sample[] {
  const random = seeded(4)
  return [
    ...[standard(), ...smallLayouts(random), ...longLayouts(random)].flatMap((layout) =>
      ['sum', 'mean'].map((reduce) => sample(`${layout.name}, ${reduce}`, draw(random, layout, true), reduce)),
    ),
    sample('shape from valid alone', draw(random, standard(), false), 'mean'),
  ]
}

export const reference: Reference = {
  samples,
  random: (random) =>
    sample(
      'random sequences',
      draw(random, randomLayout(random, false), chance(random, 0.7)),
      pick(random, ['sum', 'mean']),
    ),
  compute,
  tolerances: { gradLogprob: { ulp: 1, reason: 'one division, rounded once' } },
  derivative: { objective, gradients: { gradLogprob: 'like' } },
  masked: { by: 'valid', inputs: ['like'], outputs: ['gradLogprob'] },
}
