/** What the parts of the bench tell each other. */
import type { Dtype } from '../lib/dtype.ts'

/** One input of a case, as every implementation gets it. */
export interface Operand {
  data: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer>
  shape: readonly number[]
  dtype: Dtype
}

export type OptionValue = number | boolean | string
export type Unit = 'GB/s' | 'GFLOP/s' | 'tokens/s'

/** How prefgrad is called: a prepared call, a call that reuses its outputs, or a plain call that allocates them. */
export type Variant = 'prepared' | 'with out' | 'eager'

/**
 * What a case should reach. `ceiling`: share of the ceiling; `peers`: times faster than the fastest of them; `peer`: than the
 * first of them that is there; `rate`: in the case's unit; `time`: milliseconds a call, at most.
 */
export type Goal = { threads?: number } & (
  | { of: 'ceiling'; atLeast: number }
  | { of: 'peers' | 'peer'; names: readonly string[]; atLeast: number }
  | { of: 'rate'; atLeast: number }
  | { of: 'time'; variant: Variant; atMost: number }
)

/** Which physical limit a case runs into, and for `read` the input whose memory is read. */
export type CeilingOf = { kind: 'read'; input: string } | { kind: 'copy' | 'triad' | 'multiplyAdd' }

/** One op on one shape and dtype: inputs, how its speed is counted, and how its results are judged. */
export interface Work {
  op: string
  shape: string
  dtype: Dtype
  inputs: Readonly<Record<string, Operand>>
  options: Readonly<Record<string, OptionValue>>
  unit: Unit
  /** Bytes that must move, floating-point operations, or tokens: of one call. */
  amount: number
  ceiling?: CeilingOf
  /** Floating-point operations of one call where `amount` counts tokens: what the ceiling counts. */
  operations?: number
  /** Outputs (or updated inputs) that are compared with float64; none: nothing to compare. */
  judged: readonly string[]
  /** Rows that are compared, of tensors whose first dimension has one of the letters; absent: everything. */
  sampled?: { letters: readonly string[]; rows: readonly number[] }
  /** Largest error, as a share of the largest exact value, that still counts as the same result. */
  tolerance: number
  variants: readonly Variant[]
  goals: readonly Goal[]
  note?: string
  /** A call is mostly what a call costs, so that its ratios compare the ways to call and not the arithmetic. */
  isOverhead?: boolean
  /** Judged outputs are compared with prefgrad's own, and all must be there: for whole models, whose float64 takes minutes. */
  judgedBy?: 'prefgrad'
  /** Peers that can compile a case before they run it also do that; it takes seconds, so some only in a run without haste. */
  compiled?: boolean | 'without haste'
  /** A peer whose matrix product runs below this share of the multiply-add peak is not compared with: its BLAS decides. */
  peerGemm?: number
  /** Replaces the op call: for whole models. */
  drive?: (device: import('../lib/device.ts').Device) => Driven
}

/** A whole model that is timed. */
export interface Driven {
  call(): void | Promise<void>
  /** Judged outputs of the first call. */
  outputs?(): Record<string, ArrayLike<number>>
  dispose?(): void | Promise<void>
}

/** What an implementation runs under. */
export interface Setting {
  threads: number
  /** Instruction set of prefgrad; peers that can be told are told the same. */
  isa: string
}

/** Something that can be timed on a case. */
export interface Implementation {
  name: string
  /** `prefgrad`, `ceiling`, or the peer's name. */
  peer: string
  /** Milliseconds per call. */
  sample(calls: number): Promise<number>
  /** Judged outputs of its first call, at the sampled rows; undefined: nothing to judge. */
  outputs?(): Promise<Record<string, ArrayLike<number>>>
  /** It has threads of its own that go on spinning for a moment after a call. */
  lingers?: boolean
  dispose?(): Promise<void>
}

/** What a peer says about itself. */
export interface About {
  peer: string
  version: string
  threads: number
  /** What it was told to use; '': it cannot be told. */
  isa: string
  /** BLAS, its kernels, capability: whatever decides its speed. */
  details: readonly string[]
  /** Measured GFLOP/s of its 1024 x 1024 x 1024 matrix product. */
  gemm?: number
}

/** A peer that was started with some threads and instruction set. */
export interface Session {
  about: About
  /** Its ways to compute this case; none: it does not have the op. */
  load(work: Work, shared: SharedInputs): Promise<Implementation[]>
  /** GFLOP/s of its matrix product at this moment, for peers that have `about.gemm`. */
  gemm?(): Promise<number>
  /** Its process is gone; another must be started. */
  hasEnded?(): boolean
  close(): Promise<void>
}

/** The inputs of a case in a file that other processes read; written at first use. */
export interface SharedInputs {
  file(): Promise<{ path: string; inputs: Record<string, { dtype: Dtype; shape: readonly number[]; offset: number }> }>
}

export interface Peer {
  name: string
  /** The command that installs it. */
  install: string
  /** Ops that it is worth starting for; absent: it says so itself once started. */
  ops?: readonly string[]
  /** More threads than this it cannot use. */
  mostThreads?: number
  /** Why it cannot be used; undefined: it can. */
  missing(): Promise<string | undefined>
  /** Another peer is just this one, so that it is not measured twice. */
  isAnother?(): Promise<boolean>
  open(setting: Setting): Promise<Session>
}

/** A line of a table. Times are milliseconds a call. */
export interface Row {
  implementation: string
  peer: string
  threads: number
  samples: number
  calls: number
  min: number
  median: number
  p20: number
  p80: number
  rate: number
  /** Share of the ceiling's rate, both at their best. */
  ofCeiling?: number
  /** Its best time over prefgrad's. */
  ratio?: number
  /** This run cannot tell it from prefgrad: their times overlap, or prefgrad differs as much from itself. */
  withinNoise?: boolean
  /** Largest error against float64, as a share of the largest exact value. */
  maxError?: number
  /** Why there are no times, or why they do not count. */
  failed?: string
}

export interface GoalResult {
  text: string
  threads: number
  /** What was reached, in the goal's own measure; absent: nothing to compare with. */
  reached?: number
  /** The same by prefgrad's second run; absent in results of versions that had one figure only. */
  again?: number
  /** What it would be at the ceiling, of a goal that compares with peers: what is above it is out of reach on this machine. */
  most?: number
  /** Absent where nothing was reached, and where the two runs disagree. */
  met?: boolean
}

/** All about one case on one instruction set. */
export interface CaseResult {
  op: string
  shape: string
  dtype: string
  isa: string
  unit: Unit
  amount: number
  ceiling?: string
  note?: string
  /** Its ratios compare what a call costs, not arithmetic. */
  isOverhead?: boolean
  rows: Row[]
  goals: GoalResult[]
}

export interface Ceiling {
  kind: string
  isa: string
  threads: number
  rate: number
  unit: 'GB/s' | 'GFLOP/s'
}

export interface Environment {
  date: string
  command: string
  cpu: string
  cores: number
  memoryGiB: number
  load: number[]
  platform: string
  node: string
  version: string
  commit: string
  device: string
  isas: readonly string[]
}

/** What a run leaves behind as JSON. */
export interface Results {
  schema: 1
  environment: Environment
  ceilings: Ceiling[]
  peers: About[]
  /** Peers that are not there, and the command that installs them. */
  missing: { peer: string; why: string; install: string }[]
  cases: CaseResult[]
}
