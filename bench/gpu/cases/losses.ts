/** Losses: one launch each, next to no traffic. */
import type { Device } from '../../../lib/device.ts'
import type { OpName } from '../../../lib/index.ts'
import { traffic } from '../../cases/family.ts'
import type { OptionValue } from '../../types.ts'
import { flagInput, normalInput } from '../data.ts'
import type { Goal, Input, Planned, Work } from '../types.ts'

interface Loss {
  op: OpName
  letter: 'N' | 'B'
  draw(cpu: Device, count: number): Record<string, Input>
  options?: Record<string, OptionValue>
  judged: readonly string[]
}

const LOSSES: readonly Loss[] = [
  {
    op: 'ppoPolicyLoss',
    letter: 'N',
    draw: (cpu, count) => ({
      logprob: normalInput(cpu, [count], { seed: 1, deviation: 0.2, mean: -2 }),
      oldLogprob: normalInput(cpu, [count], { seed: 2, deviation: 0.2, mean: -2 }),
      advantage: normalInput(cpu, [count], { seed: 3 }),
      valid: flagInput([count], 4, 0.9),
    }),
    options: { clipLow: 0.2, clipHigh: 0.2 },
    judged: ['loss', 'gradLogprob'],
  },
  {
    op: 'klPenalty',
    letter: 'N',
    draw: (cpu, count) => ({
      logprob: normalInput(cpu, [count], { seed: 1, deviation: 0.2, mean: -2 }),
      refLogprob: normalInput(cpu, [count], { seed: 2, deviation: 0.2, mean: -2 }),
      valid: flagInput([count], 4, 0.9),
    }),
    options: { gradient: 'value' },
    judged: ['loss', 'gradLogprob', 'kl'],
  },
  {
    op: 'ppoValueLoss',
    letter: 'N',
    draw: (cpu, count) => ({
      value: normalInput(cpu, [count], { seed: 1 }),
      returns: normalInput(cpu, [count], { seed: 2 }),
      valid: flagInput([count], 4, 0.9),
    }),
    options: { scale: 0.5 },
    judged: ['loss', 'gradValue'],
  },
  {
    op: 'bradleyTerryLoss',
    letter: 'B',
    draw: (cpu, count) => ({
      chosen: normalInput(cpu, [count], { seed: 1, deviation: 2, mean: 0.5 }),
      rejected: normalInput(cpu, [count], { seed: 2, deviation: 2 }),
    }),
    judged: ['loss', 'gradChosen', 'gradRejected'],
  },
  {
    op: 'dpoLoss',
    letter: 'B',
    draw: (cpu, count) => ({
      policyChosen: normalInput(cpu, [count], { seed: 1, deviation: 10, mean: -100 }),
      policyRejected: normalInput(cpu, [count], { seed: 2, deviation: 10, mean: -110 }),
      refChosen: normalInput(cpu, [count], { seed: 3, deviation: 10, mean: -102 }),
      refRejected: normalInput(cpu, [count], { seed: 4, deviation: 10, mean: -108 }),
    }),
    options: { beta: 0.1 },
    judged: ['loss', 'gradPolicyChosen', 'gradPolicyRejected', 'losses', 'chosenReward', 'rejectedReward'],
  },
]

/** Tokens and pairs of a large step. */
const STEP = { N: 131072, B: 4096 }
const inOneLaunch: Goal = { of: 'time', measure: 'cold', atMost: 4e-3 }

const plan = (cpu: Device, { op, letter, draw, options = {}, judged }: Loss, count: number): Planned => ({
  op,
  shape: String(count),
  dtype: 'f32',
  make(): Work {
    const inputs = draw(cpu, count)
    const isStep = count === STEP[letter]
    return {
      op,
      shape: String(count),
      dtype: 'f32',
      inputs,
      options,
      bytes: traffic(op, { [letter]: count }, inputs, options),
      ceiling: 'copy',
      judged,
      tolerance: 1e-4,
      peers: isStep || count <= 100 ? ['eager', 'compile'] : ['eager'],
      goals: isStep ? [inOneLaunch] : [],
      note: 'peers compute values and gradients, but not the statistics that prefgrad returns beside them',
    }
  },
})

/** Steps' sizes first: a run may be cut short. */
export const lossCases = (cpu: Device, tiny: boolean): Planned[] => {
  const sizes = (loss: Loss): number[] => (tiny ? [100] : [STEP[loss.letter], 1000, 1_000_000])
  return [0, 1, 2].flatMap((i) =>
    LOSSES.flatMap((loss) => (i < sizes(loss).length ? [plan(cpu, loss, sizes(loss)[i])] : [])),
  )
}
