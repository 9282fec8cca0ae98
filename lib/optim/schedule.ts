import { refuse } from '../refuse.ts'

/** Learning rate over a run. */
export interface ScheduleOptions {
  /** Highest learning rate. */
  lr: number
  /** Optimizer steps of the whole run. */
  steps: number
  /** Steps that rise linearly from 0. Default 0. */
  warmup?: number
  /** What follows the warm-up. Default 'cosine'. */
  kind?: 'constant' | 'linear' | 'cosine'
  /** Lowest learning rate as a fraction of the highest. Default 0.1. */
  floor?: number
}

/** Learning rate of step 0, 1, 2, ...: `schedule(step)`. */
export const schedule = (options: ScheduleOptions): ((step: number) => number) => {
  const { lr, steps, warmup = 0, kind = 'cosine', floor = 0.1 } = options
  if (!(lr >= 0) || !Number.isFinite(lr))
    refuse('ERR_OPTION', `lr must be a number of at least 0, and is ${lr}.`, { arg: 'lr', value: lr })
  return (step) => {
    if (step < warmup) return (lr * (step + 1)) / warmup
    const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup))
    if (kind === 'constant') return lr
    const share = kind === 'linear' ? 1 - progress : (1 + Math.cos(Math.PI * progress)) / 2
    return lr * (floor + (1 - floor) * share)
  }
}
