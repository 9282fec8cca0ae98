/** ppoPolicyLoss: Schulman et al. 2017 (arXiv:1707.06347) eq. 7; dual clip of arXiv:1912.09729 eq. 5. */
import { aggregation, numerator, quotient, type Sequence, sequences, weightOf } from './common.ts'
import {
  chance,
  f32,
  fill,
  flatLayouts,
  type Layout,
  logProbabilities,
  longLayouts,
  normals,
  packed,
  padded,
  pick,
  randomLayout,
  randomReduction,
  reductions,
  seeded,
  smallLayouts,
  spell,
  standard,
} from './draw.ts'
import { clamp, expMinusLinear, output, scaled, slack, ulp } from './numbers.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Values } from './types.ts'

/**
 * Eq. 7 as a loss: max(-A r, -A clip(r)); where A < 0 and `dualClip` = c is given, at most -c A (eq. 5). `slope` is
 * d term / dr: -A while the unclipped branch is the value, ties included, else 0. A = 0 is 0 even where r overflows.
 */
function surrogate(A: number, r: number, options: Options): { term: number; slope: number } {
  if (A === 0) return { term: 0, slope: 0 }
  const unclipped = -A * r
  const clipped = -A * clamp(r, 1 - Number(options.clipLow), 1 + Number(options.clipHigh))
  const most = options.dualClip === undefined || A > 0 ? Number.POSITIVE_INFINITY : -A * Number(options.dualClip)
  if (Math.max(unclipped, clipped) > most) return { term: most, slope: 0 }
  return unclipped >= clipped ? { term: unclipped, slope: -A } : { term: clipped, slope: 0 }
}

const logRatio = (inputs: Inputs, i: number): number => inputs.logprob.data[i] - inputs.oldLogprob.data[i]

/** The ratio that token i is judged with: its own, or its sequence's geometric mean (GSPO, arXiv:2507.18071 eq. 7). */
function ratios(inputs: Inputs, options: Options, all: readonly Sequence[]): Float64Array {
  const r = new Float64Array(inputs.logprob.data.length)
  for (const { valid } of all) {
    const mean = valid.reduce((sum, i) => sum + logRatio(inputs, i), 0) / valid.length
    for (const i of valid) r[i] = Math.exp(options.ratioLevel === 'sequence' ? mean : logRatio(inputs, i))
  }
  return r
}

function gradient(
  inputs: Inputs,
  options: Options,
  all: readonly Sequence[],
  r: Float64Array,
  size = (x: number) => x,
): Float64Array {
  const how = aggregation(all, options)
  const grad = new Float64Array(r.length)
  for (const sequence of all) {
    const n = sequence.valid.length
    /** d loss / d r of one token's term. */
    const slope = (i: number): number =>
      size(how.coefficient(sequence) * weightOf(inputs, i) * surrogate(inputs.advantage.data[i], r[i], options).slope)
    // d s / d logprob_t = s / n for every token t of the sequence; a token's own ratio has derivative r.
    const total = sequence.valid.reduce((sum, i) => sum + slope(i), 0) / n
    const isDirect = options.ratioLevel === 'sequence' && options.sequenceGradient === 'direct'
    for (const i of sequence.valid)
      grad[i] = scaled(Number(options.gradScale), scaled(isDirect ? total : slope(i), r[i]))
  }
  return grad
}

/** Clipped by direction: judged with the ratio in use and the token's own advantage. */
function countClipped(inputs: Inputs, options: Options, tokens: readonly number[], r: Float64Array): number[] {
  const A = (i: number): number => inputs.advantage.data[i]
  const count = (is: (i: number) => boolean): number => tokens.filter(is).length
  const dual = options.dualClip === undefined ? Number.POSITIVE_INFINITY : Number(options.dualClip)
  return [
    count((i) => A(i) < 0 && r[i] < 1 - Number(options.clipLow)),
    count((i) => A(i) > 0 && r[i] > 1 + Number(options.clipHigh)),
    count((i) => A(i) < 0 && r[i] > dual),
  ]
}

/** One ratio per token, or per sequence in which anything counts. */
const judged = (options: Options, all: readonly Sequence[]): number[] =>
  all.flatMap(({ valid }) => (options.ratioLevel === 'sequence' ? valid.slice(0, 1) : valid))

const sumOf = (tokens: readonly number[], term: (i: number) => number): number =>
  tokens.reduce((sum, i) => sum + term(i), 0)

