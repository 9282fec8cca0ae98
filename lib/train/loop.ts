/**
 * The loop that SFT, reward modelling and DPO share: batches of examples, gradients added up over micro-batches with
 * the denominators of the whole batch, one AdamW step, one record. A run that is stopped at any step and resumed gives
 * the same bits as one that was not.
 */
import { Batches } from '../data/index.ts'
import { PrefgradError } from '../errors.ts'
import type { Parameters } from '../model/parameters.ts'
import { AdamW, type AdamWOptions, type StepReport } from '../optim/adamw.ts'
import { type ScheduleOptions, schedule } from '../optim/schedule.ts'
import { refuse } from '../refuse.ts'
import { type Scope, scoped } from '../scope.ts'
import type { Tensor } from '../tensor.ts'
import type { SnapshotStore } from './store.ts'

/** A model whose gradients a loop adds up: a policy or a reward model. */
export interface Trainable {
  parameters(): Parameters
  readonly gradients: Tensor<'f32'>
  zeroGradients(): void
}

/** Settings that every trainer has. */
export interface LoopOptions extends AdamWOptions {
  /** Highest learning rate. */
  lr: number
  /** Share of all steps that warm up. Default 0.05. */
  warmupRatio?: number
  schedule?: ScheduleOptions['kind']
  /** Examples per optimizer step. */
  batchSize: number
  /** Most tokens in memory at once; larger batches are added up from several passes. Default 16384. */
  maxTokens?: number
  epochs?: number
  /** Ends the run early, after this many optimizer steps. */
  maxSteps?: number
  seed?: number
  signal?: AbortSignal
  store?: SnapshotStore
  /** Optimizer steps between two checkpoints. Default 50. */
  saveEvery?: number
}

/** One optimizer step, with metrics under the names that TRL uses. */
export interface StepRecord {
  step: number
  epoch: number
  learning_rate: number
  grad_norm: number
  /** Tokens read by the model so far. */
  num_tokens: number
  [metric: string]: number
}

/** What distinguishes one trainer from another. */
export interface Task<Example> {
  /**
   * Adds the gradients of one step's examples up, waiting for nothing. What it returns gives the metrics, once the scope has been
   * read.
   */
  step(examples: readonly Example[], scope: Scope): () => Record<string, number>
  /** Tokens that the model reads for an example. */
  tokens(example: Example): number
}

/** Lets timers, Ctrl-C and other work in between two steps. */
export const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** The error of a stopped run; `saved` (its `value`) says where its state went. */
export const aborted = (what: string, step: number, saved: string | undefined, cause: unknown): PrefgradError =>
  new PrefgradError('ERR_ABORTED', `stopped after step ${step}.`, {
    op: what,
    index: step,
    value: saved,
    cause,
    fix:
      saved === undefined
        ? 'Nothing was saved: give a run folder to be able to resume.'
        : `Saved as ${saved}; go on with --resume.`,
  })

/** Optimizer state and parameters as a snapshot holds them. */
export const packState = async (
  model: Trainable,
  optimizer: AdamW,
): Promise<Record<string, Float32Array | Int32Array>> => {
  const { device, flat } = model.parameters()
  const [param, m, v, optimizerStep] = await device.read<'f32' | 'i32'>([
    flat,
    optimizer.m,
    optimizer.v,
    optimizer.step,
  ])
  return { param, m, v, optimizerStep }
}

export const unpackState = (
  model: Trainable,
  optimizer: AdamW,
  arrays: Record<string, Float32Array | Int32Array>,
): void => {
  for (const name of ['param', 'm', 'v', 'optimizerStep']) {
    if (arrays[name] === undefined) refuse('ERR_CHECKPOINT', `the checkpoint has no ${name}.`, { arg: name })
  }
  model.parameters().flat.write(arrays.param as Float32Array)
  optimizer.m.write(arrays.m as Float32Array)
  optimizer.v.write(arrays.v as Float32Array)
  optimizer.step.write(arrays.optimizerStep as Int32Array)
}

/** What the optimizer did, in a scope that is yet to be read. */
export const wantReport = (scope: Scope, report: StepReport): (() => { gradNorm: number; refused: boolean }) => {
  const [gradNorm, refused] = [scope.want(report.gradNorm), scope.want(report.refused)]
  return () => ({ gradNorm: gradNorm()[0], refused: refused()[0] !== 0 })
}

/** Runs a task to its end; yields after every optimizer step, each of which waits for the device once. */
export async function* optimize<Example>(
  name: string,
  model: Trainable,
  examples: readonly Example[],
  task: Task<Example>,
  options: LoopOptions,
): AsyncGenerator<StepRecord, void, void> {
  const { batchSize, epochs = 1, seed = 0, signal, store, saveEvery = 50, warmupRatio = 0.05, lr } = options
  const batches = new Batches(examples, { batchSize, epochs, seed })
  const steps = Math.min(options.maxSteps ?? Number.POSITIVE_INFINITY, batches.batchesPerEpoch * epochs)
  const rate = schedule({ lr, steps, warmup: Math.round(warmupRatio * steps), kind: options.schedule })
  const { beta1, beta2, epsilon, weightDecay, maxNorm } = options
  const optimizer = new AdamW(
    model.parameters(),
    model.gradients,
    defined({ beta1, beta2, epsilon, weightDecay, maxNorm }),
  )

  let step = 0
  let tokens = 0
  let data = batches
  const snapshot = await store?.restore()
  if (snapshot !== undefined) {
    unpackState(model, optimizer, snapshot.arrays)
    step = snapshot.step
    tokens = snapshot.state.tokens as number
    data = new Batches(examples, {
      batchSize,
      epochs,
      seed,
      position: snapshot.state.position as { epoch: number; index: number },
    })
  }
  const save = async () =>
    store?.save({ step, arrays: await packState(model, optimizer), state: { tokens, position: data.position } })
  const update = (batch: readonly Example[], learningRate: number) =>
    scoped(model.gradients.device, async (scope) => {
      model.zeroGradients()
      const metrics = task.step(batch, scope)
      const report = wantReport(scope, optimizer.update(learningRate))
      await scope.read()
      return { ...report(), metrics: metrics() }
    })

  try {
    // A full disk or a folder that cannot be written is found out now, not after hours.
    if (snapshot === undefined) await save()
    while (step < steps) {
      const position = data.position
      if (signal?.aborted === true) throw aborted(name, step, await save(), signal.reason)
      const batch = data.next()
      if (batch === undefined) break
      const learning_rate = rate(step)
      const { gradNorm, refused, metrics } = await update(batch, learning_rate)
      step++
      for (const example of batch) tokens += task.tokens(example)
      const epoch = position.epoch + Math.min(1, (position.index + batch.length) / examples.length)
      const record: StepRecord = { step, epoch, learning_rate, grad_norm: gradNorm, num_tokens: tokens, ...metrics }
      if (refused) record.refused_step = 1
      store?.log(record)
      if (step % saveEvery === 0 || step === steps) await save()
      yield record
      await breathe()
    }
  } finally {
    optimizer.dispose()
  }
}

/** Without the keys that are undefined: ops refuse an option that is there but says nothing. */
export const defined = <T extends object>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
