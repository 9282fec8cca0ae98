/** ppoValueLoss: Schulman et al. 2017 (arXiv:1707.06347) eq. 9, clipped as in the OpenAI baselines. */
import { aggregation, numerator, quotient, sequences, weightOf } from './common.ts'
import {
  chance,
  f32,
  fill,
  flatLayouts,
  type Layout,
  longLayouts,
  normals,
  padded,
  pick,
  randomLayout,
  randomReduction,
  reductions,
  seeded,
  smallLayouts,
  spell,
  standard,
  typed,
} from './draw.ts'
import { clamp, output, scaled, slack, ulp } from './numbers.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Values } from './types.ts'

interface Term {
  value: number
  /** d term / d value: none where the clipped error is larger; a tie is unclipped. */
  slope: number
  isClipped: boolean
}

/** scale * max((V - R)^2, (clip(V, old - c, old + c) - R)^2). */
function termAt(inputs: Inputs, options: Options, i: number): Term {
  const scale = Number(options.scale)
  const error = inputs.value.data[i] - inputs.returns.data[i]
  if (options.clip === undefined) return { value: scale * error ** 2, slope: 2 * scale * error, isClipped: false }
  const old = inputs.oldValue.data[i]
  const clip = Number(options.clip)
  const clippedError = clamp(inputs.value.data[i], old - clip, old + clip) - inputs.returns.data[i]
  const isClipped = clippedError ** 2 > error ** 2
  return {
    value: scale * Math.max(error ** 2, clippedError ** 2),
    // An old value that is no number is not clipped away.
    slope: isClipped ? 0 : Number.isNaN(clippedError) ? Number.NaN : 2 * scale * error,
    isClipped,
  }
}

/** n, mean and sum of squared deviations; taken relative to the first value, so that equal values have exactly 0. */
function welford(x: readonly number[]): [number, number, number] {
  if (x.length === 0) return [0, 0, 0]
  const mean = x[0] + x.reduce((sum, v) => sum + (v - x[0]), 0) / x.length
  return [x.length, mean, x.reduce((sum, v) => sum + (v - mean) ** 2, 0)]
}

/** Numbers of tokens, weighted and added up as the options say: the sum, and what it is divided into. */
function added(inputs: Inputs, options: Options, weighted: (i: number) => number): { lossSum: number; loss: number } {
  const all = sequences(inputs, 'value')
  const how = aggregation(all, options)
  const lossSum = numerator(all, how, weighted)
  return { lossSum, loss: quotient(lossSum, how.divisor) }
}

const lossParts = (inputs: Inputs, options: Options): { lossSum: number; loss: number } =>
  added(inputs, options, (i) => scaled(weightOf(inputs, i), termAt(inputs, options, i).value))

/** The sizes of what the loss is added up from: a clipped error is itself the difference of an error and a clip. */
const lossSizes = (inputs: Inputs, options: Options): { lossSum: number; loss: number } =>
  added(inputs, options, (i) => {
    const { value, isClipped } = termAt(inputs, options, i)
    const scale = Math.abs(Number(options.scale))
    const size = Math.abs(value) + (isClipped ? Number(options.clip) * Math.sqrt(Math.abs(value) * scale) : 0)
    return scaled(Math.abs(weightOf(inputs, i)), size)
  })

/** The errors whose variance is not explained, returns - value, and the returns, where they count. */
function columns(inputs: Inputs): { errors: number[]; returns: number[] } {
  const tokens = sequences(inputs, 'value').flatMap(({ valid }) => valid)
  const returns = tokens.map((i) => inputs.returns.data[i])
  return { errors: tokens.map((i) => inputs.returns.data[i] - inputs.value.data[i]), returns }
}

function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const all = sequences(inputs, 'value')
  const how = aggregation(all, options)
  const gradValue = new Float64Array(inputs.value.data.length)
  let clipped = 0
  for (const sequence of all) {
    for (const i of sequence.valid) {
      const { slope, isClipped } = termAt(inputs, options, i)
      gradValue[i] = scaled(Number(options.gradScale) * how.coefficient(sequence) * weightOf(inputs, i), slope)
      if (isClipped) clipped++
    }
  }
  const { lossSum, loss } = lossParts(inputs, options)
  const { errors, returns } = columns(inputs)
  const stats = [lossSum, how.denominator, errors.length, clipped, ...welford(errors), ...welford(returns)]
  return {
    loss: output([loss], [1]),
    gradValue: output(gradValue, inputs.value.shape),
    stats: output(stats, [stats.length]),
  }
}

