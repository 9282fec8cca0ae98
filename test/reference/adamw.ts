/** adamw: Loshchilov & Hutter 2019 (arXiv:1711.05101) algorithm 2, with the refusal of a non-finite gradient. */
import { chance, f32, fill, normals, pick, seeded, spell, typed } from './draw.ts'
import { reference as gradNorm } from './grad_norm.ts'
import { output, round, ulp } from './numbers.ts'
import type { Inputs, Options, RandomSource, Reference, Sample, Tolerance, Values } from './types.ts'

/** Per element: its weight decay; undefined where no segment holds it (padding, left alone and not read). */
function decays(inputs: Inputs, options: Options): (number | undefined)[] {
  const P = inputs.param.data.length
  const common = Number(options.weightDecay)
  if (inputs.segments === undefined) return Array.from({ length: P }, () => common)
  const result: (number | undefined)[] = Array.from({ length: P }, () => undefined)
  for (let s = 0; s < inputs.segments.shape[0]; s++) {
    const [offset, length] = [inputs.segments.data[2 * s], inputs.segments.data[2 * s + 1]]
    result.fill(inputs.decay?.data[s] ?? common, offset, offset + length)
  }
  return result
}

/** A norm that is given speaks for the gradient; else every gradient that belongs to a parameter is looked at. */
function isRefused(inputs: Inputs, decay: readonly (number | undefined)[]): boolean {
  if (inputs.norm !== undefined) return !Number.isFinite(inputs.norm.data[0])
  return decay.some((wd, i) => wd !== undefined && !Number.isFinite(inputs.grad.data[i]))
}

/** `gradScale`, and what brings the scaled norm down to `maxNorm` where it is above. */
function gradientFactor(inputs: Inputs, options: Options): number {
  const scale = Number(options.gradScale)
  if (options.maxNorm === undefined) return scale
  const norm = Math.abs(scale) * inputs.norm.data[0]
  return norm > Number(options.maxNorm) ? scale * (Number(options.maxNorm) / norm) : scale
}

interface Update {
  param: number
  m: number
  v: number
  /** The size of what was added up in each. */
  sizes: { param: number; change: number; m: number }
}

/** Algorithm 2, lines 6 to 12, with the decay on its own: p - lr (m^ / (sqrt(v^) + epsilon) + decay p). */
function update(inputs: Inputs, options: Options, i: number, decay: number): Update {
  const [lr, beta1, beta2] = [Number(options.lr), Number(options.beta1), Number(options.beta2)]
  const step = inputs.step.data[0] + 1
  const g = gradientFactor(inputs, options) * inputs.grad.data[i]
  const [kept, added] = [beta1 * inputs.m.data[i], (1 - beta1) * g]
  const m = kept + added
  const v = beta2 * inputs.v.data[i] + (1 - beta2) * g * g
  // 1 - beta^step without cancellation.
  const [correction1, correction2] = [beta1, beta2].map((beta) => -Math.expm1(step * Math.log(beta)))
  const perMoment = lr / correction1 / (Math.sqrt(v / correction2) + Number(options.epsilon))
  const param = inputs.param.data[i]
  const largest = Math.max(Math.abs(kept), Math.abs(added))
  return {
    param: param - perMoment * m - lr * decay * param,
    m,
    v,
    sizes: {
      param: Math.max(Math.abs(param), Math.abs(lr * decay * param)),
      change: Math.abs(perMoment) * largest,
      m: largest,
    },
  }
}

function compute(inputs: Inputs, options: Options): Record<string, Values> {
  const { shape } = inputs.param
  const decay = decays(inputs, options)
  const refused = isRefused(inputs, decay)
  const [param, m, v] = ['param', 'm', 'v'].map((name) => Float64Array.from(inputs[name].data))
  if (!refused) {
    decay.forEach((wd, i) => {
      if (wd === undefined) return
      const next = update(inputs, options, i, wd)
      param[i] = next.param
      m[i] = next.m
      v[i] = next.v
    })
  }
  return {
    param: output(param, shape),
    m: output(m, shape),
    v: output(v, shape),
    step: output([inputs.step.data[0] + (refused ? 0 : 1)], [1], 'i32'),
    refused: output([refused ? 1 : 0], [1], 'i32'),
  }
}

type Sizes = Update['sizes']

/** A size per element that is updated; 0 for the others, which keep their bits. */
const perElement =
  (size: (sizes: Sizes) => number): Tolerance['magnitude'] =>
  (inputs, options) => {
    const decay = decays(inputs, options)
    const refused = isRefused(inputs, decay)
    return fill(decay.length, (i) => {
      const wd = decay[i]
      return refused || wd === undefined ? 0 : size(update(inputs, options, i, wd).sizes)
    })
  }

interface Parts {
  norm?: boolean
  segments?: boolean
  decay?: boolean
}

/** Padding between segments, an empty one among them. */
function segmentsOf(P: number): Values {
  const first = Math.floor(P / 3)
  const rest = P - first - Math.min(2, P - first)
  return typed('i32', [0, first, first, 0, P - rest, Math.max(0, rest - 1)], [3, 2])
}