const weighted =
  (inputs: Inputs, options: Options, r: Float64Array) =>
  (i: number): number =>
    scaled(weightOf(inputs, i), surrogate(inputs.advantage.data[i], r[i], options).term)

function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const all = sequences(inputs, 'logprob')
  const how = aggregation(all, options)
  const r = ratios(inputs, options, all)
  const tokens = all.flatMap(({ valid }) => valid)
  const used = judged(options, all)
  const lossSum = numerator(all, how, weighted(inputs, options, r))
  const stats = [
    lossSum,
    how.denominator,
    tokens.length,
    used.length,
    ...countClipped(inputs, options, tokens, r),
    // (r - 1) - log r of each token's own ratio, whatever the ratio level.
    sumOf(tokens, (i) => expMinusLinear(logRatio(inputs, i))),
    sumOf(used, (i) => r[i]),
    // Nothing to compare leaves the neutral elements of min and max.
    used.reduce((least, i) => Math.min(least, r[i]), Number.POSITIVE_INFINITY),
    used.reduce((most, i) => Math.max(most, r[i]), Number.NEGATIVE_INFINITY),
    sumOf(tokens, (i) => logRatio(inputs, i)),
    sumOf(tokens, (i) => logRatio(inputs, i) ** 2),
  ]
  return {
    loss: output([quotient(lossSum, how.divisor)], [1]),
    gradLogprob: output(gradient(inputs, options, all, r), inputs.logprob.shape),
    stats: output(stats, [stats.length]),
  }
}

function objective(inputs: Inputs, options: Options): number {
  const all = sequences(inputs, 'logprob')
  const how = aggregation(all, options)
  const r = ratios(inputs, options, all)
  return Number(options.gradScale) * quotient(numerator(all, how, weighted(inputs, options, r)), how.divisor)
}

/** The sizes of what is added up: numerator, and the sums of `stats` in slot order. */
function sizes(inputs: Inputs, options: Options): { lossSum: number; divisor: number; stats: number[] } {
  const all = sequences(inputs, 'logprob')
  const how = aggregation(all, options)
  const r = ratios(inputs, options, all)
  const tokens = all.flatMap(({ valid }) => valid)
  const lossSum = numerator(all, how, (i) => Math.abs(weighted(inputs, options, r)(i)))
  const logs = sumOf(tokens, (i) => Math.abs(logRatio(inputs, i)))
  const kls = sumOf(tokens, (i) => Math.abs(Math.expm1(logRatio(inputs, i))))
  return { lossSum, divisor: how.divisor, stats: [lossSum, 0, 0, 0, 0, 0, 0, logs + kls, 0, 0, 0, logs, 0] }
}

/**
 * Beside that, what the cpu may lose where tokens have ratios of their own, which it takes in f32: a ratio is within 1.5 ULP,
 * a token's (r - 1) - log r within 20, and sixteen terms are added in f32 before the sum goes on in f64 (15 roundings).
 */
const TOKENS_IN_F32 = 'f64, rounded once; ratios of tokens in f32'
const ofTokens = (options: Options, size: number, share: number): number =>
  options.ratioLevel === 'sequence' || !Number.isFinite(size) ? 0 : share * size

/** What terms of this size lose to 4 roundings each: of the exponential (1 ULP), of A w, of the clip's bound, of the product. */
const inF32 = (size: number): number => (Number.isFinite(size) ? 2 ** -22 * size : 0)

/** The logarithms of the ratios at which the surrogate has a kink. */
const kinks = (options: Options): number[] =>
  [1 - Number(options.clipLow ?? 0.2), 1 + Number(options.clipHigh ?? 0.2), Number(options.dualClip ?? 0)]
    .filter((edge) => edge > 0)
    .map(Math.log)

/** Moves a log-ratio away from the kinks, where central differences mean nothing. */
function besideKinks(x: number, options: Options): number {
  return kinks(options).some((edge) => Math.abs(x - edge) < 0.01) ? besideKinks(x + 0.025, options) : x
}

