/** What is known of how an op's cost grows. Times are milliseconds a call, sizes of memory bytes. */
import type { CeilingKind } from './ceilings.ts'
import type { Unit } from './types.ts'

/** One size of a sweep. */
export interface GrowthPoint {
  size: number
  shape: string
  /** Bytes or operations of one call, whichever the ceiling counts. */
  amount: number
  /** Inputs and outputs together; absent for whole models. */
  tensorBytes?: number
  /** Times by threads. */
  times: { threads: number; min: number; median: number; p20: number; p80: number }[]
  /** What a call costs beyond a loop in C++ on one thread, by the way it is called; small sizes only. */
  overheads?: { way: string; ms: number }[]
  /** Inputs, and what the first call added to the memory of a fresh process at its peak. */
  peakBytes?: number
}

/** How the times at one number of threads grow. */
export interface GrowthFit {
  threads: number
  /** Time grows as size to this power where the work outweighs the call. */
  exponent?: number
  /** Time of the largest size over the ideal line there: 1 is the machine's limit. */
  overIdeal?: number
}

/** One op against one of its sizes. */
export interface GrowthCurve {
  op: string
  letter: string
  dtype: string
  /** The other sizes: 'V = 32000'. */
  fixed: string
  unit: Unit
  /** Ceiling that the ideal line is made of, and its rate by threads, in 1e9 bytes or operations a second. */
  ceiling?: { kind: CeilingKind; rates: { threads: number; rate: number }[] }
  points: GrowthPoint[]
  fits: GrowthFit[]
  /** Why there is no larger size. */
  stopped: string
}
