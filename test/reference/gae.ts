/** gae: Schulman et al. 2016 (arXiv:1506.02438) eq. 16, A_t = sum over l of (gamma lambda)^l delta_{t+l}. */
import { isValid, type Sequence, sequences } from './common.ts'
import {
  chance,
  f32,
  fill,
  flags,
  type Layout,
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
import { output } from './numbers.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Values } from './types.ts'

/**
 * The steps of a sequence. 'carry': those that count, so that a gap costs no decay. 'zero': all up to the last one that
 * counts; the others read as 0 and decay. In both modes the sequence ends with its last step that counts (`bootstrap`
 * is the value after that one), so that padding changes nothing and packed equals padded.
 */
function steps({ start, valid }: Sequence, options: Options): number[] {
  if (options.maskMode !== 'zero' || valid.length === 0) return valid
  return Array.from({ length: valid[valid.length - 1] + 1 - start }, (_, k) => start + k)
}

/** One step: reward, value, the value that follows, and whether the sum goes on behind it. */
interface Step {
  reward: number
  value: number
  next: number
  continues: boolean
}

function stepAt(inputs: Inputs, order: readonly number[], k: number, b: number): Step {
  const i = order[k]
  // A step that does not count has no reward, value or next value, and its flags are not read.
  const read = (name: string, at = i): number => (isValid(inputs, at) ? (inputs[name]?.data[at] ?? 0) : 0)
  const terminated = read('terminated') !== 0
  const truncated = read('truncated') !== 0
  const isLast = k === order.length - 1
  const bootstrap = inputs.bootstrap?.data[b]
  let next: number
  if (terminated) next = 0
  else if (inputs.nextValues !== undefined) next = read('nextValues')
  else if (truncated) next = isLast && bootstrap !== undefined ? bootstrap : Number.NaN
  else next = isLast ? (bootstrap ?? 0) : read('values', order[k + 1])
  return { reward: read('rewards'), value: read('values'), next, continues: !terminated && !truncated && !isLast }
}

/** A_t = r_t + gamma V'_t - V_t + gamma lambda A_{t+1}, from the end; `measure` turns terms into their sizes. */
function recursion(
  inputs: Inputs,
  options: Options,
  lambdaOf: (b: number) => number,
  measure: (term: number) => number = (term) => term,
): Float64Array {
  const gamma = Number(options.gamma)
  const result = new Float64Array(inputs.rewards.data.length)
  sequences(inputs, 'rewards').forEach((sequence, b) => {
    const order = steps(sequence, options)
    let after = 0
    for (let k = order.length - 1; k >= 0; k--) {
      const { reward, value, next, continues } = stepAt(inputs, order, k, b)
      after = measure(reward) + measure(gamma * next) + measure(-value) + (continues ? gamma * lambdaOf(b) * after : 0)
      if (isValid(inputs, order[k])) result[order[k]] = after
    }
  })
  return result
}

/** `lambdas` replaces the option per sequence; `valueLambda`, when given, is for the returns of every sequence. */
const policyLambda =
  (inputs: Inputs, options: Options) =>
  (b: number): number =>
    inputs.lambdas?.data[b] ?? Number(options.lambda)
const returnLambda = (inputs: Inputs, options: Options) =>
  options.valueLambda === undefined ? policyLambda(inputs, options) : () => Number(options.valueLambda)

const plusValue = (inputs: Inputs, sums: Float64Array, measure: (x: number) => number): Float64Array =>
  sums.map((sum, i) => (isValid(inputs, i) ? sum + measure(inputs.values.data[i]) : 0))

function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const { shape } = inputs.rewards
  const advantages = recursion(inputs, options, policyLambda(inputs, options))
  const returns = plusValue(inputs, recursion(inputs, options, returnLambda(inputs, options)), (x) => x)
  return { advantages: output(advantages, shape), returns: output(returns, shape) }
}

interface Parts {
  bootstrap?: boolean
  terminated?: boolean
  truncated?: boolean
  nextValues?: boolean
  lambdas?: boolean
}

/** Truncations without nextValues only where they are no fault: at the last step that counts, with a bootstrap. */
function truncations(random: RandomSource, layout: Layout, inputs: Inputs, parts: Parts): ArrayLike<number> {
  const drawn = Array.from(flags(random, layout.N, 0.2))
  if (parts.nextValues) return drawn
  for (const { valid } of sequences(inputs, 'rewards')) {
    valid.forEach((i, k) => {
      const known = (k === valid.length - 1 && parts.bootstrap) || inputs.terminated?.data[i] === 1
      if (!known) drawn[i] = 0
      else if (inputs.terminated === undefined) drawn[i] = 1
    })
  }
  return drawn
}

