import type { Inputs, Options, RandomSource, Reference, Sample } from '../types.ts'
import { f32, laneDepth, lastOf, normals, rowsOf, seeded, UNIT, zeros } from './common.ts'
import { reference as rmsNorm } from './rms_norm.ts'

const EPSILON = 1e-5

/** Inputs of a backward call that belong together: inverseRms comes from the forward call. */
function call(random: RandomSource, leading: readonly number[], H: number, scale = 1): Inputs {
  const x = normals(random, [...leading, H], scale)
  const weight = normals(random, [H])
  const { inverseRms } = rmsNorm.compute({ x, weight }, { epsilon: EPSILON })
  return { gradY: normals(random, [...leading, H]), x, weight, inverseRms: f32(inverseRms.data, inverseRms.shape) }
}

function samples(): Sample[] {
  const random = seeded(32)
  return [
    {
      name: 'one number',
      inputs: call(random, [1], 1),
      skipGradients: 'only epsilon keeps y from being the sign of x: the gradient is what rounding inverseRms leaves',
    },
    { name: 'no rows: gradWeight is 0', inputs: call(random, [0], 5) },
    { name: 'narrower than a vector', inputs: call(random, [5], 3) },
    { name: 'one more than a vector, leading dimensions', inputs: call(random, [2, 2], 17) },
    { name: 'rows of several blocks', inputs: call(random, [130], 33), skipGradients: 'too many elements' },
    { name: 'a wide row', inputs: call(random, [2], 515), skipGradients: 'too many elements' },
    {
      name: 'large values',
      inputs: call(random, [3], 20, 1e6),
      skipGradients: 'the gradient is a millionth of the step that central differences need',
    },
  ]
}

/** The gradient through the norm: `gradX = s (gradY w - x s^2 mean(gradY w x))`, s = inverseRms. */
function compute({ gradY, x, weight, inverseRms }: Inputs) {
  const H = lastOf(x)
  const gradX = zeros(x.shape)
  const gradWeight = zeros([H])
  for (let n = 0; n < rowsOf(x); n++) {
    const s = inverseRms.data[n]
    let along = 0
    for (let h = 0; h < H; h++) along += (gradY.data[n * H + h] * weight.data[h] * x.data[n * H + h]) / H
    for (let h = 0; h < H; h++) {
      const at = n * H + h
      gradX.data[at] = s * (gradY.data[at] * weight.data[h] - x.data[at] * s * s * along)
      gradWeight.data[h] += gradY.data[at] * x.data[at] * s
    }
  }
  return { gradX, gradWeight }
}

/** Rounding of both products, and of the row's sum in 16 lanes, which cancels against them. */
function gradXBound({ gradY, x, weight, inverseRms }: Inputs): Float64Array {
  const H = lastOf(x)
  return zeros(x.shape).data.map((_, at) => {
    const n = Math.floor(at / H)
    const s = inverseRms.data[n]
    let terms = 0
    for (let h = 0; h < H; h++) terms += Math.abs(gradY.data[n * H + h] * weight.data[h] * x.data[n * H + h]) / H
    const straight = 3 * Math.abs(gradY.data[at] * weight.data[at % H])
    return UNIT * s * (straight + (laneDepth(H) + 8) * Math.abs(x.data[at]) * s * s * terms)
  })
}

/** Rows are added up in blocks of 64, then the blocks; three roundings for each term. */
function gradWeightBound({ gradY, x, inverseRms }: Inputs): Float64Array {
  const H = lastOf(x)
  const N = rowsOf(x)
  const depth = Math.min(N, 64) + Math.ceil(N / 64) + 3
  return zeros([H]).data.map((_, h) => {
    let terms = 0
    for (let n = 0; n < N; n++) terms += Math.abs(gradY.data[n * H + h] * x.data[n * H + h] * inverseRms.data[n])
    return UNIT * depth * terms
  })
}

/** Gradients of Zhang & Sennrich 2019 (arXiv:1910.07467) eq. 4. */
export const reference: Reference = {
  samples,
  random: (random) => ({ name: 'random', inputs: call(random, [random.integer(1, 3)], random.integer(3, 12)) }),
  compute,
  tolerances: {
    gradX: { ulp: 1, reason: 'one rounding at the end; extra: the two terms that cancel', extra: gradXBound },
    gradWeight: { ulp: 1, reason: 'one rounding at the end; extra: the sum over rows', extra: gradWeightBound },
  },
  derivative: {
    objective({ gradY, x, weight }, options: Options) {
      const { y } = rmsNorm.compute({ x, weight }, { ...options, epsilon: EPSILON })
      return y.data.length === 0 ? 0 : Array.from(y.data).reduce((sum, value, at) => sum + value * gradY.data[at], 0)
    },
    gradients: { gradX: 'x', gradWeight: 'weight' },
  },
}
