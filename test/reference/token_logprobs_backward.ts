/** tokenLogprobsBackward: d(sum of g logprob + g_H entropy) / d logits. */
import { size } from './common.ts'
import { chance, f32, fill, normals, pick, seeded, typed } from './draw.ts'
import { drawLogits, extremes, LOGIT_TYPES, randomTransform, TRANSFORMS, WIDTHS } from './logits.ts'
import { output, round, ulp } from './numbers.ts'
import {
  distribution,
  gap,
  gapError,
  isIgnored,
  type Row,
  SMALLEST,
  reference as tokenLogprobs,
  transform,
  transformError,
} from './token_logprobs.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Values } from './types.ts'

/** d(transformed) / d(logit) = scale * sech^2(scale * logit / cap) / temperature. */
function slope(logit: number, options: Options): number {
  const cap = Number(options.softcap)
  const outer = Number(options.logitScale) / Number(options.temperature)
  return cap > 0 ? outer / Math.cosh((Number(options.logitScale) * logit) / cap) ** 2 : outer
}

const upstream = (inputs: Inputs, i: number): { g: number; gH: number; H: number } => ({
  g: inputs.gradLogprob.data[i],
  gH: inputs.gradEntropy?.data[i] ?? 0,
  H: inputs.entropy?.data[i] ?? 0,
})

/** Rows that are not read at all: ignored ones, and those that nothing flows into. */
const isIdle = (inputs: Inputs, options: Options, i: number): boolean => {
  const { g, gH } = upstream(inputs, i)
  return isIgnored(inputs, options, i) || (g === 0 && gH === 0)
}

/**
 * d logprob / dx_j = [j = token] - p_j and dH / dx_j = -p_j (log p_j + H), with p_j = exp(x_j - rowMax - logSum) from
 * the forward call's figures as they are given. The token's own entry is -expm1(logprob), which keeps 1 - p exact.
 */
function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const { logits, tokens } = inputs
  const V = logits.shape[logits.shape.length - 1]
  const gradLogits = new Float64Array(size(logits.shape))
  for (let i = 0; i < size(tokens.shape); i++) {
    if (isIdle(inputs, options, i)) continue
    const { g, gH, H } = upstream(inputs, i)
    const [logprob, rowMax, logSum] = [inputs.logprob.data[i], inputs.rowMax.data[i], inputs.logSum.data[i]]
    for (let j = 0; j < V; j++) {
      const logit = logits.data[i * V + j]
      const x = transform(logit, options)
      const logP = (x === rowMax ? 0 : x - rowMax) - logSum
      const p = Math.exp(logP)
      const own = j === tokens.data[i] ? -Math.expm1(logprob) : -p
      const spread = p === 0 ? 0 : -p * (logP + H)
      gradLogits[i * V + j] = (g * own + gH * spread) * slope(logit, options)
    }
  }
  return { gradLogits: output(gradLogits, logits.shape, logits.dtype) }
}

function objective(inputs: Inputs, options: Options): number {
  const forward = tokenLogprobs.compute(inputs, { ...options, entropy: true })
  let sum = 0
  for (let i = 0; i < size(inputs.tokens.shape); i++) {
    if (isIdle(inputs, options, i)) continue
    const { g, gH } = upstream(inputs, i)
    sum += (g === 0 ? 0 : g * forward.logprob.data[i]) + (gH === 0 ? 0 : gH * forward.entropy.data[i])
  }
  return sum
}

/** One f32 rounding, as a share of the result. */
const EPS = 2 ** -23

/** What one entry may be off, before it is rounded to the logits' element type. */
function entryError(inputs: Inputs, options: Options, row: Row, i: number, j: number): number {
  const { g, gH, H } = upstream(inputs, i)
  const p = row.p[j]
  const logP = gap(row, j) - row.logSum
  const logit = inputs.logits.data[i * row.p.length + j]
  const outer = Math.abs(Number(options.logitScale) / Number(options.temperature))
  const isOwn = j === inputs.tokens.data[i]
  const own = isOwn ? -Math.expm1(inputs.logprob.data[i]) : p
  const size = Math.abs(g * own) + (p > 0 ? Math.abs(gH) * p * (Math.abs(logP) + H) : 0)
  // A softcap's slope 1 - tanh^2 is good to a rounding of 1, whatever it is itself.
  const fromSlope = options.softcap === 0 ? 0 : 4 * EPS * outer * size
  const fromProducts = 3 * EPS * Math.abs(slope(logit, options)) * size
  if (p === 0) return fromSlope + fromProducts
  // log p is rounded twice, and carries the errors of x and max; the top entry's x - rowMax may be off by both.
  const top = j === row.top ? 2 * transformError(row.rowMax, options) : 0
  const inLogP = gapError(row, options, j) + top + ulp(logP) / 2
  const lost = p < SMALLEST ? 1 : 0
  const inP = p * (inLogP + 2 * EPS + lost)
  const inEntropy = inP * (Math.abs(logP) + H) + p * (inLogP + ulp(H))
  const weight = Math.abs(slope(logit, options))
  return fromSlope + fromProducts + weight * ((isOwn ? 0 : Math.abs(g) * inP) + Math.abs(gH) * inEntropy)
}

