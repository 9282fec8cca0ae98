/** From options of the command line to those of the loops over a fixed set of examples. */
import type { LoopOptions, StepRecord } from '../train/loop.ts'
import type { SnapshotStore } from '../train/store.ts'
import type { Context } from './context.ts'
import { digits } from './format.ts'

type Loop = 'pretrain' | 'sft' | 'reward' | 'dpo'

export const loopOptions = ({ values, signal }: Context<Loop>, store: SnapshotStore): LoopOptions => {
  const { lr, warmupRatio, schedule, weightDecay, maxNorm, maxTokens, batchSize, epochs, maxSteps, seed, saveEvery } =
    values
  return {
    lr,
    warmupRatio,
    schedule,
    weightDecay,
    maxNorm,
    maxTokens,
    batchSize,
    epochs,
    maxSteps,
    seed,
    saveEvery,
    signal,
    store,
  }
}

/** Steps of a run over `examples` examples, and the share of the epochs that they are. */
export const stepsOf = ({ values }: Context<Loop>, examples: number): { steps: number; share: number } => {
  const all = Math.ceil(examples / values.batchSize) * values.epochs
  const steps = Math.min(values.maxSteps ?? all, all)
  return { steps, share: all === 0 ? 0 : steps / all }
}

/** `loss 2.31  lr 0.0003`, and a warning when the step was refused. */
export const figures = (record: StepRecord, names: Readonly<Record<string, string>>): string => {
  const shown = Object.entries({ ...names, lr: 'learning_rate' }).map(
    ([label, key]) => `${label} ${digits(record[key])}`,
  )
  return [...shown, ...(record.refused_step === 1 ? ['refused: the gradient was not finite'] : [])].join('  ')
}
