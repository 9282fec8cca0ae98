/** klPenalty: Schulman 2020, "Approximating KL divergence"; estimators in x = refLogprob - logprob. */
import { aggregation, klEstimate, numerator, quotient, sequences, weightOf } from './common.ts'
import {
  chance,
  f32,
  fill,
  flatLayouts,
  type Layout,
  logProbabilities,
  longLayouts,
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
import { clamp, output, scaled, slack } from './numbers.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Values } from './types.ts'

/** d estimate / d logprob = -d estimate / dx. */
function valueSlope(estimator: unknown, x: number): number {
  switch (estimator) {
    case 'k1':
      return 1
    case 'k2':
      return -x
    case 'k3':
      return -Math.expm1(x)
    default:
      return -Math.sign(x)
  }
}

/**
 * The gradient whose expectation under the policy is that of the true quantity: estimate + d estimate / d logprob
 * (score function plus pathwise part). For k1, k2 and k3 it is -x, the score-function gradient of the reverse KL: the
 * derivative 1 of k1 has expectation 0 and is left out, k2's own derivative already is -x, and k3 + 1 - e^x = -x. For
 * |x| it is |x| - sign(x), the gradient of E|x|.
 */
const unbiasedSlope = (estimator: unknown, x: number): number => (estimator === 'abs' ? Math.abs(x) - Math.sign(x) : -x)

interface Penalty {
  kl: number
  slope: number
}

/** The estimate of one token, clamped first in x and then itself; no gradient where a clamp bites (a tie does not). */
function penalty(inputs: Inputs, options: Options, i: number): Penalty {
  const bound = (name: string): number =>
    options[name] === undefined ? Number.POSITIVE_INFINITY : Number(options[name])
  const [inner, outer] = [bound('clampInput'), bound('clampOutput')]
  const x = inputs.refLogprob.data[i] - inputs.logprob.data[i]
  const estimate = klEstimate(options.estimator, clamp(x, -inner, inner))
  const bites = Math.abs(x) > inner || Math.abs(estimate) > outer
  const slope = options.gradient === 'value' ? valueSlope : unbiasedSlope
  return { kl: clamp(estimate, -outer, outer), slope: bites ? 0 : slope(options.estimator, x) }
}

function lossParts(inputs: Inputs, options: Options, measure = (x: number) => x): { lossSum: number; loss: number } {
  const all = sequences(inputs, 'logprob')
  const how = aggregation(all, options)
  const lossSum = numerator(all, how, (i) => measure(scaled(weightOf(inputs, i), penalty(inputs, options, i).kl)))
  return { lossSum, loss: quotient(lossSum, how.divisor) }
}

function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const { shape } = inputs.logprob
  const all = sequences(inputs, 'logprob')
  const how = aggregation(all, options)
  const kl = new Float64Array(inputs.logprob.data.length)
  const gradLogprob = new Float64Array(kl.length)
  for (const sequence of all) {
    for (const i of sequence.valid) {
      const token = penalty(inputs, options, i)
      kl[i] = token.kl
      const factor = Number(options.gradScale) * how.coefficient(sequence) * weightOf(inputs, i)
      gradLogprob[i] = scaled(factor, token.slope)
    }
  }
  const { lossSum, loss } = lossParts(inputs, options)
  const counted = all.flatMap(({ valid }) => valid.map((i) => kl[i]))
  const stats = [
    lossSum,
    how.denominator,
    counted.length,
    counted.reduce((sum, x) => sum + x, 0),
    counted.reduce((least, x) => Math.min(least, x), Number.POSITIVE_INFINITY),
    counted.reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY),
  ]
  return {
    loss: output([loss], [1]),
    gradLogprob: output(gradLogprob, shape),
    kl: output(kl, shape),
    stats: output(stats, [stats.length]),
  }
}

/** Moves x away from the corners of |x| and of the clamps. */
function besideKinks(x: number, options: Options): number {
  const corners = [options.estimator === 'abs' ? 0 : Number.NaN, Number(options.clampInput ?? Number.NaN)]
  const estimate = Math.abs(klEstimate(options.estimator, x))
  const isNear =
    corners.some((corner) => Math.abs(Math.abs(x) - corner) < 0.01) ||
    Math.abs(estimate - Number(options.clampOutput ?? Number.NaN)) < 0.02 * (1 + estimate)
  return isNear ? besideKinks(x + 0.03, options) : x
}