function draw(random: RandomSource, layout: Layout, parts: Parts): Inputs {
  const { N, B, shape } = layout
  const inputs: Inputs = {
    rewards: f32(normals(random, N), shape),
    values: f32(normals(random, N, 2), shape),
    ...layout.inputs,
  }
  if (parts.bootstrap) inputs.bootstrap = f32(normals(random, B, 2))
  if (parts.terminated) inputs.terminated = typed('u8', flags(random, N, 0.15), shape)
  if (parts.truncated) inputs.truncated = typed('u8', truncations(random, layout, inputs, parts), shape)
  if (parts.nextValues) inputs.nextValues = f32(normals(random, N, 2), shape)
  if (parts.lambdas) inputs.lambdas = f32(fill(B, () => random.next()))
  return inputs
}

const VARIANTS: { options: Options; parts: Parts }[] = [
  { options: {}, parts: {} },
  { options: { gamma: 0.99 }, parts: { bootstrap: true } },
  { options: { gamma: 0.9, lambda: 0.8 }, parts: { terminated: true, bootstrap: true } },
  { options: { lambda: 0 }, parts: { truncated: true, bootstrap: true } },
  { options: { lambda: 1 }, parts: { terminated: true, truncated: true, nextValues: true, bootstrap: true } },
  { options: { gamma: 0.97, valueLambda: 1 }, parts: { lambdas: true } },
  { options: { valueLambda: 0.3, gamma: 0.5 }, parts: { nextValues: true } },
  { options: { gamma: 0 }, parts: { terminated: true, truncated: true, bootstrap: true } },
  { options: { lambda: 0, valueLambda: 1 }, parts: { lambdas: true, nextValues: true, terminated: true } },
]
const MODES = ['carry', 'zero']

function variant(random: RandomSource, layout: Layout, k: number, maskMode: string): Sample {
  const { options, parts } = VARIANTS[k % VARIANTS.length]
  return {
    name: `${layout.name}, ${spell({ ...options, maskMode })}, ${Object.keys(parts).join('+') || 'plain'}`,
    inputs: draw(random, layout, parts),
    options: { ...options, maskMode },
  }
}

function samples(): Sample[] {
  const random = seeded(6)
  const chunks = [31, 32, 33, 255, 256, 257, 1023, 1024, 1025].map((T) => padded(2, T))
  const leadingGap = padded(2, 8, [0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1], ' with leading gaps')
  return [
    ...MODES.flatMap((mode) => VARIANTS.map((_, k) => variant(random, standard(), k, mode))),
    ...MODES.flatMap((mode) => VARIANTS.slice(1, 7).map((_, k) => variant(random, leadingGap, k + 1, mode))),
    ...smallLayouts(random).map((layout, k) => variant(random, layout, k, MODES[k % 2])),
    ...[...chunks, ...longLayouts(random)].map((layout, k) => variant(random, layout, k, MODES[k % 2])),
    variant(random, packed([300, 0, 1, 700]), 2, 'carry'),
    {
      name: 'a value of 999 behind the end does not leak',
      inputs: {
        rewards: f32([1, 1, 1, 999], [1, 4]),
        values: f32([0.5, 0.5, 0.5, 999], [1, 4]),
        valid: typed('u8', [1, 1, 1, 0], [1, 4]),
      },
      options: { gamma: 0.9 },
    },
  ]
}

export const reference: Reference = {
  samples,
  random: (random) => {
    const parts: Parts = {
      bootstrap: chance(random, 0.5),
      terminated: chance(random, 0.4),
      truncated: chance(random, 0.4),
      nextValues: chance(random, 0.3),
      lambdas: chance(random, 0.3),
    }
    const options: Options = {
      gamma: pick(random, [1, 0.99, 0.5, 0]),
      lambda: pick(random, [0, 0.5, 0.95, 1]),
      maskMode: pick(random, MODES),
    }
    if (chance(random, 0.3)) options.valueLambda = random.next()
    return { name: 'random steps', inputs: draw(random, randomLayout(random, false), parts), options }
  },
  compute,
  tolerances: {
    advantages: {
      ulp: 4,
      reason: 'as ops.md states: 4 ULP of the sum of |terms|, whatever cancels',
      magnitude: (inputs, options) => recursion(inputs, options, policyLambda(inputs, options), Math.abs),
    },
    returns: {
      ulp: 4,
      reason: 'as the advantages, and V once more',
      magnitude: (inputs, options) =>
        plusValue(inputs, recursion(inputs, options, returnLambda(inputs, options), Math.abs), Math.abs),
    },
  },
  masked: {
    by: 'valid',
    inputs: ['rewards', 'values', 'nextValues', 'terminated', 'truncated'],
    outputs: ['advantages', 'returns'],
  },
}
