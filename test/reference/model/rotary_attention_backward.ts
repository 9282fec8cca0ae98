import type { Inputs, Options, RandomSource, Reference, Sample } from '../types.ts'
import { headsOf, queries } from './attention.ts'
import { backwardBounds } from './attention_bounds.ts'
import { randomTraining, trainingSamples } from './attention_samples.ts'
import { f32, normals, seeded, zeros } from './common.ts'
import { reference as rotaryAttention } from './rotary_attention.ts'
import { rotate } from './rotation.ts'

const BASE = 10000

/** A backward call to a forward sample: y and logSum as the forward call stores them. */
function backwardOf(random: RandomSource, sample: Sample): Sample {
  const { y, logSum } = rotaryAttention.compute(sample.inputs, { base: BASE, ...sample.options })
  return {
    ...sample,
    inputs: {
      gradY: normals(random, sample.inputs.query.shape),
      ...sample.inputs,
      y: f32(y.data, y.shape),
      logSum: f32(logSum.data, logSum.shape),
    },
  }
}

/** Dao et al. 2022 (arXiv:2205.14135) appendix B.2: D = sum gradY y, gradScore = p (gradY value - D), p = e^(score - logSum). */
function compute(inputs: Inputs, options: Options) {
  const { gradY, query, key, value, y, logSum } = inputs
  const { heads, base, scale } = headsOf(query, options)
  const gradQuery = zeros(query.shape)
  const gradKey = zeros(key.shape)
  const gradValue = zeros(value.shape)
  for (const { token, head, position, start, rotated, keys } of queries(inputs, options)) {
    let D = 0
    for (let i = 0; i < rotated.length; i++) D += gradY.data[start + i] * y.data[start + i]
    keys.forEach((seen, j) => {
      const p = Math.exp(seen.score - logSum.data[token * heads + head])
      let gradProbability = 0
      for (let i = 0; i < rotated.length; i++) gradProbability += gradY.data[start + i] * value.data[seen.start + i]
      const gradScore = p * (gradProbability - D)
      // A rotation's transpose turns back: the score's slope is the other vector, seen from before the rotation.
      const towardsKey = rotate(seen.rotated, -position, base)
      const towardsQuery = rotate(rotated, -j, base)
      for (let i = 0; i < rotated.length; i++) {
        gradQuery.data[start + i] += scale * gradScore * towardsKey[i]
        gradKey.data[seen.start + i] += scale * gradScore * towardsQuery[i]
        gradValue.data[seen.start + i] += p * gradY.data[start + i]
      }
    })
  }
  return { gradQuery, gradKey, gradValue }
}

const reason =
  'one rounding at the end; extra: f32 probabilities, the cancelling gradY value - D, and the sums over tokens'

export const reference: Reference = {
  samples: () => trainingSamples().map((sample, at) => backwardOf(seeded(630 + at), sample)),
  random: (random) => backwardOf(random, randomTraining(random)),
  compute,
  tolerances: {
    gradQuery: { ulp: 1, reason, extra: (inputs, options) => backwardBounds(inputs, options).gradQuery },
    gradKey: { ulp: 1, reason, extra: (inputs, options) => backwardBounds(inputs, options).gradKey },
    gradValue: { ulp: 1, reason, extra: (inputs, options) => backwardBounds(inputs, options).gradValue },
  },
  derivative: {
    objective({ gradY, query, key, value, offsets }, options) {
      const forward = { query, key, value, ...(offsets ? { offsets } : {}) }
      const { y } = rotaryAttention.compute(forward, options)
      return Array.from(y.data).reduce((sum, element, at) => sum + element * gradY.data[at], 0)
    },
    gradients: { gradQuery: 'query', gradKey: 'key', gradValue: 'value' },
  },
}