/** A mean may be off by f64 rounding of the largest value; squared deviations by that squared, and by their own sum. */
function momentSlack(x: readonly number[], m2: number): number[] {
  const largest = slack(x.reduce((most, v) => Math.max(most, Math.abs(v)), 0))
  return [0, largest, slack(m2) + x.length * largest ** 2]
}

const IN_F32 = 'errors and their squares in f32, added in f32 within 256 tokens and in f64 beyond'

/**
 * The same for deviations in f32: sixteen of them added, each sum rounded (equal ones all in one direction), and ten times
 * that where they are taken from a value three deviations off the mean.
 */
function f32MomentSlack([n, mean, m2]: readonly number[]): number[] {
  const deviation = n === 0 ? 0 : Math.sqrt(m2 / n)
  return Number.isFinite(m2) ? [0, 2 ** -24 * (2 * Math.abs(mean) + 16 * deviation), 2 ** -16 * m2] : [0, 0, 0]
}

/** Draws one value whose clip is clearly decided, away from both kinks. */
function clearValue(random: RandomSource, old: number, target: number, clip: number): number {
  const value = old + 0.5 * random.normal()
  const far = Math.abs(value - old) - clip
  const bound = clamp(value, old - clip, old + clip)
  const isTie = far > 0 && Math.abs((value - target) ** 2 - (bound - target) ** 2) < 0.01
  return Math.abs(far) < 0.01 || isTie ? clearValue(random, old, target, clip) : value
}

function draw(random: RandomSource, layout: Layout, options: Options, withWeight: boolean): Inputs {
  const { N, shape } = layout
  const old = normals(random, N)
  const returns = normals(random, N, 1.5, 0.3)
  const clip = Number(options.clip ?? Number.POSITIVE_INFINITY)
  return {
    value: f32(
      fill(N, (i) => clearValue(random, old[i], returns[i], clip)),
      shape,
    ),
    returns: f32(returns, shape),
    ...layout.inputs,
    ...(options.clip === undefined ? {} : { oldValue: f32(old, shape) }),
    ...(withWeight
      ? {
          weight: f32(
            fill(N, () => 2 * random.next()),
            shape,
          ),
        }
      : {}),
  }
}

function sample(name: string, inputs: Inputs, options: Options): Sample {
  const isLarge = inputs.value.data.length > 1000
  const large = { skipGradients: 'large: the same formula is differentiated in the small samples' }
  return { name: `${name}, ${spell(options)}`, inputs, options, ...(isLarge ? large : {}) }
}

const CLIPS: Options[] = [{}, { clip: 0.2 }, { clip: 0.5, scale: 1 }, { scale: 0.05 }]

/** Values at exactly the clip's edge, and returns midway between a value and its clipped self. */
const ties: Sample = {
  name: 'ties at the edge of the clip',
  inputs: { value: f32([1, 2, 2, 0]), oldValue: f32([0.5, 1, 1, 1]), returns: f32([3, 1.75, 1.8125, 0.25]) },
  options: { clip: 0.5 },
  skipGradients: 'ties are kinks',
}

