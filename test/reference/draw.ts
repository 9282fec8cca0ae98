/** Makers of sample inputs. */
import type { Dtype, Inputs, Options, RandomSource, Values } from './types.ts'

/** A generator for fixed samples: the same numbers on every machine (mulberry32). */
export function seeded(seed: number): RandomSource {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    integer: (low, high) => low + Math.floor(next() * (high - low + 1)),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  }
}

export const f32 = (data: ArrayLike<number>, shape: readonly number[] = [data.length]): Values => ({ data, shape })
export const typed = (dtype: Dtype, data: ArrayLike<number>, shape: readonly number[] = [data.length]): Values => ({
  data,
  shape,
  dtype,
})

export const fill = (count: number, make: (i: number) => number): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => make(i))

export const normals = (random: RandomSource, count: number, scale = 1, shift = 0): Float64Array =>
  fill(count, () => shift + scale * random.normal())

/** Log-probabilities of sampled tokens: negative, mostly between -6 and 0. */
export const logProbabilities = (random: RandomSource, count: number): Float64Array =>
  fill(count, () => 2 * Math.log(1 - random.next()))

export const flags = (random: RandomSource, count: number, share: number): Values['data'] =>
  fill(count, () => (random.next() < share ? 1 : 0))

export const pick = <T>(random: RandomSource, from: readonly T[]): T => from[random.integer(0, from.length - 1)]
export const chance = (random: RandomSource, share: number): boolean => random.next() < share

/** Where the tokens of a case lie, and the inputs that say so. */
export interface Layout {
  name: string
  shape: readonly number[]
  /** Number of positions and of sequences. */
  N: number
  B: number
  /** `valid` and `offsets`, as far as given. */
  inputs: Inputs
  /** A flat `[N]`: token aggregates only. */
  flat: boolean
}

const offsetsOf = (lengths: readonly number[]): number[] => {
  const bounds = [0]
  for (const length of lengths) bounds.push(bounds[bounds.length - 1] + length)
  return bounds
}

export const padded = (B: number, T: number, valid?: ArrayLike<number>, note = ''): Layout => ({
  name: `[${B}, ${T}]${note}`,
  shape: [B, T],
  N: B * T,
  B,
  inputs: valid === undefined ? {} : { valid: typed('u8', valid, [B, T]) },
  flat: false,
})

export function packed(lengths: readonly number[], valid?: ArrayLike<number>, note = ''): Layout {
  const bounds = offsetsOf(lengths)
  const N = bounds[lengths.length]
  return {
    name: `packed ${lengths.join('+') || 'nothing'}${note}`,
    shape: [N],
    N,
    B: lengths.length,
    inputs: { offsets: typed('i32', bounds), ...(valid === undefined ? {} : { valid: typed('u8', valid) }) },
    flat: false,
  }
}

export const flat = (N: number, valid?: ArrayLike<number>, note = ''): Layout => ({
  name: `flat ${N}${note}`,
  shape: [N],
  N,
  B: 1,
  inputs: valid === undefined ? {} : { valid: typed('u8', valid) },
  flat: true,
})

/** Rows whose first `lengths[b]` positions count. */
export const leading = (lengths: readonly number[], T: number): Float64Array =>
  fill(lengths.length * T, (i) => (i % T < lengths[Math.floor(i / T)] ? 1 : 0))

/** The one every option is tried on: gaps, an empty row, a full row. */
export const standard = (): Layout =>
  padded(4, 6, [0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0], ' with gaps')

/** Small layouts beside the standard one. */
export const smallLayouts = (random: RandomSource): Layout[] => [
  padded(3, 5),
  padded(3, 4, new Float64Array(12), ' nothing valid'),
  padded(4, 1),
  padded(1, 1),
  padded(2, 17, leading([16, 17], 17), ' right-padded'),
  packed([3, 0, 5, 1]),
  packed([4, 2, 7], flags(random, 13, 0.6), ' with gaps'),
  packed([33]),
  packed([0, 0]),
  packed([]),
  padded(0, 5),
  padded(2, 0),
]

export const flatLayouts = (random: RandomSource): Layout[] => [
  flat(0),
  ...[1, 2, 7, 15, 16, 17, 31].map((N) => flat(N)),
  flat(40, flags(random, 40, 0.7), ' with gaps'),
]

/** Around the length that one work item of a token loss covers. */
export const longLayouts = (random: RandomSource): Layout[] => [
  padded(1, 4095),
  padded(2, 4096, leading([4096, 4001], 4096), ' right-padded'),
  padded(2, 4097, flags(random, 8194, 0.8), ' with gaps'),
  packed([4096, 1, 0, 4097, 3]),
]

/** Any layout, small. */
export function randomLayout(random: RandomSource, flatToo: boolean): Layout {
  const kind = random.integer(0, flatToo ? 2 : 1)
  const share = pick(random, [0.3, 0.8, 1])
  const valid = (N: number): Values['data'] | undefined => (chance(random, 0.6) ? flags(random, N, share) : undefined)
  if (kind === 0) {
    const B = random.integer(1, 4)
    const T = random.integer(1, 9)
    return padded(B, T, valid(B * T))
  }
  if (kind === 1) {
    const lengths = Array.from({ length: random.integer(1, 4) }, () => random.integer(0, 8))
    return packed(lengths, valid(lengths.reduce((a, b) => a + b, 0)))
  }
  const N = random.integer(1, 20)
  return flat(N, valid(N))
}

const AGGREGATES = ['token-mean', 'sequence-mean', 'sequence-mean-token-sum', 'token-sum'] as const

/** The shared options of token losses, one change at a time. */
export const reductions = (): Options[] => [
  ...AGGREGATES.map((aggregate) => ({ aggregate })),
  { aggregate: 'sequence-mean', countEmpty: true },
  { aggregate: 'sequence-mean-token-sum', countEmpty: true },
  { aggregate: 'token-mean', normalizer: 37.5 },
  { aggregate: 'sequence-mean', normalizer: 8 },
  { aggregate: 'token-sum', normalizer: 0.3, gradScale: -2.5 },
  { aggregate: 'token-mean', gradScale: 0 },
]

export function randomReduction(random: RandomSource, layout: Layout): Options {
  const options: Options = { aggregate: pick(random, layout.flat ? [AGGREGATES[0], AGGREGATES[3]] : AGGREGATES) }
  if (chance(random, 0.3)) options.countEmpty = true
  if (chance(random, 0.3)) options.normalizer = 0.5 + 20 * random.next()
  if (chance(random, 0.3)) options.gradScale = random.normal()
  return options
}

/** Names an options object the way a call would write it. */
export const spell = (options: Options): string =>
  Object.entries(options)
    .map(([name, value]) => `${name}: ${value}`)
    .join(', ') || 'defaults'
