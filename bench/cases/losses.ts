/** Scalar losses, value and gradient: what a call costs with next to nothing to do, and what a million terms cost. */

import type { OpName } from '../../lib/index.ts'
import { f32, flags, normals, u8 } from '../data.ts'
import type { Goal, Operand, OptionValue, Variant, Work } from '../types.ts'
import { type Family, shapeText, traffic } from './family.ts'

const TINY = 1
const SMALL = 1000
const LARGE = 1_000_000

/** From TypeScript, in milliseconds: a prepared call and one with `out` within 2 us, a plain one within 5 us. */
const tinyGoals: readonly Goal[] = [
  { of: 'time', variant: 'prepared', atMost: 0.002, threads: 1 },
  { of: 'time', variant: 'with out', atMost: 0.002, threads: 1 },
  { of: 'time', variant: 'eager', atMost: 0.005, threads: 1 },
]

/** What a call costs PyTorch weighs the more, the fewer terms there are. */
const goalsOver = (count: number): readonly Goal[] =>
  count === SMALL || count === LARGE
    ? [{ of: 'peers', names: ['torch'], atLeast: count === SMALL ? 10 : 5, threads: 2 }]
    : []

interface Loss {
  op: OpName
  letter: 'N' | 'B'
  inputs(count: number): Record<string, Operand>
  options?: Record<string, OptionValue>
  judged: readonly string[]
  /** What to know of the comparison. */
  note?: string
  /** Sizes that a run without arguments measures. */
  representative?: readonly number[]
}

const lossFamily = ({
  op,
  letter,
  inputs: draw,
  options = {},
  judged,
  note,
  representative = [TINY, SMALL, LARGE],
}: Loss): Family => ({
  op,
  letters: letter,
  dtypes: ['f32'],
  cases: [TINY, SMALL, 100_000, LARGE].map((count) => ({
    shape: [count],
    representative: representative.includes(count),
  })),
  make(shape): Work {
    const [count] = shape
    const inputs = draw(count)
    const isSmall = count <= SMALL
    const variants: readonly Variant[] = isSmall ? ['prepared', 'with out', 'eager'] : ['prepared', 'eager']
    return {
      op,
      shape: shapeText(shape),
      dtype: 'f32',
      inputs,
      options,
      unit: 'GB/s',
      amount: traffic(op, { [letter]: count }, inputs, options),
      judged,
      tolerance: 1e-4,
      variants,
      goals: count <= TINY ? tinyGoals : goalsOver(count),
      compiled: count === LARGE || (count === SMALL && 'without haste'),
      ...(count === LARGE ? { ceiling: { kind: 'copy' } as const } : {}),
      ...(isSmall ? { isOverhead: true, note: 'call overhead: what a call costs, not arithmetic' } : { note }),
    }
  },
})

export const ppoPolicyLoss = lossFamily({
  op: 'ppoPolicyLoss',
  letter: 'N',
  inputs: (count) => ({
    logprob: f32(normals(count, 1, 0.2, -2)),
    oldLogprob: f32(normals(count, 2, 0.2, -2)),
    advantage: f32(normals(count, 3)),
    valid: u8(flags(count, 4, 0.9)),
  }),
  options: { clipLow: 0.2, clipHigh: 0.2 },
  judged: ['loss', 'gradLogprob'],
})

export const ppoValueLoss = lossFamily({
  op: 'ppoValueLoss',
  letter: 'N',
  inputs: (count) => ({
    value: f32(normals(count, 1)),
    returns: f32(normals(count, 2)),
    valid: u8(flags(count, 4, 0.9)),
  }),
  options: { scale: 0.5 },
  judged: ['loss', 'gradValue'],
  representative: [LARGE],
})

export const bradleyTerryLoss = lossFamily({
  op: 'bradleyTerryLoss',
  letter: 'B',
  inputs: (count) => ({ chosen: f32(normals(count, 1, 2, 0.5)), rejected: f32(normals(count, 2, 2)) }),
  judged: ['loss', 'gradChosen', 'gradRejected'],
})

export const dpoLoss = lossFamily({
  op: 'dpoLoss',
  letter: 'B',
  inputs: (count) => ({
    policyChosen: f32(normals(count, 1, 10, -100)),
    policyRejected: f32(normals(count, 2, 10, -110)),
    refChosen: f32(normals(count, 3, 10, -102)),
    refRejected: f32(normals(count, 4, 10, -108)),
  }),
  options: { beta: 0.1 },
  judged: ['loss', 'gradPolicyChosen', 'gradPolicyRejected', 'losses', 'chosenReward', 'rejectedReward'],
  note: 'PyTorch, too, computes the loss and both rewards of every pair, as its trainers do; only prefgrad makes statistics',
})
