/** dpoLoss: Rafailov et al. 2023 (arXiv:2305.18290) eq. 7 and its relatives, on sequence log-probabilities. */
import { magnitude, pairGradientSlack, pairSizes, quotient, total } from './common.ts'
import { chance, f32, fill, pick, seeded, spell } from './draw.ts'
import { output, PLAIN_PAIRS, plainPairs, scaled, slack } from './numbers.ts'
import { KINDS, type PairSettings, type PairTerms } from './preference_kinds.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Values } from './types.ts'

const AVERAGED = ['ipo', 'sigmoid-norm']

const isNormalized = (options: Options): boolean =>
  options.lengthNormalize === undefined ? AVERAGED.includes(String(options.kind)) : options.lengthNormalize === true

const settings = (options: Options): PairSettings => ({
  beta: Number(options.beta),
  smoothing: Number(options.labelSmoothing ?? (options.kind === 'exo-pair' ? 1e-3 : 0)),
  shift: Number(options.rewardShift),
  temperature: Number(options.temperature),
})

/** log pi / ref of both completions; references that are not given are 0 (reference-free). */
function logRatios(inputs: Inputs, b: number): [number, number] {
  const of = (policy: string, ref: string): number => inputs[policy].data[b] - (inputs[ref]?.data[b] ?? 0)
  return [of('policyChosen', 'refChosen'), of('policyRejected', 'refRejected')]
}

/** Divisors of the two log-ratios. */
const lengths = (inputs: Inputs, options: Options, b: number): [number, number] =>
  isNormalized(options) ? [inputs.chosenLength.data[b], inputs.rejectedLength.data[b]] : [1, 1]

function termsAt(inputs: Inputs, options: Options, b: number): PairTerms {
  const [c, q] = logRatios(inputs, b)
  const [chosenLength, rejectedLength] = lengths(inputs, options, b)
  const terms = KINDS[String(options.kind)](c / chosenLength, q / rejectedLength, settings(options))
  return {
    loss: terms.loss,
    byChosen: terms.byChosen.map((x) => x / chosenLength),
    byRejected: terms.byRejected.map((x) => x / rejectedLength),
  }
}

const count = (inputs: Inputs): number => inputs.policyChosen.data.length
const divisorOf = (inputs: Inputs, options: Options): number => Number(options.normalizer ?? count(inputs))
const weightAt = (inputs: Inputs, b: number): number => inputs.weight?.data[b] ?? 1

/** Losses of the pairs, unweighted. */
const losses = (inputs: Inputs, options: Options, sum = total): Float64Array =>
  fill(count(inputs), (b) => sum(termsAt(inputs, options, b).loss))

const lossSum = (inputs: Inputs, options: Options, sum = total): number =>
  total(losses(inputs, options, sum).map((loss, b) => scaled(weightAt(inputs, b), loss)))

function gradients(inputs: Inputs, options: Options, side: 'byChosen' | 'byRejected', sum = total): Float64Array {
  const scale = Number(options.gradScale) / divisorOf(inputs, options)
  return fill(count(inputs), (b) => scaled(scale * weightAt(inputs, b), sum(termsAt(inputs, options, b)[side])))
}

/** beta times the summed log-ratio, never divided by a length: rewards compare across kinds. */
const rewards = (inputs: Inputs, options: Options, side: 0 | 1): Float64Array =>
  fill(count(inputs), (b) => Number(options.beta) * logRatios(inputs, b)[side])

function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const B = count(inputs)
  const [chosen, rejected] = [rewards(inputs, options, 0), rewards(inputs, options, 1)]
  const sum = lossSum(inputs, options)
  const right = total(chosen.map((reward, b) => (1 + Math.sign(reward - rejected[b])) / 2))
  const margins = total(chosen.map((reward, b) => reward - rejected[b]))
  const stats = [sum, B, B, right, margins, total(chosen), total(rejected)]
  return {
    loss: output([quotient(sum, divisorOf(inputs, options))], [1]),
    losses: output(losses(inputs, options), [B]),
    gradPolicyChosen: output(gradients(inputs, options, 'byChosen'), [B]),
    gradPolicyRejected: output(gradients(inputs, options, 'byRejected'), [B]),
    chosenReward: output(chosen, [B]),
    rejectedReward: output(rejected, [B]),
    stats: output(stats, [stats.length]),
  }
}

