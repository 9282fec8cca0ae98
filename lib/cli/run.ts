/** What every training command does around its loop: plan, dry run, folder, bar, card, and how to go on. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Device } from '../device.ts'
import { PrefgradError } from '../errors.ts'
import type { Parameters } from '../model/parameters.ts'
import { tokenizerPath } from '../model/policy.ts'
import { writeFileAtomic } from '../train/atomic.ts'
import { type CardInput, type CardSource, runCard } from '../train/card.ts'
import { RunFolder, type SnapshotStore } from '../train/store.ts'
import type { Context } from './context.ts'
import { count, plural, scaled, shellLine } from './format.ts'
import type { ReadFile } from './inputs.ts'
import { sha256Of } from './models.ts'
import { optionsOf } from './schema.ts'
import { commands } from './table.ts'

export type TrainingCommand = 'pretrain' | 'sft' | 'reward' | 'dpo' | 'ppo'

/** What a training command hands over once everything is read, checked and loaded. */
export interface Training<Step extends { step: number }> {
  /** For the card, such as `supervised fine-tuning`. */
  what: string
  device: Device
  files: readonly ReadFile[]
  sources: readonly CardSource[]
  /** Bytes of the tokenizer.json that goes with the model. */
  tokenizerFile: Uint8Array
  /** The model that is trained. */
  parameters: Parameters
  /** One example, as the loss sees it. */
  example: string
  plan: { steps: number; unit: string; tokens: number; flops: number }
  loop: (store: SnapshotStore) => AsyncGenerator<Step, void, void>
  /** The figures of a step that a person wants to see. */
  line: (record: Step) => string
  /** Held-out figures and how to say them; absent without held-out data. */
  evaluate?: () => Promise<Record<string, unknown>>
  describe: (figures: Record<string, unknown>) => string
  /** Floating-point operations that were done, from the last record. */
  flops: (last: Record<string, unknown>) => number
  save: (directory: string) => Promise<void>
}

/**
 * Looks at `--out` before anything else is done.
 *
 * @throws PrefgradError `ERR_FILE` when it holds a run or a model that must not be lost.
 */
export const checkOut = ({ out, resume }: { out: string; resume: boolean }): void => {
  const refuse = (what: string, fix: string): never => {
    throw new PrefgradError('ERR_FILE', `--out ${out} ${what}.`, { arg: '--out', value: out, fix })
  }
  if (existsSync(out) && !statSync(out).isDirectory()) refuse('is a file', 'Give a folder.')
  if (resume && !RunFolder.holdsRun(out)) refuse('holds no run to go on with', 'Start it without --resume.')
  if (resume) return
  if (RunFolder.holdsRun(out)) refuse('already holds a run', 'Give another folder, or --resume to go on with this one.')
  if (existsSync(join(out, 'model.safetensors'))) refuse('already holds a model', 'Give another folder.')
}

/** What a run and the one that it resumes have in common: every option that changes the result, and all inputs. */
const identityOf = (
  { name, values }: Context<TrainingCommand>,
  { files, sources }: Pick<Training<{ step: number }>, 'files' | 'sources'>,
): string => {
  const given = values as Readonly<Record<string, unknown>>
  // Paths may change, what they hold may not.
  const settings = [...optionsOf(commands[name])]
    .filter(([, { incidental, kind }]) => incidental !== true && kind !== 'path' && kind !== 'paths')
    .map(([option]) => [option, given[option] ?? null] as const)
  const inputs = [
    ...files.map(({ role, report }) => `${role} ${report.sha256}`),
    ...sources.map(({ role, sha256 }) => `${role} ${sha256}`),
  ]
  return JSON.stringify({ command: name, ...Object.fromEntries(settings), inputs })
}

/** Says below any later error how to go on. */
const promiseResume = (context: Context<TrainingCommand>): void => {
  const { words } = context
  const line = shellLine(['prefgrad', ...words, ...(words.includes('--resume') ? [] : ['--resume'])])
  context.hint = `Go on with: ${line}`
}

const announce = <Step extends { step: number }>(
  { reporter }: Context<TrainingCommand>,
  { example, plan, parameters, device }: Training<Step>,
): void => {
  reporter.info('example', { text: example }, example)
  const model = `${plural(parameters.count, 'parameter')} on ${device.name}`
  const work = `${plural(plan.steps, plan.unit)}, about ${count(plan.tokens)} tokens, ${scaled(plan.flops)}FLOP`
  reporter.info('plan', { ...plan, parameters: parameters.count, device: device.name }, `plan: ${work}; ${model}`)
}

/**
 * The run's folder as the loop's store.
 *
 * @throws PrefgradError `ERR_CHECKPOINT` when it holds a run with other settings, before anything in it is touched.
 */
