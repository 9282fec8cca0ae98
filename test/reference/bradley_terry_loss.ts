/** bradleyTerryLoss: Bradley & Terry 1952; arXiv:2203.02155 eq. 1; the margin is that of arXiv:2307.09288 eq. 2. */
import { magnitude, pairGradientSlack, pairSizes, quotient, total } from './common.ts'
import { chance, f32, fill, normals, seeded, spell } from './draw.ts'
import { output, PLAIN_PAIRS, plainPairs, scaled, sigmoid, slack, softplus } from './numbers.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Values } from './types.ts'

/** One pair: the summands of its loss, and of the derivatives by its two scores. */
interface Pair {
  loss: number[]
  byChosen: number[]
  byRejected: number[]
}

/**
 * -p log s(d) - (1 - p) log s(-d) + centerCoefficient (chosen + rejected)^2, with d = chosen - rejected - margin and
 * p the smoothed preference; d loss / dd = -p s(-d) + (1 - p) s(d).
 */
function pairAt(inputs: Inputs, options: Options, b: number): Pair {
  const chosen = inputs.chosen.data[b]
  const rejected = inputs.rejected.data[b]
  const d = chosen - rejected - (inputs.margin?.data[b] ?? 0)
  const preference = inputs.preference?.data[b] ?? 1
  const smoothing = Number(options.labelSmoothing)
  const p = (1 - smoothing) * preference + smoothing * (1 - preference)
  const center = Number(options.centerCoefficient)
  const pull = 2 * center * (chosen + rejected)
  const byMargin = [scaled(-p, sigmoid(-d)), scaled(1 - p, sigmoid(d))]
  return {
    loss: [scaled(p, softplus(-d)), scaled(1 - p, softplus(d)), center * (chosen + rejected) ** 2],
    byChosen: [...byMargin, pull],
    byRejected: [...byMargin.map((x) => -x), pull],
  }
}

/** Right when scores and preference point the same way (smoothing keeps its side); a tie in either is half right. */
function accuracy(inputs: Inputs, b: number): number {
  const scores = Math.sign(inputs.chosen.data[b] - inputs.rejected.data[b])
  const labels = Math.sign((inputs.preference?.data[b] ?? 1) - 0.5)
  return (1 + scores * labels) / 2
}

const divisorOf = (inputs: Inputs, options: Options): number =>
  options.normalizer === undefined ? inputs.chosen.data.length : Number(options.normalizer)

const weightAt = (inputs: Inputs, b: number): number => inputs.weight?.data[b] ?? 1

const lossSum = (inputs: Inputs, options: Options): number =>
  total(fill(inputs.chosen.data.length, (b) => scaled(weightAt(inputs, b), total(pairAt(inputs, options, b).loss))))

function gradients(inputs: Inputs, options: Options, side: 'byChosen' | 'byRejected', sum = total): Float64Array {
  const scale = Number(options.gradScale) / divisorOf(inputs, options)
  return fill(inputs.chosen.data.length, (b) =>
    scaled(scale * weightAt(inputs, b), sum(pairAt(inputs, options, b)[side])),
  )
}

function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const B = inputs.chosen.data.length
  const sum = lossSum(inputs, options)
  const [chosen, rejected] = [Array.from(inputs.chosen.data), Array.from(inputs.rejected.data)]
  const right = total(chosen.map((_, b) => accuracy(inputs, b)))
  const margins = total(chosen.map((score, b) => score - rejected[b]))
  const stats = [sum, B, B, right, margins, total(chosen), total(rejected)]
  return {
    loss: output([quotient(sum, divisorOf(inputs, options))], [1]),
    gradChosen: output(gradients(inputs, options, 'byChosen'), [B]),
    gradRejected: output(gradients(inputs, options, 'byRejected'), [B]),
    stats: output(stats, [stats.length]),
  }
}

const isPlain = ({ preference, weight }: Inputs, { labelSmoothing, centerCoefficient }: Options): boolean =>
  preference === undefined && weight === undefined && Number(labelSmoothing) === 0 && Number(centerCoefficient) === 0

/** On the cpu. */
const gradientSlack = pairGradientSlack(isPlain, gradients)

const scoreSizes = ({ chosen, rejected }: Inputs): number[] => pairSizes(chosen.data, rejected.data)

/** Where the sides of a soft preference cancel. */
const inF32 = (side: 'byChosen' | 'byRejected') => ({
  reason: 'sigmoids in f32, 4 ULP each: the exponential 1, the quotient up to 2.5, the product',
  extra: (inputs: Inputs, options: Options) =>
    gradients(inputs, options, side, magnitude).map((x) => (Number.isFinite(x) ? 2 ** -21 * Math.abs(x) : 0)),
})

interface Parts {
  margin?: boolean
  preference?: boolean
  weight?: boolean
}

function draw(random: RandomSource, B: number, parts: Parts, spread = 2): Inputs {
  return {
    chosen: f32(normals(random, B, spread, 0.4)),
    rejected: f32(normals(random, B, spread)),
    ...(parts.margin ? { margin: f32(fill(B, () => 2 * random.next())) } : {}),
    ...(parts.preference ? { preference: f32(fill(B, (b) => [0, 1, 0.5][b % 6] ?? random.next())) } : {}),
    ...(parts.weight ? { weight: f32(fill(B, () => 2 * random.next())) } : {}),
  }
}

const PARTS: Parts[] = [
  {},
  { margin: true },
  { preference: true },
  { weight: true },
  { margin: true, preference: true, weight: true },
]
const VARIANTS: Options[] = [
  {},
  { labelSmoothing: 0.1 },
  { centerCoefficient: 0.01 },
  { labelSmoothing: 0.3, centerCoefficient: 0.5, gradScale: -2 },
  { normalizer: 64 },
  { normalizer: 0.25, gradScale: 0 },
]