function draw(random: RandomSource, layout: Layout, options: Options, withWeight: boolean, spread = 0.5): Inputs {
  const { N, shape } = layout
  const logprob = logProbabilities(random, N)
  const refLogprob = fill(N, (i) => logprob[i] + besideKinks(spread * random.normal(), options))
  return {
    logprob: f32(logprob, shape),
    refLogprob: f32(refLogprob, shape),
    ...layout.inputs,
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

const LARGE = 'large: the same formula is differentiated in the small samples'
const SCORE = 'the score-function gradient is unbiased for the KL, not the derivative of the estimate'

function sample(name: string, inputs: Inputs, options: Options): Sample {
  const isDerivative = options.gradient === 'value' || options.estimator === 'k2'
  const skip = !isDerivative ? SCORE : inputs.logprob.data.length > 1000 ? LARGE : undefined
  return { name: `${name}, ${spell(options)}`, inputs, options, ...(skip === undefined ? {} : { skipGradients: skip }) }
}

const ESTIMATORS = ['k1', 'k2', 'k3', 'abs']
const GRADIENTS = ['value', 'unbiased']
const CLAMPS: Options[] = [{}, { clampInput: 0.6 }, { clampOutput: 0.3 }, { clampInput: 0.9, clampOutput: 0.2 }]
const KINDS: Options[] = ESTIMATORS.flatMap((estimator) => GRADIENTS.map((gradient) => ({ estimator, gradient })))

function extremes(): Sample[] {
  const logprob = f32([-1e4, -0.001, -200, -150, -1, -1e-7], [1, 6])
  const refLogprob = f32([-0.001, -1e4, -1, -1, -1, -3e-7], [1, 6])
  const clamps: Options[] = [{}, { clampInput: 20, clampOutput: 10 }]
  return KINDS.flatMap((kind) =>
    clamps.map((clamps) => ({
      ...sample('far apart', { logprob, refLogprob }, { ...kind, ...clamps }),
      skipGradients: 'estimates beyond what a difference can resolve',
    })),
  )
}

/** Policies that differ by about `spread`. */
function close(random: RandomSource, estimator: string, spread: number): Sample {
  const options = { estimator, gradient: 'value' }
  const inputs = draw(random, padded(2, 16), options, false, spread)
  const isTooClose = spread < 1e-5 || estimator === 'abs'
  return {
    ...sample(`a difference of ${spread}`, inputs, options),
    ...(isTooClose ? { skipGradients: 'closer to 0 than the step of a difference' } : {}),
  }
}

function samples(): Sample[] {
  const random = seeded(9)
  const make = (layout: Layout, options: Options, withWeight: boolean, spread?: number): Sample =>
    sample(layout.name, draw(random, layout, options, withWeight, spread), options)
  return [
    ...KINDS.flatMap((kind) => CLAMPS.map((clamps, k) => make(standard(), { ...kind, ...clamps }, k === 1))),
    ...reductions().map((options, k) => make(standard(), { ...options, gradient: 'value' }, k % 2 === 0)),
    ...smallLayouts(random).map((layout, k) => make(layout, { ...KINDS[k % 8], ...reductions()[k % 6] }, k % 3 === 0)),
    ...flatLayouts(random).map((layout, k) => make(layout, KINDS[k % 8], k % 2 === 0)),
    ...longLayouts(random).map((layout, k) => make(layout, { ...KINDS[(2 * k) % 8], ...reductions()[k % 4] }, k === 1)),
    // e^x - 1 - x near 0 is where a difference has no digits.
    ...ESTIMATORS.flatMap((estimator) => [1e-2, 1e-4, 1e-7].map((spread) => close(random, estimator, spread))),
    ...extremes(),
  ]
}

export const reference: Reference = {
  samples,
  random: (random) => {
    const layout = randomLayout(random, true)
    const options: Options = { ...randomReduction(random, layout), ...pick(random, KINDS), ...pick(random, CLAMPS) }
    return sample('random tokens', draw(random, layout, options, chance(random, 0.4)), options)
  },
  compute,
  tolerances: {
    loss: {
      ulp: 1,
      reason: 'terms and sums in f64, rounded once',
      extra: (inputs, options) => [slack(lossParts(inputs, options, Math.abs).loss)],
    },
    gradLogprob: { ulp: 1, reason: 'one product in f64, rounded once' },
    kl: { ulp: 1, reason: 'computed in f64 (k3 by its series near 0), rounded once' },
    stats: {
      ulp: 1,
      reason: 'sums in f64, rounded once',
      extra: (inputs, options, expected) => {
        const kls = Array.from(expected.kl.data).reduce((sum, x) => sum + Math.abs(x), 0)
        return [slack(lossParts(inputs, options, Math.abs).lossSum), 0, 0, slack(kls), 0, 0]
      },
    },
  },
  derivative: {
    objective: (inputs, options) => Number(options.gradScale) * lossParts(inputs, options).loss,
    gradients: { gradLogprob: 'logprob' },
  },
  masked: { by: 'valid', inputs: ['logprob', 'refLogprob', 'weight'], outputs: ['gradLogprob', 'kl'] },
}
