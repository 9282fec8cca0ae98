/** Data files of a command: read whole, reported, hashed, and split. */
import {
  assertDisjoint,
  describeReport,
  type FileReport,
  type Prompted,
  type ReadOptions,
  type RecordReader,
  splitByPrompt,
} from '../data/index.ts'
import { PrefgradError } from '../errors.ts'
import type { Context } from './context.ts'
import { plural } from './format.ts'

/** A file that was read, and what for. */
export interface ReadFile {
  role: string
  report: FileReport
}

type Open<T> = (path: string, options: ReadOptions) => RecordReader<T>

/** What reading takes from a command. */
type Reading = Pick<Context, 'reporter' | 'signal'> & { values: { badLines: 'error' | 'skip' } }

/**
 * All records of some files, in order.
 *
 * @throws PrefgradError what {@link RecordReader.load} throws, for the first file that cannot be used.
 */
export const readFiles = async <T>(
  { reporter, signal, values }: Reading,
  role: string,
  paths: readonly string[],
  open: Open<T>,
): Promise<{ records: T[]; files: ReadFile[] }> => {
  const records: T[] = []
  const files: ReadFile[] = []
  for (const path of paths) {
    const { examples, report } = await open(path, { onBadLine: values.badLines, signal }).load()
    for (const example of examples) records.push(example)
    files.push({ role, report })
    reporter.info('data', { role, ...report }, describeReport(report))
  }
  return { records, files }
}

/** Training and held-out records that share no prompt. */
export interface Split<T> {
  train: T[]
  heldOut: T[]
  files: ReadFile[]
}

/**
 * Reads `--data` and, for the held-out part, `--eval-data` or a share of the prompts.
 *
 * @throws PrefgradError `ERR_DATA` when a prompt is in both.
 */
export const readSplit = async <T extends Prompted>(
  context: Reading & { values: { data: readonly string[]; evalData: readonly string[]; heldOut: number } },
  open: Open<T>,
): Promise<Split<T>> => {
  const { data, evalData, heldOut } = context.values
  const training = await readFiles(context, 'training', data, open)
  if (evalData.length > 0) {
    const held = await readFiles(context, 'held-out', evalData, open)
    assertDisjoint(training.records, held.records)
    return { train: training.records, heldOut: held.records, files: [...training.files, ...held.files] }
  }
  const split = splitByPrompt(training.records, { heldOut })
  const counts = { train: split.train.length, heldOut: split.heldOut.length }
  const shown = `${plural(counts.train, 'example')} to train on, ${plural(counts.heldOut, 'example')} held out by prompt`
  context.reporter.info('split', counts, shown)
  return { ...split, files: training.files }
}

/** @throws PrefgradError `ERR_DATA` when the length policy or the split left nothing over. */
export const assertSome = (examples: readonly unknown[], maxLength: number): void => {
  if (examples.length > 0) return
  throw new PrefgradError(
    'ERR_DATA',
    `nothing is left to train on: see the counts above (at most ${maxLength} tokens).`,
    {
      arg: '--data',
      fix: 'Raise --max-length, set --truncate prompt-left, lower --held-out, or give more data.',
    },
  )
}
