/** whiten: (x - mean) / sqrt(variance + epsilon) over the values that count. */
import { isValid } from './common.ts'
import { chance, f32, fill, flags, normals, seeded, spell, typed } from './draw.ts'
import { output, slack } from './numbers.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Values } from './types.ts'

interface Moments {
  count: number
  mean: number
  /** sqrt(variance + epsilon). */
  deviation: number
  /** The largest value that counts. */
  largest: number
}

function moments(inputs: Inputs, options: Options): Moments {
  const x = Array.from(inputs.x.data).filter((_, i) => isValid(inputs, i))
  const count = x.length
  const mean = x.reduce((sum, v) => sum + v, 0) / count
  const squares = x.reduce((sum, v) => sum + (v - mean) ** 2, 0)
  const variance = squares / (options.unbiased === false ? count : count - 1)
  const deviation = Math.sqrt(variance + Number(options.epsilon))
  return { count, mean, deviation, largest: x.reduce((most, v) => Math.max(most, Math.abs(v)), 0) }
}

/**
 * Without `shiftMean` the mean is added back, so that only the spread changes: (x - mean) / deviation + mean, as TRL,
 * verl and lm-human-preferences have it. Values that do not vary at all give 0 / deviation = 0 even with epsilon 0.
 */
function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const { count, mean, deviation } = moments(inputs, options)
  const back = options.shiftMean === false ? mean : 0
  const y = fill(inputs.x.data.length, (i) => {
    if (!isValid(inputs, i) || count < 2) return 0
    const centered = inputs.x.data[i] - mean
    return (centered === 0 ? 0 : centered / deviation) + back
  })
  return { y: output(y, inputs.x.shape) }
}

/** x - mean cancels for values far from 0: f64 leaves a share of the largest value, divided by the deviation. */
function extra(inputs: Inputs, options: Options): Float64Array {
  const { mean, deviation, largest } = moments(inputs, options)
  const size = slack(largest) / deviation + slack(options.shiftMean === false ? Math.abs(mean) : 0)
  return fill(inputs.x.data.length, () => (Number.isFinite(size) ? size : 0))
}

function draw(random: RandomSource, shape: readonly number[], share: number, scale = 1, shift = 0): Inputs {
  const N = shape.reduce((a, b) => a * b, 1)
  return {
    x: f32(normals(random, N, scale, shift), shape),
    ...(share < 1 ? { valid: typed('u8', flags(random, N, share), shape) } : {}),
  }
}

const VARIANTS: Options[] = [
  {},
  { shiftMean: false },
  { unbiased: false },
  { epsilon: 0 },
  { epsilon: 1, shiftMean: false, unbiased: false },
  { epsilon: 1e-4 },
]

function samples(): Sample[] {
  const random = seeded(7)
  const shapes = [[2], [3], [7], [15], [16], [17], [33], [4, 9], [2, 3, 5], [4095], [4096], [4097], [3, 4097]]
  return [
    ...VARIANTS.map((options) => ({ name: `[5, 7], ${spell(options)}`, inputs: draw(random, [5, 7], 0.7), options })),
    ...shapes.flatMap((shape, k) =>
      [1, 0.8].map((share) => ({
        name: `[${shape}]${share < 1 ? ' with gaps' : ''}`,
        inputs: draw(random, shape, share, 3, 0.5),
        options: VARIANTS[k % VARIANTS.length],
      })),
    ),
    { name: 'nothing', inputs: { x: f32([]) } },
    { name: 'no rows', inputs: { x: f32([], [0, 3]) } },
    { name: 'one value', inputs: { x: f32([5]) } },
    {
      name: 'one value counts, mean kept',
      inputs: { x: f32([5, 6, 7]), valid: typed('u8', [0, 1, 0]) },
      options: { shiftMean: false },
    },
    { name: 'nothing counts', inputs: { x: f32([5, 6, 7]), valid: typed('u8', [0, 0, 0]) } },
    { name: 'two values count', inputs: { x: f32([5, 6, 7]), valid: typed('u8', [1, 0, 255]) } },
    { name: 'values that do not vary', inputs: { x: f32(new Float64Array(50).fill(2)) } },
    { name: 'a small spread far from 0', inputs: draw(random, [500], 0.9, 1, 1e4) },
    { name: 'tiny values', inputs: draw(random, [100], 1, 1e-15), options: { epsilon: 0 } },
    { name: 'huge values', inputs: draw(random, [100], 1, 1e30), options: { shiftMean: false } },
  ]
}

export const reference: Reference = {
  samples,
  random: (random) => ({
    name: 'random values',
    inputs: draw(
      random,
      [random.integer(0, 6), random.integer(1, 9)],
      chance(random, 0.5) ? 1 : 0.6,
      2,
      random.normal(),
    ),
    options: {
      shiftMean: chance(random, 0.6),
      unbiased: chance(random, 0.6),
      epsilon: chance(random, 0.5) ? 1e-8 : random.next(),
    },
  }),
  compute,
  tolerances: { y: { ulp: 1, reason: 'moments and quotient in f64, rounded once', extra } },
  masked: { by: 'valid', inputs: ['x'], outputs: ['y'] },
  joinsRows: 'mean and variance are those of all of them',
}