function draw(random: RandomSource, layout: Layout, options: Options, withWeight: boolean, spread = 0.3): Inputs {
  const { N, shape } = layout
  const logprob = logProbabilities(random, N)
  const x = fill(N, () => besideKinks(spread * random.normal(), options))
  const inputs: Inputs = {
    logprob: f32(logprob, shape),
    oldLogprob: f32(logprob, shape),
    advantage: f32(normals(random, N), shape),
    ...layout.inputs,
  }
  if (withWeight)
    inputs.weight = f32(
      fill(N, () => 2 * random.next()),
      shape,
    )
  if (options.ratioLevel === 'sequence') {
    for (const { valid } of sequences(inputs, 'logprob')) {
      const mean = sumOf(valid, (i) => x[i]) / valid.length
      for (const i of valid) x[i] += besideKinks(mean, options) - mean
    }
  }
  return {
    ...inputs,
    oldLogprob: f32(
      fill(N, (i) => logprob[i] - x[i]),
      shape,
    ),
  }
}

const LARGE = 'large: the same formula is differentiated in the small samples'
const TOKEN_WISE = "the token-wise gradient of GSPO-token is not the loss's derivative"

function sample(name: string, inputs: Inputs, options: Options): Sample {
  const isTokenWise = options.ratioLevel === 'sequence' && options.sequenceGradient === 'token'
  const skip = isTokenWise ? TOKEN_WISE : inputs.logprob.data.length > 1000 ? LARGE : undefined
  return { name: `${name}, ${spell(options)}`, inputs, options, ...(skip === undefined ? {} : { skipGradients: skip }) }
}

const LEVELS: Options[] = [{}, { ratioLevel: 'sequence' }, { ratioLevel: 'sequence', sequenceGradient: 'token' }]
const CLIPS: Options[] = [
  { clipHigh: 0.28 },
  { clipLow: 0.1, clipHigh: 3, dualClip: 3 },
  { clipLow: 1 },
  { clipLow: 0.0003, clipHigh: 0.0004 },
  { dualClip: 1.05 },
]

/** Ratios that overflow f32, and f64 too. */
function overflows(): Sample[] {
  const extreme = (
    name: string,
    logprob: number[],
    oldLogprob: number[],
    advantage: number[],
    options: Options = {},
    weight?: number[],
  ): Sample => ({
    name,
    inputs: {
      logprob: f32(logprob),
      oldLogprob: f32(oldLogprob),
      advantage: f32(advantage),
      ...(weight === undefined ? {} : { weight: f32(weight) }),
    },
    options,
    skipGradients: 'infinite ratios',
  })
  return [
    extreme('A = 0 where the ratio overflows', [-1, 0, -0.5, -2], [-150, -1000, -0.75, -2], [0, 0, 1, -1]),
    extreme('A > 0 is clipped where the ratio overflows', [-1, 0, -2], [-150, -1000, -2], [1, 2, 0.5]),
    extreme('A < 0 is dual-clipped where the ratio overflows', [-1, 0, -2], [-150, -1000, -2], [-1, -2, 0.5], {
      dualClip: 3,
    }),
    extreme('A < 0 where the ratio overflows is an infinite loss', [-1, -2], [-150, -2], [-1, 1]),
    extreme('weight 0 removes an infinite term', [-1, 0, -2], [-150, -1000, -2.1], [-1, -2, 0.5], {}, [0, 0, 1]),
    extreme('ratios that vanish', [-150, -1000, -2], [-1, 0, -2], [-1, 1, -1]),
  ]
}

/** A few ratios that are far from 1 among many that are not. */
function scattered(random: RandomSource, options: Options): Sample {
  const { logprob, oldLogprob, ...inputs } = draw(random, padded(2, 700), options, true)
  const moved = Array.from(oldLogprob.data)
  for (const [at, x] of [
    [100, -31],
    [101, -45],
    [699, -90],
    [1399, 31],
  ]) {
    moved[at] = logprob.data[at] - x
  }
  return sample('far ratios among near ones', { ...inputs, logprob, oldLogprob: f32(moved, oldLogprob.shape) }, options)
}