const isPlain = (inputs: Inputs, options: Options): boolean =>
  ['sigmoid', 'sigmoid-norm'].includes(String(options.kind)) &&
  inputs.weight === undefined &&
  settings(options).smoothing === 0 &&
  !isNormalized(options)

/** On the cpu. */
const lossSlack = (inputs: Inputs, options: Options): number[] => {
  const divisor = divisorOf(inputs, options)
  return isPlain(inputs, options)
    ? [plainPairs.sum(quotient(lossSum(inputs, options), divisor))]
    : [slack(quotient(lossSum(inputs, options, magnitude), divisor))]
}
const lossesSlack = (inputs: Inputs, options: Options): Float64Array =>
  isPlain(inputs, options)
    ? losses(inputs, options).map(plainPairs.loss)
    : losses(inputs, options, magnitude).map(slack)
const gradientSlack = pairGradientSlack(isPlain, gradients)

const rewardSizes = ({ chosenReward, rejectedReward }: Record<string, Values>): number[] =>
  pairSizes(chosenReward.data, rejectedReward.data)

/** What terms of these sizes lose in f32: their sigmoids and logarithms have 4 ULP each. */
const inF32 = (size: number): number => (Number.isFinite(size) ? 2 ** -21 * Math.abs(size) : 0)
const F32_REASON = 'sigmoids and logarithms in f32, 4 ULP each: the exponential 1, a quotient up to 2.5, the product'

interface Parts {
  reference: boolean
  lengths: boolean
  weight: boolean
}

/** Keeps a margin off the hinge's corner. */
const besideHinge = (margin: number, beta: number): number =>
  Math.abs(beta * margin - 1) < 0.02 ? margin + 0.1 / beta : margin

function draw(random: RandomSource, B: number, options: Options, parts: Parts, spread = 4): Inputs {
  const beta = Number(options.beta ?? 0.1)
  const counts = fill(2 * B, () => random.integer(1, 40))
  const isAveraged = isNormalized(options)
  const refs = fill(2 * B, (k) => (parts.reference ? -2 * counts[k] - 5 * random.next() : 0))
  const policy = fill(2 * B, (k) => refs[k] + spread * random.normal())
  for (let b = 0; b < B; b++) {
    const [chosenLength, rejectedLength] = isAveraged ? [counts[b], counts[B + b]] : [1, 1]
    const q = (policy[B + b] - refs[B + b]) / rejectedLength
    policy[b] = refs[b] + chosenLength * (q + besideHinge((policy[b] - refs[b]) / chosenLength - q, beta))
  }
  const half = (data: Float64Array, side: number): Values => f32(data.subarray(side * B, (side + 1) * B))
  return {
    policyChosen: half(policy, 0),
    policyRejected: half(policy, 1),
    ...(parts.reference ? { refChosen: half(refs, 0), refRejected: half(refs, 1) } : {}),
    ...(parts.lengths || isAveraged ? { chosenLength: half(counts, 0), rejectedLength: half(counts, 1) } : {}),
    ...(parts.weight ? { weight: f32(fill(B, () => 2 * random.next())) } : {}),
  }
}

const NAMES = Object.keys(KINDS)
const SMOOTHED = ['sigmoid', 'robust', 'exo-pair']
const PARTS: Parts[] = [
  { reference: true, lengths: false, weight: false },
  { reference: false, lengths: true, weight: false },
  { reference: true, lengths: true, weight: true },
]

/** Every option, on every kind that has it. */
const variants = (kind: string): Options[] => [
  { kind },
  { kind, beta: 0.5, gradScale: -1.5 },
  { kind, beta: 2, normalizer: 48 },
  { kind, beta: 1, lengthNormalize: true },
  ...(AVERAGED.includes(kind) ? [{ kind, lengthNormalize: false }] : []),
  ...(SMOOTHED.includes(kind)
    ? [
        { kind, labelSmoothing: 0.1 },
        { kind, labelSmoothing: 0.45, beta: 0.3 },
      ]
    : []),
  ...(kind === 'bco-pair'
    ? [
        { kind, rewardShift: 0.7 },
        { kind, rewardShift: -3, beta: 1 },
      ]
    : []),
  ...(kind === 'discopop'
    ? [
        { kind, temperature: 1 },
        { kind, temperature: 0.3, beta: 0.7 },
      ]
    : []),
]