function samples(): Sample[] {
  const random = seeded(10)
  const make = (layout: Layout, options: Options, withWeight: boolean): Sample =>
    sample(layout.name, draw(random, layout, options, withWeight), options)
  const constant = f32(new Float64Array(40).fill(0.1), [2, 20])
  return [
    ...CLIPS.flatMap((clips) =>
      [false, true].map((isWeighted) => make(isWeighted ? padded(3, 7) : standard(), clips, isWeighted)),
    ),
    ...reductions().map((options, k) => make(standard(), { ...CLIPS[k % 4], ...options }, k % 2 === 0)),
    ...smallLayouts(random).map((layout, k) => make(layout, { ...CLIPS[k % 4], ...reductions()[k % 6] }, k % 3 === 0)),
    ...flatLayouts(random).map((layout, k) => make(layout, CLIPS[k % 4], k % 2 === 0)),
    ...longLayouts(random).map((layout, k) => make(layout, { ...CLIPS[k % 3], ...reductions()[k % 4] }, k === 1)),
    ties,
    { name: 'oldValue without clip is not used', inputs: { ...ties.inputs, valid: typed('u8', [1, 0, 1, 1]) } },
    { name: 'returns that do not vary', inputs: { value: f32(normals(random, 40), [2, 20]), returns: constant } },
    {
      name: 'values and returns of 1e4',
      inputs: { value: f32(normals(random, 30, 1, 1e4)), returns: f32(normals(random, 30, 1, 1e4)) },
    },
    {
      name: 'a first return far from the others',
      inputs: { value: f32(normals(random, 60)), returns: f32([300, ...normals(random, 59)]) },
    },
    {
      name: 'errors far from 0',
      inputs: { value: f32(normals(random, 60)), returns: f32(normals(random, 60, 1, 500)) },
    },
    {
      name: 'a value of 1e16 among others',
      inputs: {
        value: f32([0.5, -1, 1e16, 2, 1e16, 0.3]),
        oldValue: f32([0, -1, 1, 2, 1e16, 0.25]),
        returns: f32([1, 0, 2, 1e16, 0, 0.75]),
        valid: typed('u8', [1, 1, 1, 1, 1, 0]),
      },
      options: { clip: 0.2 },
      skipGradients: 'differences lose the small values',
    },
    {
      name: 'values that are no numbers, clipped',
      inputs: {
        value: f32([Number.NaN, 1, 2, Number.POSITIVE_INFINITY, 3]),
        oldValue: f32([0, 1, Number.NaN, 1, 3]),
        returns: f32([0, 0, 1, 3, 2.5]),
      },
      options: { clip: 0.2 },
      skipGradients: 'no numbers',
    },
    {
      name: 'a clip that f32 cannot see beside the error',
      inputs: { value: f32([0.5, -0.5]), oldValue: f32([0, 0]), returns: f32([1e7, 1e7]) },
      options: { clip: 0.2 },
      skipGradients: 'differences lose the clip',
    },
    ...[[64], [64, 1]].map((shape) => ({
      name: `errors that differ by less than f32 holds, [${shape}]`,
      inputs: {
        value: f32(
          fill(64, () => 1e4),
          shape,
        ),
        returns: f32(
          fill(64, (i) => 1e-4 * ((i % 5) - 2)),
          shape,
        ),
      },
      skipGradients: 'differences lose the returns',
    })),
    {
      name: 'negative weights',
      inputs: { value: f32([1, 2, 3]), returns: f32([1.5, 1, 3.25]), weight: f32([1, -0.25, -1]) },
    },
    {
      name: 'a weight that makes its term too large for f32',
      inputs: { value: f32([3, 1]), returns: f32([1, 1.5]), weight: f32([1e29, 1]) },
      skipGradients: 'differences lose the small weight',
    },
    ...[2 ** 70, 2 ** -70, 0].map((gradScale) => ({
      ...make(padded(3, 7), { clip: 0.5, gradScale }, true),
      name: `gradScale of ${gradScale}`,
      skipGradients: 'a factor that differences do not hold',
    })),
    {
      name: 'squares beyond f32',
      inputs: { value: f32([1e30, 0]), returns: f32([0, 1]) },
      skipGradients: 'an infinite loss',
    },
  ]
}

export const reference: Reference = {
  samples,
  random: (random) => {
    const layout = randomLayout(random, true)
    const options: Options = { ...randomReduction(random, layout), ...pick(random, CLIPS) }
    return sample('random steps', draw(random, layout, options, chance(random, 0.4)), options)
  },
  compute,
  tolerances: {
    loss: {
      ulp: 1,
      reason: 'terms and sums in f64, rounded once; no term is negative',
      cpu: { ulp: 8, reason: IN_F32, magnitude: (inputs, options) => [lossSizes(inputs, options).loss] },
    },
    gradValue: {
      ulp: 1,
      reason: 'one difference and one product in f64, rounded once',
      cpu: { ulp: 4, reason: 'the difference, its factor, a weight and two products, half a unit or more each' },
    },
    stats: {
      ulp: 1,
      reason: 'sums and moments in f64, rounded once',
      extra: (inputs, _, { stats }) => {
        const { errors, returns } = columns(inputs)
        return [0, 0, 0, 0, ...momentSlack(errors, stats.data[6]), ...momentSlack(returns, stats.data[9])]
      },
      cpu: {
        reason: IN_F32,
        extra: (inputs, options, { stats }) => {
          const data = Array.from(stats.data)
          const size = lossSizes(inputs, options).lossSum
          const lossSlack = Number.isFinite(size) ? 8 * ulp(size) : 0
          return [lossSlack, 0, 0, 0, ...f32MomentSlack(data.slice(4, 7)), ...f32MomentSlack(data.slice(7))]
        },
      },
    },
  },
  derivative: {
    objective: (inputs, options) => Number(options.gradScale) * lossParts(inputs, options).loss,
    gradients: { gradValue: 'value' },
  },
  masked: { by: 'valid', inputs: ['value', 'oldValue', 'returns', 'weight'], outputs: ['gradValue'] },
}