const openStore = async (
  context: Context<TrainingCommand>,
  folder: RunFolder,
  unit: string,
): Promise<SnapshotStore> => {
  const { reporter } = context
  let restored = await folder.restore()
  for (const { path, reason } of folder.skipped) {
    reporter.info('skipped', { path, reason }, `passed over ${path}: ${reason}`)
  }
  if (restored !== undefined) {
    promiseResume(context)
    reporter.info('resumed', { step: restored.step }, `going on after ${unit} ${restored.step}`)
  }
  return {
    restore: async () => {
      // Handed over once: it holds three copies of the model.
      const snapshot = restored
      restored = undefined
      return snapshot
    },
    save: async (snapshot) => {
      const path = await folder.save(snapshot)
      promiseResume(context)
      return path
    },
    log: (record) => folder.log(record),
  }
}

/** Writes run.json as the run stands. */
const writeCard = <Step extends { step: number }>(
  { values, words }: Context<TrainingCommand>,
  training: Training<Step>,
  folder: RunFolder,
  now: Pick<CardInput, 'status' | 'started' | 'metrics' | 'files'>,
): Promise<void> => {
  const last = lastRecord(values.out)
  const card = runCard({
    ...now,
    what: training.what,
    command: shellLine(['prefgrad', ...words]),
    configuration: values,
    seed: values.seed,
    device: training.device.name,
    data: training.files,
    sources: training.sources,
    labeller: values.labeller,
    guidelines: values.guidelines,
    ...(now.status !== 'running' && { ended: new Date() }),
    steps: (last?.step as number | undefined) ?? 0,
    parameters: training.parameters.count,
    flops: last === undefined ? 0 : training.flops(last),
    metrics: { ...(last !== undefined && { last }), ...now.metrics },
  })
  return folder.writeCard({ ...card })
}

/** Trains, or says what would be trained. */
export const train = async <Step extends { step: number }>(
  context: Context<TrainingCommand>,
  training: Training<Step>,
): Promise<void> => {
  const { name, values, reporter } = context
  const { out } = values
  const { plan, describe } = training
  announce(context, training)
  if (values.dryRun) {
    reporter.note('dry run: everything can be read and fits together; nothing was written')
    return
  }
  const folder = new RunFolder(out, { resume: values.resume, identity: identityOf(context, training) })
  const started = startOf(values)
  const store = await openStore(context, folder, plan.unit)
  await writeCard(context, training, folder, { status: 'running', started })
  const metrics: Record<string, Record<string, unknown>> = {}
  const evaluate = async (when: 'before' | 'after'): Promise<void> => {
    const figures = await training.evaluate?.()
    if (figures === undefined) return
    metrics[when] = figures
    reporter.record('evaluation', { when, ...figures }, `${`${when}:`.padEnd(7)} ${describe(figures)}`)
  }
  try {
    await evaluate('before')
    for await (const record of training.loop(store)) {
      reporter.step(name, record, record.step, plan.steps, training.line(record))
    }
    await training.save(out)
    writeFileAtomic(tokenizerPath(out), [training.tokenizerFile])
    await evaluate('after')
  } catch (error) {
    // The error that led here matters more than a card that cannot be written.
    await writeCard(context, training, folder, { status: 'stopped', started, metrics }).catch(() => {})
    throw error
  }
  const files: Record<string, string> = {}
  for (const file of ['config.json', 'model.safetensors', 'tokenizer.json'])
    files[file] = await sha256Of(join(out, file))
  await writeCard(context, training, folder, { status: 'finished', started, metrics, files })
  const steps = (lastRecord(out)?.step as number | undefined) ?? 0
  reporter.record(
    'result',
    { out, steps, sha256: files['model.safetensors'], ...metrics },
    `${plural(steps, plan.unit)} done; the model is in ${out}`,
  )
}

/** The last line of metrics.jsonl: also of a run that was finished before. */
const lastRecord = (directory: string): Record<string, unknown> | undefined => {
  const path = join(directory, 'metrics.jsonl')
  if (!existsSync(path)) return undefined
  const line = readFileSync(path, 'utf8').trimEnd().split('\n').at(-1)
  try {
    return line ? JSON.parse(line) : undefined
  } catch {
    return undefined // A line that a full disk cut off.
  }
}

/** When the run began: of a resumed one, when it first did. */
const startOf = ({ out, resume }: { out: string; resume: boolean }): Date => {
  if (!resume) return new Date()
  try {
    const started = new Date(JSON.parse(readFileSync(join(out, 'run.json'), 'utf8')).started)
    return Number.isNaN(started.getTime()) ? new Date() : started
  } catch {
    return new Date()
  }
}