/** Margins up to 1e4 either way, with beta 0.1 and 1. */
function extremes(kind: string): Sample[] {
  const policyChosen = f32([-10, -10010, -500, -2, -900, -1])
  const policyRejected = f32([-10010, -10, -2, -500, -1, -900])
  const far: Inputs = {
    policyChosen,
    policyRejected,
    refChosen: f32([-10, -10, -3, -3, -3, -3]),
    refRejected: f32([-10, -10, -3, -3, -3, -3]),
  }
  return [0.1, 1].map((beta) => ({
    name: `margins of 1e4, ${kind}, beta ${beta}`,
    inputs: far,
    options: { kind, beta, lengthNormalize: false, ...(SMOOTHED.includes(kind) ? { labelSmoothing: 0.01 } : {}) },
    skipGradients: 'beyond what a difference resolves',
  }))
}

function samples(): Sample[] {
  const random = seeded(12)
  const large = { skipGradients: 'large: every pair has the formula of the small samples' }
  const sizes = [0, 1, 2, 7, 8, 15, 16, 17, 33, 1023, 1024, 1025]
  const equal = {
    policyChosen: f32([-5, -7]),
    policyRejected: f32([-5, -9]),
    refChosen: f32([-4, -3]),
    refRejected: f32([-4, -5]),
  }
  return [
    ...NAMES.flatMap((kind) =>
      variants(kind).map((options, k) => {
        const parts = PARTS[k % 3]
        const named = options.lengthNormalize === true ? { ...parts, lengths: true } : parts
        return { name: spell(options), inputs: draw(random, 7, options, named), options }
      }),
    ),
    ...sizes.flatMap((B, k) =>
      [0, 5].map((step) => {
        const options = { kind: NAMES[(k + step) % NAMES.length] }
        const inputs = draw(random, B, options, PARTS[k % 3])
        return { name: `B = ${B}, ${options.kind}`, inputs, options, ...(B > 500 ? large : {}) }
      }),
    ),
    ...[143, 1300].map((B) => ({ name: `plain, B = ${B}`, inputs: draw(random, B, {}, PARTS[0]), ...large })),
    ...NAMES.flatMap(extremes),
    { name: 'equal rewards are a tie', inputs: equal },
    {
      name: 'log-ratios that f32 tells apart only by what their differences lose',
      inputs: {
        policyChosen: f32([65536, 65536, -65536, 65536, 9000]),
        policyRejected: f32([65536, 65536, -65536, 65536.0078125, 9000]),
        refChosen: f32([2 ** -9, 0, 2 ** -9, 2 ** -9, -(2 ** -11)]),
        refRejected: f32([0, 2 ** -9, -(2 ** -10), 0, 2 ** -12]),
      },
      skipGradients: 'beyond what a difference resolves',
    },
    ...[1e-8, 1e8].map((beta) => ({
      name: `beta = ${beta}`,
      inputs: {
        policyChosen: f32([3 / beta, 0.5 / beta, -70 / beta]),
        policyRejected: f32([1 / beta, 4 / beta, 2 / beta]),
      },
      options: { beta },
      skipGradients: 'arguments of another order',
    })),
    {
      name: 'exactly at the target',
      inputs: { policyChosen: f32([-3]), policyRejected: f32([-4]) },
      options: { kind: 'ipo', beta: 0.5, lengthNormalize: false },
    },
    {
      name: 'a hot discopop diverges',
      inputs: { policyChosen: f32([-400, -10000]), policyRejected: f32([0, 0]) },
      options: { kind: 'discopop', beta: 1, temperature: 2 },
      skipGradients: 'an infinite loss',
    },
  ]
}