function draw(random: RandomSource, P: number, step: number, parts: Parts): Inputs {
  const grad = f32(fill(P, () => round(0.1 * random.normal())))
  const started = step > 0 ? 1 : 0
  return {
    param: f32(normals(random, P)),
    grad,
    m: f32(normals(random, P, 0.05 * started)),
    v: f32(fill(P, () => 0.01 * started * random.next())),
    step: typed('i32', [step]),
    ...(parts.norm ? { norm: gradNorm.compute({ grad }, {}).norm } : {}),
    ...(parts.segments ? { segments: segmentsOf(P) } : {}),
    ...(parts.decay ? { decay: f32([0.1, 0.2, 0]) } : {}),
  }
}

const VARIANTS: { options: Options; parts: Parts; step: number }[] = [
  { options: { lr: 1e-3 }, parts: {}, step: 0 },
  { options: { lr: 1e-3, weightDecay: 0.1 }, parts: { norm: true }, step: 1 },
  { options: { lr: 3e-4, maxNorm: 0.5 }, parts: { norm: true }, step: 10 },
  { options: { lr: 3e-4, maxNorm: 100, beta2: 0.95, epsilon: 1e-6 }, parts: { norm: true }, step: 999 },
  { options: { lr: 0.1, maxNorm: 0.2, gradScale: 0.125 }, parts: { norm: true }, step: 5 },
  { options: { lr: 0.01, gradScale: -3, weightDecay: 0.01 }, parts: { segments: true }, step: 3 },
  { options: { lr: 0.01, weightDecay: 0.5 }, parts: { segments: true, decay: true }, step: 100000 },
  { options: { lr: 0 }, parts: {}, step: 7 },
  { options: { lr: 0.05, beta1: 0, beta2: 0 }, parts: {}, step: 0 },
]

function refusals(random: RandomSource): Sample[] {
  return [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].flatMap((bad) =>
    [false, true].map((norm): Sample => {
      const inputs = draw(random, 40, 4, {})
      const grad = f32(fill(40, (i) => (i === 33 ? bad : inputs.grad.data[i])))
      const refused: Inputs = { ...inputs, grad }
      if (norm) refused.norm = f32([Math.abs(bad)])
      const name = `a gradient of ${bad} is refused by ${norm ? 'its norm' : 'a scan'}`
      return { name, inputs: refused, options: { lr: 0.1 } }
    }),
  )
}

/** 6666 and 6667 of 20000 are padding, and so is the last. */
const withNan = (inputs: Inputs, at: number): Inputs => ({
  ...inputs,
  grad: f32(Float64Array.from(inputs.grad.data, (g, i) => (i === at ? Number.NaN : g))),
})

function samples(): Sample[] {
  const random = seeded(14)
  const sizes = [0, 1, 3, 15, 16, 17, 33, 65535, 65536, 65537]
  return [
    ...VARIANTS.map(({ options, parts, step }) => ({
      name: `${spell(options)}, ${Object.keys(parts).join('+') || 'plain'}, step ${step}`,
      inputs: draw(random, 50, step, parts),
      options,
    })),
    ...sizes.map((P, k) => ({
      name: `P = ${P}`,
      inputs: draw(random, P, k, VARIANTS[k % 5].parts),
      options: VARIANTS[k % 5].options,
    })),
    {
      name: 'segments of several tiles',
      inputs: draw(random, 20000, 6, { segments: true, decay: true }),
      options: { lr: 0.01 },
    },
    ...refusals(random),
    ...[100, 6667, 9000, 19998].map((at) => ({
      name: `segments of several tiles, NaN at ${at}`,
      inputs: withNan(draw(random, 20000, 6, { segments: true }), at),
      options: { lr: 0.01 },
    })),
    {
      name: 'gradients of 0, tiny and huge',
      inputs: {
        param: f32([1, 0, -1, 0.5]),
        grad: f32([0, 1e-25, 1e15, -3e-10]),
        m: f32(new Float64Array(4)),
        v: f32(new Float64Array(4)),
        step: typed('i32', [0]),
      },
      options: { lr: 1e-3, weightDecay: 0.1 },
    },
    {
      name: 'a moment that cancels',
      inputs: { param: f32([0, 0]), grad: f32([-9, 9]), m: f32([1, 1]), v: f32([1, 1]), step: typed('i32', [20]) },
      options: { lr: 1 },
    },
  ]
}

export const reference: Reference = {
  samples,
  random: (random) => {
    const { options, parts, step } = pick(random, VARIANTS)
    const chosen = chance(random, 0.5) ? { ...options, weightDecay: random.next() } : options
    return { name: 'random parameters', inputs: draw(random, random.integer(3, 60), step, parts), options: chosen }
  },
  compute,
  tolerances: {
    param: {
      ulp: 2,
      reason: 'rounded once or twice around p and its decay; the step carries the error of the moments',
      magnitude: perElement(({ param }) => param),
      extra: perElement(({ change }) => 4 * ulp(change)),
    },
    m: {
      ulp: 3,
      reason:
        'half a ULP of the larger term each for beta, 1 - beta, the scaled gradient, both products (one with FMA) and the sum; they may cancel',
      magnitude: perElement(({ m }) => m),
    },
    v: { ulp: 2, reason: 'two products and a sum; no term is negative' },
    step: { ulp: 0, reason: 'a count' },
    refused: { ulp: 0, reason: 'a flag' },
  },
}
