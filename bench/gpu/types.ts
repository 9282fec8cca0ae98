/** What the parts of the GPU bench tell each other. */
import type { Device } from '../../lib/device.ts'
import type { Dtype } from '../../lib/dtype.ts'
import type { Tensor } from '../../lib/tensor.ts'
import type { Summary as Quantiles } from '../statistics.ts'
import type { Operand, OptionValue } from '../types.ts'

/**
 * An input of a case: element i is element i modulo the length of `block`. Tensors of gigabytes are filled block by block, here
 * and in the peers' process alike, so that both compute on the same numbers.
 */
export interface Input {
  dtype: Dtype
  shape: readonly number[]
  block: Operand['data']
}

export type Tensors = Record<string, Tensor>

/** Which ceiling a case runs into; the first two count bytes, the others floating-point operations. */
export type CeilingName = 'read' | 'copy' | 'multiplyF32' | 'multiplyBf16'

/**
 * What is measured. `cold`: device time with nothing of the tensors in the L2 cache; `warm`: device time right after the same
 * call; `full`: from the call until everything is there, by the host's clock; `enqueue`: until the call returns.
 */
export const MEASURES = ['cold', 'warm', 'full', 'enqueue'] as const
export type Measure = (typeof MEASURES)[number]

/** What a case should reach on an H200. `text` says where the figure comes from, if not from the op's physical limit. */
export type Goal =
  | { of: 'time'; measure: Measure; atMost: number; by?: string }
  | { of: 'rate'; atLeast: number }
  /** Share of the rate of another case: sizes that do not divide evenly should cost next to nothing. */
  | { of: 'case'; other: string; atLeast: number }
  /** Share by which the time of a whole call exceeds the device's. */
  | { of: 'overhead'; atMost: number }

/** Ways in which PyTorch is asked to compute; `tf32` rounds what it multiplies to 11 bits. */
export type PeerMode = 'eager' | 'compile' | 'max-autotune' | 'tf32'

/** Prepared calls that make up a step, and what of it peers are compared by. */
export interface Step {
  calls: { run(): unknown; dispose(): void }[]
  outputs: Tensors
}

/** One op, or one step of several, on one shape and element type. */
export interface Work {
  /** The op's name, or that of a step. */
  op: string
  shape: string
  dtype: Dtype
  inputs: Readonly<Record<string, Input>>
  options: Readonly<Record<string, OptionValue>>
  /** Bytes that any implementation must move. */
  bytes: number
  /** Floating-point operations, where these and not the bytes are the limit. */
  flops?: number
  ceiling: CeilingName
  /** Outputs (or updated inputs) that are compared with float64 (a step: with prefgrad's own). */
  judged: readonly string[]
  /** Rows that are compared, of tensors whose first dimension has one of the letters (a step: by name); absent: everything. */
  sampled?: { letters: readonly string[]; rows: readonly number[] }
  /** Largest error, as a share of the largest exact value, that still counts as the same result. */
  tolerance: number
  /** Also with this output where this input was. */
  inPlace?: { output: string; input: string }
  /** A step: its calls on these tensors. Its ops are in `needs`. */
  step?: (device: Device, tensors: Tensors) => Step
  /** Ops whose kernels it needs; absent: its own. */
  needs?: readonly string[]
  /** Inputs that it overwrites and that are put back before each sample. */
  restored?: readonly string[]
  peers: readonly PeerMode[]
  goals: readonly Goal[]
  note?: string
}

/** A case that can be made; making it draws its numbers. */
export interface Planned {
  op: string
  shape: string
  dtype: Dtype
  make(): Work
}

/** Something that can be timed on a case. */
export interface Subject {
  name: string
  /** `prefgrad`, or the peer's name. */
  peer: string
  measures: readonly Measure[]
  /** So many times the milliseconds of a call; `enqueue` and `full` in a row of so many calls. */
  sample(measure: Measure, count: number, calls: number): Promise<number[]>
  /** Judged outputs of its first call, at the sampled rows. */
  outputs(): Promise<Record<string, ArrayLike<number>>>
}

export interface Summary extends Quantiles {
  samples: number
}

/** A line of a table: milliseconds a call. */
export interface Row {
  implementation: string
  peer: string
  times: Partial<Record<Measure, Summary>>
  /** GB/s or TFLOP/s by the median of cold calls. */
  rate?: number
  ofCeiling?: number
  /** Its median cold time over prefgrad's. */
  ratio?: number
  /** This run cannot tell its cold time from prefgrad's. */
  withinNoise?: boolean
  maxError?: number
  failed?: string
}

export interface GoalResult {
  text: string
  reached?: number
  met?: boolean
}

export interface CaseResult {
  op: string
  shape: string
  dtype: string
  bytes: number
  flops?: number
  unit: 'GB/s' | 'TFLOP/s'
  ceiling: CeilingName
  /** How far two measurements of the same prefgrad call are apart, as a share. */
  noise?: number
  rows: Row[]
  goals: GoalResult[]
  note?: string
  /** Why it was not measured. */
  skipped?: string
}

export interface Ceiling {
  name: CeilingName
  rate: number
  unit: 'GB/s' | 'TFLOP/s'
  source: string
}

export interface Environment {
  date: string
  command: string
  commit: string
  version: string
  node: string
  device: string
  emulated: boolean
  capability: number
  multiprocessors: number
  memoryGiB: number
  /** Version of CUDA that the driver is for, and that the kernels were compiled by. */
  driverCuda?: string
  kernelsCuda?: string
  /** What nvidia-smi says, at the beginning and at the end. */
  gpu: Record<string, string>[]
}

export interface PeerAbout {
  peer: string
  version: string
  details: readonly string[]
}

/** What a run leaves behind as JSON. */
export interface Results {
  schema: 1
  environment: Environment
  ceilings: Ceiling[]
  peers: PeerAbout[]
  cases: CaseResult[]
  /** Cases that were not begun because the time was up. */
  left: string[]
}
