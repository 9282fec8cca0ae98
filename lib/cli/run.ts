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
export interface Training<StepRecord extends { step: number }> {
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
  loop: (store: SnapshotStore) => AsyncGenerator<StepRecord, void, void>
  /** The figures of a step that a person wants to see. */
  line: (record: StepRecord) => string
  /** Held-out figures and how to say them; absent without held-out data. */
  evaluate?: () => Promise<Record<string, unknown>>
  describe: (figures: Record<string, unknown>) => string
  /** FLOPs that were done, from the last record; the plan's unless given. */
  flops?: (last: Record<string, unknown>) => number
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

/** What a run must have in common with the one that it resumes: every option that changes the result, and all inputs. */
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

/** The command line that goes on with a stopped run. */
const resumeLine = ({ words }: Context): string =>
  shellLine(['prefgrad', ...words, ...(words.includes('--resume') ? [] : ['--resume'])])

/** Trains, or says what would be trained. */
export const train = async <StepRecord extends { step: number }>(
  context: Context<TrainingCommand>,
  training: Training<StepRecord>,
): Promise<void> => {
  const { name, values, reporter, words } = context
  const { device, plan, parameters, files, sources } = training
  reporter.info('example', { text: training.example }, training.example)
  const model = `${plural(parameters.count, 'parameter')} on ${device.name}`
  const work = `${plural(plan.steps, plan.unit)}, about ${count(plan.tokens)} tokens, ${scaled(plan.flops)}FLOP`
  reporter.info('plan', { ...plan, parameters: parameters.count, device: device.name }, `plan: ${work}; ${model}`)
  if (values.dryRun) {
    reporter.note('dry run: everything can be read and fits together; nothing was written')
    return
  }

  const folder = new RunFolder(values.out, { resume: values.resume, identity: identityOf(context, training) })
  const started = startOf(values)
  const card = (status: CardInput['status'], figures?: Record<string, unknown>, written?: Record<string, string>) => {
    const last = lastRecord(values.out)
    return folder.writeCard({
      ...runCard({
        what: training.what,
        command: shellLine(['prefgrad', ...words]),
        status,
        configuration: values,
        seed: values.seed,
        device: device.name,
        data: files,
        sources,
        labeller: values.labeller,
        guidelines: values.guidelines,
        started,
        ...(status === 'running' ? {} : { ended: new Date() }),
        steps: (last?.step as number | undefined) ?? 0,
        parameters: parameters.count,
        flops: last === undefined ? 0 : (training.flops?.(last) ?? plan.flops),
        metrics: { ...(last === undefined ? {} : { last }), ...figures },
        files: written,
      }),
    })
  }
  // A checkpoint of another run is refused here, before anything in the folder is touched.
  let snapshot = await folder.restore()
  for (const { path, reason } of folder.skipped)
    reporter.info('skipped', { path, reason }, `passed over ${path}: ${reason}`)
  if (snapshot !== undefined) {
    context.hint = `Go on with: ${resumeLine(context)}`
    reporter.info('resumed', { step: snapshot.step }, `going on after ${plan.unit} ${snapshot.step}`)
  }
  const store: SnapshotStore = {
    restore: async () => {
      const given = snapshot
      snapshot = undefined
      return given
    },
    save: async (state) => {
      const path = await folder.save(state)
      context.hint = `Go on with: ${resumeLine(context)}`
      return path
    },
    log: (record) => folder.log(record),
  }
  await card('running')
  const before = await training.evaluate?.()
  if (before !== undefined)
    reporter.record('evaluation', { when: 'before', ...before }, `before: ${training.describe(before)}`)
  try {
    for await (const record of training.loop(store)) {
      reporter.step(name, record, record.step, plan.steps, training.line(record))
    }
    await training.save(values.out)
    writeFileAtomic(tokenizerPath(values.out), [training.tokenizerFile])
  } catch (error) {
    await card('stopped').catch(() => {}) // The error that led here matters more.
    throw error
  }
  const after = await training.evaluate?.()
  if (after !== undefined)
    reporter.record('evaluation', { when: 'after', ...after }, `after:  ${training.describe(after)}`)
  const written: Record<string, string> = {}
  for (const file of ['config.json', 'model.safetensors', 'tokenizer.json']) {
    written[file] = await sha256Of(join(values.out, file))
  }
  await card('finished', { before, after }, written)
  const steps = (lastRecord(values.out)?.step as number | undefined) ?? 0
  reporter.record(
    'result',
    { out: values.out, steps, sha256: written['model.safetensors'], before, after },
    `${plural(steps, plan.unit)} done; the model is in ${values.out}`,
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
