/** Where sequences begin and end, which of their positions count, and how their terms become one number. */
import { expMinusLinear, plainPairs, slack } from './numbers.ts'
import type { Inputs, Options } from './types.ts'

/** One sequence: positions `start` up to `end`, and those of them that count, in order. */
export interface Sequence {
  start: number
  end: number
  valid: number[]
}

export const isValid = (inputs: Inputs, i: number): boolean => inputs.valid === undefined || inputs.valid.data[i] !== 0

/** The sequences of the token tensor called `like`: packed by `offsets`, rows of `[B, T]`, or one flat `[N]`. */
export function sequences(inputs: Inputs, like: string): Sequence[] {
  const { shape } = inputs[like]
  const bounds: [number, number][] = []
  if (inputs.offsets !== undefined) {
    const { data } = inputs.offsets
    for (let b = 0; b + 1 < data.length; b++) bounds.push([data[b], data[b + 1]])
  } else if (shape.length === 2) {
    for (let b = 0; b < shape[0]; b++) bounds.push([b * shape[1], (b + 1) * shape[1]])
  } else {
    bounds.push([0, shape[0]])
  }
  return bounds.map(([start, end]) => {
    const valid: number[] = []
    for (let i = start; i < end; i++) if (isValid(inputs, i)) valid.push(i)
    return { start, end, valid }
  })
}

/** How the terms of a token loss become one number (ops.md, "aggregate"). */
export interface Aggregation {
  /** This call's own outer denominator: valid tokens, counted sequences, or 1. It is `stats.denominator`. */
  denominator: number
  /** What the numerator is divided by: `normalizer`, or the denominator. */
  divisor: number
  /** The factor of one term of this sequence in the loss (its weight aside). */
  coefficient(sequence: Sequence): number
  /** The factor of one term in the numerator `stats.lossSum`. */
  share(sequence: Sequence): number
}

export function aggregation(all: readonly Sequence[], options: Options): Aggregation {
  const tokens = all.reduce((sum, { valid }) => sum + valid.length, 0)
  const counted = options.countEmpty === true ? all.length : all.filter(({ valid }) => valid.length > 0).length
  const kind = options.aggregate
  const denominator = kind === 'token-mean' ? tokens : kind === 'token-sum' ? 1 : counted
  const divisor = options.normalizer === undefined ? denominator : Number(options.normalizer)
  const share = ({ valid }: Sequence): number => (kind === 'sequence-mean' ? 1 / valid.length : 1)
  return {
    denominator,
    divisor,
    share,
    coefficient: (sequence) => (sequence.valid.length === 0 ? 0 : share(sequence) / divisor),
  }
}

/** The numerator of the loss: every term times its sequence's share. Nothing to add up gives 0. */
export function numerator(all: readonly Sequence[], how: Aggregation, term: (i: number) => number): number {
  let sum = 0
  for (const sequence of all) for (const i of sequence.valid) sum += how.share(sequence) * term(i)
  return sum
}

export const quotient = (sum: number, divisor: number): number => (divisor === 0 ? 0 : sum / divisor)

export const weightOf = (inputs: Inputs, i: number): number => inputs.weight?.data[i] ?? 1

export function total(terms: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < terms.length; i++) sum += terms[i]
  return sum
}

/** What a sum's rounding is measured against: the sum of the sizes of its terms. */
export const magnitude = (terms: ArrayLike<number>): number => total(Array.from(terms, Math.abs))

/** Elements of a shape. */
export const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1)

/** Schulman 2020, "Approximating KL divergence": estimators of KL(policy, reference), x = refLogprob - logprob. */
export function klEstimate(estimator: unknown, x: number): number {
  switch (estimator) {
    case 'k1':
      return -x
    case 'k2':
      return (x * x) / 2
    case 'k3':
      return expMinusLinear(x)
    default:
      return Math.abs(x)
  }
}

/** Of what the margin, the chosen and the rejected sums of a loss on pairs are sums of. */
export const pairSizes = (chosen: ArrayLike<number>, rejected: ArrayLike<number>): number[] => {
  const sizes = [magnitude(chosen), magnitude(rejected)]
  return [sizes[0] + sizes[1], ...sizes]
}

type Side = 'byChosen' | 'byRejected'

/** On the cpu, by side: what plain pairs lose in f32, others where terms cancel in f64. `sum` adds up the terms of a gradient. */
export const pairGradientSlack =
  (
    isPlain: (inputs: Inputs, options: Options) => boolean,
    gradients: (
      inputs: Inputs,
      options: Options,
      side: Side,
      sum?: (terms: ArrayLike<number>) => number,
    ) => Float64Array,
  ) =>
  (side: Side) =>
  (inputs: Inputs, options: Options): Float64Array =>
    isPlain(inputs, options)
      ? gradients(inputs, options, side).map(plainPairs.gradient)
      : gradients(inputs, options, side, magnitude).map((x) => slack(Math.abs(x)))