export const reference: Reference = {
  samples,
  random: (random) => {
    const kind = pick(random, NAMES)
    const options: Options = { kind, beta: pick(random, [0.05, 0.1, 0.5, 1]) }
    if (SMOOTHED.includes(kind) && chance(random, 0.5)) options.labelSmoothing = 0.01 + 0.45 * random.next()
    if (chance(random, 0.2)) options.lengthNormalize = chance(random, 0.5)
    if (chance(random, 0.3)) options.normalizer = 0.5 + 20 * random.next()
    if (chance(random, 0.3)) options.gradScale = random.normal()
    if (kind === 'bco-pair') options.rewardShift = random.normal()
    const parts = { ...pick(random, PARTS), lengths: chance(random, 0.3) || options.lengthNormalize === true }
    return { name: `random pairs, ${kind}`, inputs: draw(random, random.integer(0, 10), options, parts), options }
  },
  compute,
  tolerances: {
    loss: {
      ulp: 1,
      reason: 'terms and sum in f64, rounded once',
      extra: (inputs, options) => [slack(quotient(lossSum(inputs, options, magnitude), divisorOf(inputs, options)))],
      cpu: { reason: PLAIN_PAIRS, extra: lossSlack },
      webgpu: {
        reason: F32_REASON,
        extra: (inputs, options) => [inF32(quotient(lossSum(inputs, options, magnitude), divisorOf(inputs, options)))],
      },
    },
    losses: {
      ulp: 1,
      reason: 'f64, rounded once; the terms of robust and exo-pair cancel',
      extra: (inputs, options) => losses(inputs, options, magnitude).map(slack),
      cpu: { reason: PLAIN_PAIRS, extra: lossesSlack },
      webgpu: { reason: F32_REASON, extra: (inputs, options) => losses(inputs, options, magnitude).map(inF32) },
    },
    gradPolicyChosen: {
      ulp: 1,
      reason: 'f64, rounded once; terms may cancel',
      extra: (inputs, options) => gradients(inputs, options, 'byChosen', magnitude).map((x) => slack(Math.abs(x))),
      cpu: { reason: PLAIN_PAIRS, extra: gradientSlack('byChosen') },
      webgpu: {
        reason: F32_REASON,
        extra: (inputs, options) => gradients(inputs, options, 'byChosen', magnitude).map(inF32),
      },
    },
    gradPolicyRejected: {
      ulp: 1,
      reason: 'as gradPolicyChosen',
      extra: (inputs, options) => gradients(inputs, options, 'byRejected', magnitude).map((x) => slack(Math.abs(x))),
      cpu: { reason: PLAIN_PAIRS, extra: gradientSlack('byRejected') },
      webgpu: {
        reason: F32_REASON,
        extra: (inputs, options) => gradients(inputs, options, 'byRejected', magnitude).map(inF32),
      },
    },
    chosenReward: { ulp: 1, reason: 'one difference and one product in f64, rounded once' },
    rejectedReward: { ulp: 1, reason: 'one difference and one product in f64, rounded once' },
    stats: {
      ulp: 1,
      reason: 'sums in f64, rounded once',
      extra: (inputs, options, expected) =>
        [lossSum(inputs, options, magnitude), 0, 0, 0, ...rewardSizes(expected)].map(slack),
      cpu: {
        reason: PLAIN_PAIRS,
        extra: (inputs, options, expected) =>
          isPlain(inputs, options)
            ? [plainPairs.sum(lossSum(inputs, options)), 0, 0, 0, ...rewardSizes(expected).map(plainPairs.added)]
            : [lossSum(inputs, options, magnitude), 0, 0, 0, ...rewardSizes(expected)].map(slack),
      },
      webgpu: {
        reason: `${F32_REASON}; rewards in pairs of f32`,
        extra: (inputs, options, expected) => [
          inF32(lossSum(inputs, options, magnitude)),
          ...[0, 0, 0, ...rewardSizes(expected)].map(slack),
        ],
      },
    },
  },
  derivative: {
    objective: (inputs, options) =>
      Number(options.gradScale) * quotient(lossSum(inputs, options), divisorOf(inputs, options)),
    gradients: { gradPolicyChosen: 'policyChosen', gradPolicyRejected: 'policyRejected' },
  },
}
