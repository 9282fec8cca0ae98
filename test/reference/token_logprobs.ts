/** tokenLogprobs: log softmax(x)[token] of transformed logits x, with what its backward pass needs. */
import { size } from './common.ts'
import { chance, f32, fill, normals, pick, seeded, typed } from './draw.ts'
import { drawLogits, extremes, LOGIT_TYPES, longRows, randomTransform, TRANSFORMS, WIDTHS } from './logits.ts'
import { output, slack, ulp } from './numbers.ts'
import type { Inputs, Options, Reference, Sample, Tolerance, Values } from './types.ts'

/** One row's distribution. */
export interface Row {
  /** Transformed logits. */
  x: Float64Array
  /** Index of the (first) largest one. */
  top: number
  rowMax: number
  logSum: number
  p: Float64Array
}

/** Scale, then softcap, then temperature. An infinite logit under a softcap c becomes c or -c, as the formula says. */
export function transform(logit: number, options: Options): number {
  const cap = Number(options.softcap)
  const scaled = Number(options.logitScale) * logit
  return (cap > 0 ? cap * Math.tanh(scaled / cap) : scaled) / Number(options.temperature)
}

/**
 * Softmax of row `i`. The sum leaves out the largest term, whose share is exactly 1: with p -> 1 the rest is far below
 * the rounding of 1 + rest. A row of nothing but -inf, with two +inf or a NaN has no distribution: all of it is NaN.
 */
export function distribution(inputs: Inputs, options: Options, i: number): Row {
  const V = inputs.logits.shape[inputs.logits.shape.length - 1]
  const x = fill(V, (j) => transform(inputs.logits.data[i * V + j], options))
  let top = 0
  for (let j = 1; j < V; j++) if (x[j] > x[top]) top = j
  const rowMax = x[top]
  let rest = 0
  for (let j = 0; j < V; j++) if (j !== top) rest += Math.exp(x[j] - rowMax)
  const logSum = Math.log1p(rest)
  if (Number.isNaN(logSum)) return { x, top, rowMax: Number.NaN, logSum, p: fill(V, () => Number.NaN) }
  // The largest itself: one logit of +inf is certain, and inf - inf is not a number.
  const p = fill(V, (j) => Math.exp((j === top ? 0 : x[j] - rowMax) - logSum))
  return { x, top, rowMax, logSum, p }
}

export const isIgnored = (inputs: Inputs, options: Options, i: number): boolean =>
  inputs.tokens.data[i] === Number(options.ignoreIndex)

/** log p - log p_max, 0 for the largest. */
export const gap = (row: Row, j: number): number => (j === row.top ? 0 : row.x[j] - row.rowMax)

/** -sum p log p = logSum + sum p (max - x): no term is negative, and what has p = 0 adds nothing (0 log 0 = 0). */
const entropyOf = (row: Row): number => row.p.reduce((sum, p, j) => (p > 0 ? sum - p * gap(row, j) : sum), row.logSum)

function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const { shape } = inputs.tokens
  const N = size(shape)
  const columns = { logprob: new Float64Array(N), rowMax: new Float64Array(N), logSum: new Float64Array(N) }
  const entropy = new Float64Array(N)
  for (let i = 0; i < N; i++) {
    // An ignored row has no effect whatever it holds; all its outputs are 0.
    if (isIgnored(inputs, options, i)) continue
    const row = distribution(inputs, options, i)
    columns.logprob[i] = gap(row, inputs.tokens.data[i]) - row.logSum
    columns.rowMax[i] = row.rowMax
    columns.logSum[i] = row.logSum
    entropy[i] = entropyOf(row)
  }
  return {
    logprob: output(columns.logprob, shape),
    rowMax: output(columns.rowMax, shape),
    logSum: output(columns.logSum, shape),
    ...(options.entropy === true ? { entropy: output(entropy, shape) } : {}),
  }
}

const isPlain = (options: Options): boolean =>
  options.logitScale === 1 && options.temperature === 1 && options.softcap === 0

/** What f32 may do to a transformed logit: one or two products, and under a softcap a tanh of f32 quality. */
export function transformError(x: number, options: Options): number {
  if (isPlain(options) || !Number.isFinite(x)) return 0
  return (options.softcap === 0 ? 2 : 6) * ulp(x)
}

/** The error of max - x_j: its own rounding in f32, and what the two already carried. */
export function gapError(row: Row, options: Options, j: number): number {
  if (j === row.top || !Number.isFinite(gap(row, j))) return 0
  return ulp(gap(row, j)) / 2 + transformError(row.x[j], options) + transformError(row.rowMax, options)
}

/** Below the smallest normal number exp may return 0. */
export const SMALLEST = 2 ** -126

type RowError = (row: Row, i: number) => number

