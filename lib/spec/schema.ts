/**
 * What a row of the op table can say. Everything about an op that is not arithmetic is data of these shapes:
 * TypeScript types, validation, allocation, argument packing, the native handshake, the op reference in the README and the
 * suites that know no op by name are all derived from it.
 */
import type { ErrorCode } from '../errors.ts'

/** Element types. bf16 and f16 live in a `Uint16Array`. */
export type Dtype = 'f32' | 'bf16' | 'f16' | 'i32' | 'u8'

/**
 * One dimension of a shape: a letter (bound on first sight, equal ever after), `'B+1'`, a plain number, or `'*N'` in first
 * place: one or more leading dimensions whose product is N. Every `'*N'` of a call has the same leading dimensions.
 */
export type Dim = string | number

export interface InputSpec {
  shape: readonly Dim[]
  /** Allowed element types; absent: f32 only. */
  dtypes?: readonly Dtype[]
  optional?: true
  /** The op writes this tensor in place (a parameter, a moment, a cache). */
  updated?: true
  /** What the kernel reports when it meets a value here that it cannot use. */
  fault?: { code: ErrorCode; says: string; fix: string }
  doc: string
}

export interface OutputSpec {
  shape: readonly Dim[]
  /** Element type; `{ as: 'logits' }` copies an input's, `{ option: 'dtype' }` reads an enum option. Absent: f32. */
  dtype?: Dtype | { as: string } | { option: string }
  /** Made only when this boolean option is true, or this optional input or number option is given. */
  when?: string
  /** Inputs whose very memory `out` may be. */
  inPlaceOf?: readonly string[]
  /** A gradient: may be added to what `out` holds with `accumulate`. */
  gradient?: true
  /** Named slots of a statistics vector. */
  stats?: StatsSpec
  doc: string
}

/** The slots of a `stats` output: how micro-batches merge, and the figures that users read. */
export interface StatsSpec {
  /** In memory order; `welford` takes part as a triple `<name>.n`, `<name>.mean`, `<name>.m2`. */
  slots: Readonly<Record<string, 'sum' | 'min' | 'max' | 'welford'>>
  /** Slots (by name) -> figures (by name). */
  read: (slots: Readonly<Record<string, number>>) => Record<string, number>
}

interface OptionBase {
  /** May be changed on a prepared call; so checks, passes and workspaces do not look at it. */
  dynamic?: true
  doc: string
}
export interface NumberOption extends OptionBase {
  type: 'number' | 'integer'
  /** Absent: the option may be left out, and the kernel sees NaN (number) or -1 (integer). */
  default?: number
  required?: true
  min?: number
  max?: number
  /** Exclusive bounds. */
  above?: number
  below?: number
}
export interface SeedOption extends OptionBase {
  type: 'seed'
  default: number
}
export interface BooleanOption extends OptionBase {
  type: 'boolean'
  /** Absent: the row decides (`resolve`). */
  default?: boolean
}
export interface EnumOption extends OptionBase {
  type: 'enum'
  values: readonly string[]
  default: string
}
export type OptionSpec = NumberOption | SeedOption | BooleanOption | EnumOption

/** What passes, derived words and checks may look at: sizes and settings, never data. */
export interface CallShape {
  dims: Readonly<Record<string, number>>
  options: Readonly<Record<string, number | boolean | string | bigint | undefined>>
  /** Is this optional input given, or this output wanted? */
  has(name: string): boolean
  /** Bytes of one element of this input (0 when absent). */
  elementBytes(name: string): number
  /** Token tensors came as a flat `[N]` without `offsets`. */
  flat: boolean
  threads: number
}

export interface PassSpec {
  /** The kernel is found as `<op>.<pass>.<dtype>`. */
  name: string
  when?: (call: CallShape) => boolean
  /** Independent work items. Results never depend on how items are dealt to threads. */
  grid: (call: CallShape) => number
  /** About how many elements one item touches: small calls stay on one thread. */
  work: (call: CallShape) => number
}

/** A rule that no range can express. */
export interface Problem {
  arg: string
  says: string
  fix: string
  code?: ErrorCode
}

export interface OpSpec {
  doc: string
  /** Paper and equation, or the convention's source. */
  source: string
  inputs: Readonly<Record<string, InputSpec>>
  outputs: Readonly<Record<string, OutputSpec>>
  options: Readonly<Record<string, OptionSpec>>
  /** Dimensions that an integer option fixes: `{ V: 'vocabularySize' }`. */
  dimsFrom?: Readonly<Record<string, string>>
  /**
   * `[B, T]` or packed `[N]` with `offsets`: binds B and T beside N (T = 0 when packed). `'flat-too'` also takes a flat `[N]`
   * (then B = 1, T = N) where `check` allows it.
   */
  sequences?: 'required' | 'flat-too'
  check?: (call: CallShape) => Problem | undefined
  /** Words computed in f64 from sizes and options, packed after the options in this order. */
  derived?: Readonly<Record<string, (call: CallShape) => number>>
  /** Scratch bytes shared by all passes. */
  workspace?: (call: CallShape) => number
  passes: readonly PassSpec[]
  /** Least bytes that any implementation must move, for the benches. */
  traffic: (call: CallShape) => number
}

/** Rounds up to a multiple: `blocks(10, 4) === 3`. */
export const blocks = (count: number, size: number): number => Math.ceil(count / size)