function samples(): Sample[] {
  const random = seeded(8)
  const layouts = [...smallLayouts(random), padded(2, 40)]
  return [
    ...LEVELS.flatMap((level) =>
      [...reductions(), ...CLIPS].map((options, k) => {
        const chosen = { ...level, ...options }
        return sample(standard().name, draw(random, standard(), chosen, k % 2 === 1), chosen)
      }),
    ),
    ...layouts.flatMap((layout, k) =>
      LEVELS.map((level, l) => {
        const chosen = { ...level, ...reductions()[(k + l) % 6] }
        return sample(layout.name, draw(random, layout, chosen, (k + l) % 2 === 0), chosen)
      }),
    ),
    ...flatLayouts(random).map((layout, k) => {
      const options = { aggregate: k % 2 === 0 ? 'token-mean' : 'token-sum', dualClip: 2 }
      return sample(layout.name, draw(random, layout, options, k % 3 === 0), options)
    }),
    ...longLayouts(random).map((layout, k) => {
      const chosen = { ...LEVELS[k % 3], ...reductions()[k % 4], dualClip: 1.5 }
      return sample(layout.name, draw(random, layout, chosen, k === 2), chosen)
    }),
    sample('ratios all 1', draw(random, packed([5, 9]), {}, false, 0), {}),
    sample('ratios of almost 1', draw(random, padded(2, 12), {}, false, 1e-6), {}),
    sample('ratios far from 1', draw(random, padded(2, 12), { dualClip: 2 }, true, 4), { dualClip: 2 }),
    scattered(random, {}),
    scattered(random, { dualClip: 1.5 }),
    ...overflows(),
  ]
}

export const reference: Reference = {
  samples,
  random: (random) => {
    const layout = randomLayout(random, true)
    const options: Options = { ...randomReduction(random, layout), clipHigh: pick(random, [0.1, 0.28, 1]) }
    if (!layout.flat) Object.assign(options, pick(random, LEVELS))
    if (chance(random, 0.4)) options.dualClip = 1.5 + random.next()
    return sample(
      'random tokens',
      draw(random, layout, options, chance(random, 0.4), pick(random, [0.1, 0.5])),
      options,
    )
  },
  compute,
  tolerances: {
    loss: {
      ulp: 1,
      reason: 'terms and sums in f64, rounded once',
      extra: (inputs, options) => {
        const { lossSum, divisor } = sizes(inputs, options)
        return [slack(quotient(lossSum, divisor))]
      },
      cpu: {
        reason: TOKENS_IN_F32,
        extra: (inputs, options) => {
          const { lossSum, divisor } = sizes(inputs, options)
          const size = quotient(lossSum, divisor)
          return [slack(size) + ofTokens(options, size, 2 ** -19)]
        },
      },
      webgpu: {
        reason: 'terms in f32, 4 roundings each, which may cancel',
        extra: (inputs, options) => {
          const { lossSum, divisor } = sizes(inputs, options)
          return [inF32(quotient(lossSum, divisor))]
        },
      },
    },
    gradLogprob: {
      ulp: 1,
      reason: 'f64, rounded once; the terms of a sequence may cancel',
      extra: (inputs, options) => {
        const all = sequences(inputs, 'logprob')
        return gradient(inputs, options, all, ratios(inputs, options, all), Math.abs).map((x) => slack(Math.abs(x)))
      },
      cpu: {
        reason: `${TOKENS_IN_F32}: the ratio, its factor, a weight and two products`,
        extra: (inputs, options) => {
          const all = sequences(inputs, 'logprob')
          const sizes = gradient(inputs, options, all, ratios(inputs, options, all), Math.abs)
          return sizes.map((x) => slack(Math.abs(x)) + ofTokens(options, ulp(x), 4))
        },
      },
    },
    stats: {
      ulp: 1,
      reason: 'sums in f64, rounded once',
      extra: (inputs, options) => sizes(inputs, options).stats.map(slack),
      cpu: {
        reason: TOKENS_IN_F32,
        extra: (inputs, options, { stats }) => {
          const all = sizes(inputs, options).stats
          const share = [2 ** -19, 0, 0, 0, 0, 0, 0, 2 ** -18, 2 ** -19, 2 ** -22, 2 ** -22, 2 ** -20, 2 ** -19]
          // What cannot cancel is measured against the sum itself.
          const size = (k: number): number => (k === 0 || k === 11 ? all[k] : Math.abs(Number(stats.data[k])))
          return all.map((x, k) => slack(x) + ofTokens(options, size(k), share[k]))
        },
      },
      webgpu: {
        reason: 'terms of the loss in f32, 4 roundings each; log-ratios in pairs of f32',
        extra: (inputs, options) => sizes(inputs, options).stats.map((x, k) => (k === 0 ? inF32(x) : slack(x))),
      },
    },
  },
  derivative: { objective, gradients: { gradLogprob: 'logprob' } },
  masked: { by: 'valid', inputs: ['logprob', 'oldLogprob', 'advantage', 'weight'], outputs: ['gradLogprob'] },
}