const perRow =
  (error: (inputs: Inputs, options: Options) => RowError): Tolerance['extra'] =>
  (inputs, options) =>
    fill(size(inputs.tokens.shape), (i) =>
      isIgnored(inputs, options, i) ? 0 : error(inputs, options)(distribution(inputs, options, i), i),
    )

/** sum over j != max of p_j times the error of max - x_j: the bound that ops.md states. */
const blur = (row: Row, options: Options, factor: (p: number, j: number) => number = () => 1): number => {
  let sum = 0
  for (let j = 0; j < row.p.length; j++) {
    const p = row.p[j]
    if (j === row.top || p === 0) continue
    sum += p * factor(p, j) * (gapError(row, options, j) + (p < SMALLEST ? 1 : 0))
  }
  return sum + slack(row.logSum)
}

const tolerances: Record<string, Tolerance> = {
  logprob: {
    ulp: 2,
    reason: 'as ops.md states: 2 ULP, and the rounding of max - x in f32 (of the transformed logits too) weighted by p',
    extra: perRow((inputs, options) => (row, i) => {
      const token = inputs.tokens.data[i]
      const own = token === row.top ? 0 : transformError(row.x[token], options) + transformError(row.rowMax, options)
      return blur(row, options) + own
    }),
  },
  rowMax: {
    ulp: 0,
    reason: 'a maximum is exact; a scaled one carries the rounding of the scaling',
    extra: perRow((_, options) => (row) => transformError(row.rowMax, options)),
  },
  logSum: {
    ulp: 2,
    reason: 'it is -logprob of the likeliest token, so the same bound',
    extra: perRow((_, options) => (row) => blur(row, options)),
  },
  entropy: {
    ulp: 4,
    reason:
      'p and max - x of f32 quality, no cancellation; dH/dx_j = -p_j (log p_j + H) weights the rounding of max - x',
    extra: perRow((_, options) => (row) => {
      const H = entropyOf(row)
      return blur(row, options, (p) => 1 + Math.abs(Math.log(p) + H) + Math.abs(Math.log(p)))
    }),
  },
}

function samples(): Sample[] {
  const random = seeded(1)
  const wide = WIDTHS.map((V, k) => ({
    name: `V = ${V}, ${LOGIT_TYPES[k % 3]}`,
    inputs: drawLogits(random, 3, V, LOGIT_TYPES[k % 3]),
  }))
  const ignored = drawLogits(random, 4, 9, 'f32', 3)
  const drawn: Sample[] = [
    ...wide,
    ...LOGIT_TYPES.map((dtype) => ({
      name: `[6, 20] with ignored rows, ${dtype}`,
      inputs: drawLogits(random, 6, 20, dtype, 3, 0.4),
    })),
    ...TRANSFORMS.map((options, k) => ({
      name: `options ${k}: ${Object.keys(options).join(', ')}`,
      inputs: drawLogits(random, 5, 37, LOGIT_TYPES[k % 3]),
      options,
    })),
    {
      name: '[2, 3, 11] logits for [2, 3] tokens',
      inputs: { logits: f32(normals(random, 66), [2, 3, 11]), tokens: typed('i32', [0, 5, 10, -100, 3, 7], [2, 3]) },
    },
    { name: 'no rows', inputs: { logits: f32([], [0, 16]), tokens: typed('i32', [], [0]) } },
    {
      name: 'an ignored row may hold NaN',
      inputs: {
        logits: f32(
          fill(36, (k) => (k < 9 ? Number.NaN : Number(ignored.logits.data[k]))),
          [4, 9],
        ),
        tokens: typed('i32', [-100, 1, 2, 8]),
      },
    },
    ...extremes(random),
    ...longRows(random),
    ...[8003, 50257].flatMap((V) =>
      LOGIT_TYPES.map((dtype) => ({ name: `V = ${V}, ${dtype}`, inputs: drawLogits(random, 1, V, dtype, 4) })),
    ),
  ]
  const lengthy = (sample: Sample): boolean => sample.inputs.logits.shape.at(-1)! > 1000
  return drawn.flatMap((sample) => [
    { ...sample, options: { ...sample.options, entropy: true } },
    ...(sample.name.startsWith('[') || lengthy(sample) ? [{ ...sample, name: `${sample.name}, no entropy` }] : []),
  ])
}

export const reference: Reference = {
  samples,
  random: (random) => ({
    name: 'random logits',
    inputs: drawLogits(
      random,
      random.integer(0, 5),
      random.integer(1, 70),
      pick(random, LOGIT_TYPES),
      pick(random, [0.1, 3, 30]),
      0.2,
    ),
    options: { ...randomTransform(random), entropy: chance(random, 0.7) },
  }),
  compute,
  tolerances,
}
