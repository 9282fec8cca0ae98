/** tokenRewards: Ziegler et al. 2019 (arXiv:1909.08593) eq. 2, R = r - beta log(pi / rho), spread over the tokens. */
import { isValid, klEstimate, type Sequence, sequences } from './common.ts'
import {
  chance,
  f32,
  fill,
  flags,
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
  spell,
  standard,
  typed,
} from './draw.ts'
import { clamp, output, scaled, slack } from './numbers.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Values } from './types.ts'

/** Where the score of a sequence falls. */
function scoreSlot({ end, valid }: Sequence, at: unknown): number {
  const last = valid[valid.length - 1]
  const slot = at === 'last' ? last : at === 'after-last' ? last + 1 : end - 1
  if (slot >= end) throw new RangeError('a sequence without a place for its score is a fault, not a sample')
  return slot
}

/**
 * The score of sequence b: clipped as it comes from the reward model, so that the penalty for a missing end, added
 * after, is never clipped away. Undefined where there is nothing to place.
 */
function scoreOf(inputs: Inputs, options: Options, b: number): number | undefined {
  const penalty = Number(options.missingEndPenalty)
  if (inputs.score === undefined && penalty === 0) return undefined
  const given = inputs.score?.data[b] ?? 0
  const clip = options.rewardClip === undefined ? Number.POSITIVE_INFINITY : Number(options.rewardClip)
  const ended = inputs.ended === undefined || inputs.ended.data[b] !== 0
  return clamp(given, -clip, clip) + (ended ? 0 : penalty)
}

/**
 * Every token that counts pays klCoefficient times its KL estimate (nothing at all when the coefficient is 0, even
 * where the estimate is infinite) and gets its own score; the sequence's score falls into its slot, which with
 * 'after-last' and 'end' may be a slot that does not count: it then holds the score alone and its kl is 0. A sequence
 * in which nothing counts has no rewards, its score included: a dummy row of a batch stays without effect.
 */
function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const { shape } = inputs.logprob
  const rewards = new Float64Array(inputs.logprob.data.length)
  const kl = new Float64Array(inputs.logprob.data.length)
  sequences(inputs, 'logprob').forEach((sequence, b) => {
    for (const i of sequence.valid) {
      kl[i] = klEstimate(options.klEstimator, inputs.refLogprob.data[i] - inputs.logprob.data[i])
      rewards[i] = (inputs.tokenScore?.data[i] ?? 0) - scaled(Number(options.klCoefficient), kl[i])
    }
    const score = sequence.valid.length === 0 ? undefined : scoreOf(inputs, options, b)
    if (score !== undefined) rewards[scoreSlot(sequence, options.scoreAt)] += score
  })
  return { rewards: output(rewards, shape), kl: output(kl, shape) }
}

/** What is added up in a reward: three terms at most. */
function terms(inputs: Inputs, options: Options, expected: Record<string, Values>): Float64Array {
  const largest =
    Math.max(0, ...Array.from(inputs.score?.data ?? [], Math.abs)) + Math.abs(Number(options.missingEndPenalty))
  return fill(expected.kl.data.length, (i) =>
    slack(
      isValid(inputs, i)
        ? Math.abs(Number(options.klCoefficient) * expected.kl.data[i]) +
            Math.abs(inputs.tokenScore?.data[i] ?? 0) +
            largest
        : largest,
    ),
  )
}

interface Parts {
  score: boolean
  tokenScore: boolean
  ended: boolean
}
const ALL: Parts = { score: true, tokenScore: true, ended: true }

function draw(random: RandomSource, layout: Layout, parts: Parts, distance = 0.3): Inputs {
  const { N, B, shape } = layout
  const logprob = logProbabilities(random, N)
  const inputs: Inputs = {
    logprob: f32(logprob, shape),
    refLogprob: f32(
      fill(N, (i) => logprob[i] + distance * random.normal()),
      shape,
    ),
    ...layout.inputs,
  }
  if (parts.score) inputs.score = f32(normals(random, B, 4))
  if (parts.tokenScore) inputs.tokenScore = f32(normals(random, N), shape)
  if (parts.ended) inputs.ended = typed('u8', flags(random, B, 0.5))
  return inputs
}