function samples(): Sample[] {
  const random = seeded(11)
  const sizes = [0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 1023, 1024, 1025, 3000]
  const large = { skipGradients: 'large: every pair has the formula of the small samples' }
  const pairs = (chosen: number[], rejected: number[], more: Inputs = {}): Inputs => ({
    chosen: f32(chosen),
    rejected: f32(rejected),
    ...more,
  })
  return [
    ...PARTS.flatMap((parts) =>
      VARIANTS.map((options) => ({
        name: `${Object.keys(parts).join('+') || 'scores'}, ${spell(options)}`,
        inputs: draw(random, 9, parts),
        options,
      })),
    ),
    ...sizes.map((B, k) => ({
      name: `B = ${B}`,
      inputs: draw(random, B, PARTS[k % PARTS.length]),
      options: VARIANTS[k % VARIANTS.length],
      ...(B > 500 ? large : {}),
    })),
    ...[false, true].flatMap((margin) =>
      [143, 1300].map((B) => ({
        name: `plain, B = ${B}, ${margin ? 'with margins' : 'scores'}`,
        inputs: draw(random, B, { margin }),
        ...large,
      })),
    ),
    {
      name: 'plain margins where e^-d leaves f32',
      inputs: pairs([87, -87, 88.5, -90, 104, 1e38, -1e38, 50], [0, 0, 0, 0, 0, -1e38, 1e38, 49.999996]),
      skipGradients: 'beyond what a difference resolves',
    },
    {
      name: 'scores whose last digit is all that a margin leaves',
      inputs: pairs([2 ** 24, -(2 ** 24)], [-1, -3], { margin: f32([2 ** 24, -(2 ** 24)]) }),
      skipGradients: 'beyond what a difference resolves',
    },
    { name: 'ties', inputs: pairs([1, 1, 2], [1, 1, 1], { preference: f32([1, 0.5, 0.5]) }) },
    // s(d) - p has lost its digits here; -p s(-d) + (1 - p) s(d) has them all.
    { name: 'differences of 10 to 60', inputs: pairs([10, 20, 30, 35, 40, 60], [0, 0, 0, 0, 0, 0]) },
    {
      name: 'margins of 100 and 1e4',
      inputs: pairs([100, -100, 1e4, -1e4, 0], [0, 0, 0, 0, 1e4]),
      skipGradients: 'beyond what a difference resolves',
    },
    {
      name: 'certain and opposite preferences far out',
      inputs: pairs([1e4, 1e4, -1e4, 90], [0, 0, 0, 0], { preference: f32([0, 1, 0, 0.25]) }),
      skipGradients: 'beyond what a difference resolves',
    },
    {
      name: 'scores that cancel in f32',
      inputs: pairs([1000.0625, 1000], [1000, 1000.0625], { margin: f32([0.0625, -0.0625]) }),
    },
  ]
}

export const reference: Reference = {
  samples,
  random: (random) => {
    const parts: Parts = { margin: chance(random, 0.4), preference: chance(random, 0.5), weight: chance(random, 0.4) }
    const options: Options = {}
    if (chance(random, 0.4)) options.labelSmoothing = 0.49 * random.next()
    if (chance(random, 0.4)) options.centerCoefficient = random.next()
    if (chance(random, 0.3)) options.normalizer = 0.5 + 20 * random.next()
    if (chance(random, 0.3)) options.gradScale = random.normal()
    return { name: 'random pairs', inputs: draw(random, random.integer(0, 12), parts), options }
  },
  compute,
  tolerances: {
    loss: {
      ulp: 1,
      reason: 'terms and sum in f64, rounded once; no term is negative',
      cpu: {
        reason: PLAIN_PAIRS,
        extra: (inputs, options, { loss }) => [isPlain(inputs, options) ? plainPairs.sum(loss.data[0]) : 0],
      },
    },
    gradChosen: {
      ulp: 1,
      reason: 'f64, rounded once; the sides of a soft preference may cancel',
      extra: (inputs, options) => gradients(inputs, options, 'byChosen', magnitude).map((x) => slack(Math.abs(x))),
      cpu: { reason: PLAIN_PAIRS, extra: gradientSlack('byChosen') },
      webgpu: inF32('byChosen'),
    },
    gradRejected: {
      ulp: 1,
      reason: 'as gradChosen',
      extra: (inputs, options) => gradients(inputs, options, 'byRejected', magnitude).map((x) => slack(Math.abs(x))),
      cpu: { reason: PLAIN_PAIRS, extra: gradientSlack('byRejected') },
      webgpu: inF32('byRejected'),
    },
    stats: {
      ulp: 1,
      reason: 'sums in f64, rounded once',
      extra: (inputs) => [0, 0, 0, 0, ...scoreSizes(inputs).map(slack)],
      cpu: {
        reason: PLAIN_PAIRS,
        extra: (inputs, options, { stats }) => {
          const plain = isPlain(inputs, options)
          const sum = plain ? plainPairs.sum(stats.data[0]) : 0
          return [sum, 0, 0, 0, ...scoreSizes(inputs).map(plain ? plainPairs.added : slack)]
        },
      },
    },
  },
  derivative: {
    objective: (inputs, options) =>
      Number(options.gradScale) * quotient(lossSum(inputs, options), divisorOf(inputs, options)),
    gradients: { gradChosen: 'chosen', gradRejected: 'rejected' },
  },
}
