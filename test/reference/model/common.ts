/** What the references of the policy's ops share: repeatable data, sequences, and bounds on f32 sums. */
import type { Dtype, RandomSource, Values } from '../types.ts'

/** Unit roundoff of f32: one rounding errs by at most this share of its result. */
export const UNIT = 2 ** -24
/** What a single operation can lose below the normal range of f32. */
export const UNDERFLOW = 2 ** -149
/** The smallest normal f32: kernels may flush an exponential below it to 0. */
export const SMALLEST_NORMAL = 2 ** -126

/** A repeatable source for fixed samples: a Weyl sequence through the finaliser of MurmurHash3. */
export function seeded(seed: number): RandomSource {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
  }
  return {
    next,
    integer: (low, high) => low + Math.floor(next() * (high - low + 1)),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  }
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1)
/** Rows of a `[*N, width]` tensor. */
export const rowsOf = (values: Values): number => sizeOf(values.shape.slice(0, -1))
export const lastOf = (values: Values): number => values.shape[values.shape.length - 1]

/** What an upstream gradient makes of an output: the scalar whose derivatives a backward op gives. */
export const inner = (gradient: Values, output: Values): number => {
  let sum = 0
  for (let at = 0; at < gradient.data.length; at++) sum += gradient.data[at] * output.data[at]
  return sum
}

/** Values that are typed arrays already: a call takes them as they are. */
export interface Typed<A extends Float32Array | Int32Array | Uint8Array, D extends Dtype> extends Values {
  data: A
  dtype: D
}

export const f32 = (data: ArrayLike<number>, shape: readonly number[]): Typed<Float32Array, 'f32'> => ({
  data: Float32Array.from(data),
  shape,
  dtype: 'f32',
})
export const i32 = (data: ArrayLike<number>, shape: readonly number[] = [data.length]): Typed<Int32Array, 'i32'> => ({
  data: Int32Array.from(data),
  shape,
  dtype: 'i32',
})
export const u8 = (data: ArrayLike<number>, shape: readonly number[] = [data.length]): Typed<Uint8Array, 'u8'> => ({
  data: Uint8Array.from(data),
  shape,
  dtype: 'u8',
})
/** Zeros that a reference adds to in float64. */
export const zeros = (shape: readonly number[]): { data: Float64Array; shape: readonly number[] } => ({
  data: new Float64Array(sizeOf(shape)),
  shape,
})

/** Normal values, rounded to f32 so that derived inputs (`y`, `logSum`) belong to exactly these. */
export const normals = (random: RandomSource, shape: readonly number[], scale = 1) =>
  f32(
    Array.from({ length: sizeOf(shape) }, () => scale * random.normal()),
    shape,
  )
/** Normal values whose sizes span `10^-decades` to `10^decades`. */
export const spread = (random: RandomSource, shape: readonly number[], decades: number) =>
  f32(
    Array.from({ length: sizeOf(shape) }, () => random.normal() * 10 ** (decades * (2 * random.next() - 1))),
    shape,
  )
/** Uniform i32 in `[low, high]`. */
export const integers = (random: RandomSource, shape: readonly number[], low: number, high: number) =>
  i32(
    Array.from({ length: sizeOf(shape) }, () => random.integer(low, high)),
    shape,
  )

export interface Sequence {
  /** First row. */
  start: number
  length: number
}

/** Sequences of a `[B, T, ..]` tensor, or of a packed `[N, ..]` one with its `offsets`. */
export function sequencesOf(tokens: Values, offsets?: Values): Sequence[] {
  if (offsets) {
    return Array.from({ length: offsets.shape[0] - 1 }, (_, b) => ({
      start: offsets.data[b],
      length: offsets.data[b + 1] - offsets.data[b],
    }))
  }
  const [B, T] = tokens.shape
  return Array.from({ length: B }, (_, b) => ({ start: b * T, length: T }))
}

/** Running sums of lengths: `[2, 0, 3]` -> `[0, 2, 2, 5]`. */
export const offsetsOf = (lengths: readonly number[]) => {
  const offsets = [0]
  for (const length of lengths) offsets.push(offsets[offsets.length - 1] + length)
  return i32(offsets)
}

/**
 * The most that an f32 chain `s_k = s_(k-1) + term_k` can be off, with or without fma: one rounding of every partial sum
 * and of every product (running error analysis, Higham 2002, "Accuracy and stability of numerical algorithms", 3.3).
 */
export function chainBound(count: number, term: (k: number) => number): number {
  let sum = 0
  let bound = 0
  for (let k = 0; k < count; k++) {
    const added = term(k)
    sum += added
    bound += UNIT * (Math.abs(sum) + bound + Math.abs(added)) + UNDERFLOW
  }
  return bound
}

/** Roundings that a sum of `count` terms in 16 lanes and a combine tree passes through at most. */
export const laneDepth = (count: number): number => Math.ceil(count / 16) + 5