const VARIANTS: { options: Options; parts: Parts }[] = [
  { options: { klCoefficient: 0.1 }, parts: { score: true, tokenScore: false, ended: false } },
  { options: { klCoefficient: 0.1, klEstimator: 'k2' }, parts: { score: false, tokenScore: true, ended: false } },
  {
    options: { klCoefficient: 0.05, klEstimator: 'k3', rewardClip: 2 },
    parts: { score: true, tokenScore: true, ended: false },
  },
  { options: { klCoefficient: 2, klEstimator: 'abs', missingEndPenalty: -1, rewardClip: 3 }, parts: ALL },
  { options: { klCoefficient: 0.2, missingEndPenalty: -1.5 }, parts: { score: false, tokenScore: false, ended: true } },
  { options: { klCoefficient: 0 }, parts: ALL },
  { options: { klCoefficient: 0.3 }, parts: { score: false, tokenScore: false, ended: false } },
]

function samples(): Sample[] {
  const random = seeded(5)
  const each = (layout: Layout, k: number): Sample => {
    const { options, parts } = VARIANTS[k % VARIANTS.length]
    return { name: `${layout.name}, ${spell(options)}`, inputs: draw(random, layout, parts), options }
  }
  // Room behind the last token, and no sequence without any.
  const roomy = () => [
    padded(3, 5, [1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0], ' with room'),
    packed([4, 2, 6], [1, 1, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0], ' with room'),
  ]
  const atSlots = ['last', 'after-last', 'end'].flatMap((scoreAt) =>
    roomy().flatMap((layout) =>
      VARIANTS.slice(0, 5).map(({ options, parts }): Sample => {
        const chosen = { ...options, scoreAt }
        return { name: `${layout.name}, ${spell(chosen)}`, inputs: draw(random, layout, parts), options: chosen }
      }),
    ),
  )
  const close = (klEstimator: string): Sample => ({
    name: `${klEstimator} of almost equal policies`,
    inputs: draw(random, padded(2, 24), { score: false, tokenScore: false, ended: false }, 1e-6),
    options: { klCoefficient: 1, klEstimator },
  })
  const far = (klEstimator: string): Sample => ({
    name: `${klEstimator} far apart`,
    inputs: {
      logprob: f32([-80, -0.001, -30, -1], [1, 4]),
      refLogprob: f32([-0.001, -80, -1e4, -1], [1, 4]),
      score: f32([1]),
    },
    options: { klCoefficient: 0.1, klEstimator },
  })
  return [
    ...VARIANTS.map((_, k) => each(standard(), k)),
    ...smallLayouts(random).map(each),
    ...longLayouts(random).map(each),
    ...atSlots,
    {
      name: 'the last column counts',
      inputs: draw(random, padded(2, 3), ALL),
      options: { klCoefficient: 0.1, scoreAt: 'end' },
    },
    ...['k1', 'k2', 'k3', 'abs'].flatMap((estimator) => [close(estimator), far(estimator)]),
  ]
}

export const reference: Reference = {
  samples,
  random: (random) => {
    const parts: Parts = { score: chance(random, 0.8), tokenScore: chance(random, 0.4), ended: chance(random, 0.5) }
    const options: Options = {
      klCoefficient: pick(random, [0, 0.05, 0.3]),
      klEstimator: pick(random, ['k1', 'k2', 'k3', 'abs']),
    }
    if (chance(random, 0.3)) options.rewardClip = 0.5 + 3 * random.next()
    if (parts.ended) options.missingEndPenalty = -random.next()
    return { name: 'random rewards', inputs: draw(random, randomLayout(random, false), parts), options }
  },
  compute,
  tolerances: {
    rewards: { ulp: 1, reason: 'three terms in f64, rounded once', extra: terms },
    kl: { ulp: 1, reason: 'computed in f64 (k3 by its series near 0), rounded once' },
  },
  // The slot of the score may be one that does not count, so only kl is 0 wherever a position does not count.
  masked: { by: 'valid', inputs: ['logprob', 'refLogprob', 'tokenScore'], outputs: ['kl'] },
}
