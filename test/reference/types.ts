/**
 * What the suites that know no op by name need to know of one: inputs to try, the answer in float64 written from the
 * paper, and how far a kernel may be from it. Kernels never import anything from here, and references never import
 * anything from `lib/` or `kernels/`.
 */

export type Dtype = 'f32' | 'bf16' | 'f16' | 'i32' | 'u8'

/**
 * A tensor as the reference sees it: plain float64 values in row-major order. `dtype` is what the kernel is given
 * (absent: f32); the suite rounds the values to it before either side computes, so that rounding the input is nobody's error.
 */
export interface Values {
  data: ArrayLike<number>
  shape: readonly number[]
  dtype?: Dtype
}

export type Inputs = Record<string, Values>
export type Options = Record<string, number | boolean | string | bigint>

/** One call to try. `name` says why it is there. */
export interface Sample {
  name: string
  inputs: Inputs
  options?: Options
  /** Why central differences mean nothing here (a kink, a value at infinity); absent: gradients are checked. */
  skipGradients?: string
}

/**
 * The error that is allowed in one output: `ulp` units in the last place (of the output's dtype) of the larger of
 * |expected| and `magnitude`, plus `extra`.
 */
export interface Tolerance {
  ulp: number
  /** Why this many. */
  reason: string
  /** Per element: the size of the terms that were added up, where cancellation is unavoidable. */
  magnitude?: (inputs: Inputs, options: Options, expected: Record<string, Values>) => ArrayLike<number>
  /** Per element: an absolute error that the inputs themselves force. */
  extra?: (inputs: Inputs, options: Options, expected: Record<string, Values>) => ArrayLike<number>
  /** What f32 arithmetic without f64 needs in place of these; absent: the same, but 8 ULP at least. */
  webgpu?: OwnTolerance
  /** The same for cuda, 4 ULP at least. */
  cuda?: OwnTolerance
  /** In place of these where the cpu has a way of its own. */
  cpu?: OwnTolerance
}

type OwnTolerance = Partial<Omit<Tolerance, 'webgpu' | 'cuda' | 'cpu'>> & { reason: string }

/** A small seeded generator handed to {@link Reference.random}. */
export interface RandomSource {
  /** Uniform in [0, 1). */
  next(): number
  /** Uniform integer in [low, high], both included. */
  integer(low: number, high: number): number
  /** Normal with mean 0 and deviation 1. */
  normal(): number
}

export interface Reference {
  /** Fixed cases: ordinary, awkward sizes, extreme values. Small enough that all of them together take about a second. */
  samples(): Sample[]
  /** One random small case. */
  random(random: RandomSource): Sample
  /** Every output of the op, in float64. Optional outputs only when the options or inputs ask for them. */
  compute(inputs: Inputs, options: Options): Record<string, Values>
  tolerances: Record<string, Tolerance>
  /**
   * A scalar function of the inputs whose derivative with respect to input `gradients[output]` is that output. The
   * suite compares `compute` with central differences of it. An input that only the forward call has (the map is linear
   * in it, so that any point will do) is given as zeros.
   */
  derivative?: {
    objective(inputs: Inputs, options: Options): number
    gradients: Record<string, string>
  }
  /**
   * Inputs whose elements have no effect where `by` is zero, and outputs of the same shape that are exactly 0 there.
   * The suite fills them with NaN (or an id out of range) and expects the same bits.
   */
  masked?: { by: string; inputs: string[]; outputs: string[] }
  /** Why a row of the result depends on the other rows; absent: it must not. */
  joinsRows?: string
}
