import type { Inputs, Options, Reference } from '../types.ts'
import { queries } from './attention.ts'
import { forwardBounds } from './attention_bounds.ts'
import { cachedSamples, randomForward, trainingSamples } from './attention_samples.ts'
import { rowsOf, zeros } from './common.ts'

function compute(inputs: Inputs, options: Options) {
  const { query, value } = inputs
  const heads = Number(options.heads)
  const y = zeros(query.shape)
  const logSum = zeros([rowsOf(query), heads])
  for (const { token, head, start, rotated, keys } of queries(inputs, options)) {
    const max = keys.reduce((largest, { score }) => Math.max(largest, score), -Infinity)
    const sum = keys.reduce((total, { score }) => total + Math.exp(score - max), 0)
    logSum.data[token * heads + head] = max + Math.log(sum)
    for (const key of keys) {
      const probability = Math.exp(key.score - max) / sum
      for (let i = 0; i < rotated.length; i++) y.data[start + i] += probability * value.data[key.start + i]
    }
  }
  return { y, logSum }
}

/** Vaswani et al. 2017 (arXiv:1706.03762) eq. 1, causal, over queries and keys turned by Su et al. 2021 eq. 34. */
export const reference: Reference = {
  samples: () => [...trainingSamples(), ...cachedSamples()],
  random: randomForward,
  compute,
  tolerances: {
    y: {
      ulp: 2,
      reason: 'the last sum and quotient; extra: what f32 scores move the probabilities, and the sums over keys',
      extra: (inputs, options) => forwardBounds(inputs, options).y,
    },
    logSum: {
      ulp: 2,
      reason: 'logarithm and sum; extra: the probability-weighted error of f32 scores, and the sum over keys',
      extra: (inputs, options) => forwardBounds(inputs, options).logSum,
    },
  },
}