function extra(inputs: Inputs, options: Options): Float64Array {
  const V = inputs.logits.shape[inputs.logits.shape.length - 1]
  const errors = new Float64Array(size(inputs.logits.shape))
  for (let i = 0; i < size(inputs.tokens.shape); i++) {
    if (isIdle(inputs, options, i)) continue
    const row = distribution(inputs, options, i)
    for (let j = 0; j < V; j++) errors[i * V + j] = entryError(inputs, options, row, i, j)
  }
  return errors
}

const DEFAULTS: Options = { temperature: 1, logitScale: 1, softcap: 0, ignoreIndex: -100 }

/** Adds what the forward call returns, rounded as it returns it, and upstream gradients. */
function withForward(
  random: RandomSource,
  inputs: Inputs,
  options: Options,
  kind: 'both' | 'logprob' | 'entropy',
): Inputs {
  const { shape } = inputs.tokens
  const N = size(shape)
  const forward = tokenLogprobs.compute(inputs, { ...DEFAULTS, ...options, entropy: true })
  const given = (name: string): Values =>
    f32(
      fill(N, (i) => round(forward[name].data[i])),
      shape,
    )
  const gradLogprob = kind === 'entropy' ? new Float64Array(N) : normals(random, N)
  return {
    ...inputs,
    logprob: given('logprob'),
    rowMax: given('rowMax'),
    logSum: given('logSum'),
    gradLogprob: f32(gradLogprob, shape),
    ...(kind === 'logprob' ? {} : { entropy: given('entropy'), gradEntropy: f32(normals(random, N), shape) }),
  }
}

const KINDS = ['both', 'logprob', 'entropy'] as const
const LARGE = 'large: the same formula is differentiated in the small samples'

function idleRow(random: RandomSource): Sample {
  const inputs = withForward(random, drawLogits(random, 3, 6, 'f32'), {}, 'logprob')
  const logits = fill(18, (k) => (k >= 6 && k < 12 ? Number.NaN : inputs.logits.data[k]))
  const [first, , last] = Array.from(inputs.gradLogprob.data)
  return {
    name: 'a row with nothing flowing into it may hold NaN',
    inputs: { ...inputs, logits: f32(logits, [3, 6]), gradLogprob: f32([first, 0, last]) },
    skipGradients: 'NaN has no slope',
  }
}

function samples(): Sample[] {
  const random = seeded(2)
  const draw = (name: string, inputs: Inputs, options: Options, k: number): Sample => ({
    name: `${name}, ${KINDS[k % 3]}`,
    inputs: withForward(random, inputs, options, KINDS[k % 3]),
    options,
    ...(size(inputs.logits.shape) > 2000 ? { skipGradients: LARGE } : {}),
  })
  const cube = { logits: f32(normals(random, 66), [2, 3, 11]), tokens: typed('i32', [0, 5, 10, -100, 3, 7], [2, 3]) }
  return [
    ...WIDTHS.map((V, k) =>
      draw(`V = ${V}, ${LOGIT_TYPES[k % 3]}`, drawLogits(random, 2, V, LOGIT_TYPES[k % 3]), {}, Math.floor(k / 3)),
    ),
    ...KINDS.map((_, k) =>
      draw(`[6, 20] with ignored rows, ${LOGIT_TYPES[k]}`, drawLogits(random, 6, 20, LOGIT_TYPES[k], 3, 0.4), {}, k),
    ),
    ...TRANSFORMS.map((options, k) =>
      draw(`options ${k}: ${Object.keys(options).join(', ')}`, drawLogits(random, 4, 19, 'f32'), options, k),
    ),
    draw('[2, 3, 11] logits for [2, 3] tokens', cube, {}, 0),
    draw('no rows', { logits: f32([], [0, 16]), tokens: typed('i32', [], [0]) }, {}, 0),
    idleRow(random),
    ...extremes(random).map(({ name, inputs, options = {} }) => ({
      ...draw(name, inputs, options, name.includes('inf') ? 1 : 0),
      skipGradients: 'infinite or huge logits: a step of finite size means nothing',
    })),
    draw('V = 50257, bf16', drawLogits(random, 1, 50257, 'bf16', 4), {}, 1),
    draw('V = 8003, f16', drawLogits(random, 2, 8003, 'f16', 4), {}, 0),
  ]
}

export const reference: Reference = {
  samples,
  random: (random) => {
    const options = randomTransform(random)
    const drawn = drawLogits(random, random.integer(0, 4), random.integer(1, 40), pick(random, LOGIT_TYPES), 3, 0.2)
    const inputs = withForward(random, drawn, options, pick(random, KINDS))
    if (chance(random, 0.3)) inputs.gradLogprob = f32(fill(size(inputs.tokens.shape), () => random.integer(-1, 1)))
    return { name: 'random logits', inputs, options }
  },
  compute,
  tolerances: {
    gradLogits: {
      ulp: 1,
      reason: 'one rounding to the element type; per entry, what f32 does to log p, to exp and to the products',
      extra,
    },
  },
  derivative: { objective, gradients: { gradLogits: 'logits' } },
}
