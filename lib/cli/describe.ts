/** What a file or folder holds, in words and as facts. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import {
  agreement,
  describeReport,
  type FileReport,
  type ReadOptions,
  type RecordReader,
  readPreferences,
  readPrompts,
  readSft,
  readText,
} from '../data/index.ts'
import { PrefgradError } from '../errors.ts'
import { readConfig } from '../model/files.ts'
import { tokenizerPath } from '../model/policy.ts'
import { readSafetensors } from '../model/safetensors.ts'
import { Tokenizer } from '../model/tokenizer.ts'
import { loadLatestCheckpoint } from '../train/checkpoint.ts'
import { RunFolder } from '../train/store.ts'
import { count, percent, plural } from './format.ts'

export interface Description {
  kind: string
  text: string
  [fact: string]: unknown
}

/** @throws PrefgradError `ERR_FILE` when the path is missing or what is there is damaged. */
export const describePath = async (path: string): Promise<Description> => {
  if (!existsSync(path)) {
    throw new PrefgradError('ERR_FILE', `${path} does not exist.`, { arg: path, fix: 'Check the path.' })
  }
  if (statSync(path).isDirectory()) return describeFolder(path)
  if (path.endsWith('.safetensors')) return describeTensors(path)
  if (path.endsWith('.json')) return describeTokenizer(path)
  return describeData(path)
}

const describeFolder = async (path: string): Promise<Description> => {
  const parts: Description[] = []
  if (existsSync(join(path, 'run.json')) || RunFolder.holdsRun(path)) parts.push(describeRun(path))
  if (existsSync(join(path, 'config.json'))) parts.push(describeModel(path))
  const checkpoints = existsSync(join(path, 'checkpoints')) ? join(path, 'checkpoints') : path
  const newest = await describeCheckpoints(checkpoints)
  if (newest !== undefined) parts.push(newest)
  if (parts.length === 0) {
    throw new PrefgradError('ERR_FILE', `${path} holds no model, run or checkpoint.`, {
      arg: path,
      fix: 'Give a folder that a prefgrad command wrote.',
    })
  }
  if (parts.length === 1) return parts[0]
  const facts = Object.fromEntries(parts.map(({ kind, text: _, ...rest }) => [kind, rest]))
  return { kind: 'folder', ...facts, text: parts.map(({ text }) => `\n  ${text}`).join('') }
}

const describeRun = (path: string): Description => {
  const file = join(path, 'run.json')
  if (!existsSync(file)) return { kind: 'run', text: 'a run without a run.json' }
  let card: Record<string, unknown>
  try {
    card = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new PrefgradError('ERR_FILE', `${file} is no JSON: ${(cause as Error).message}.`, { arg: file, cause })
  }
  const { what, status, steps, command } = card
  return { kind: 'run', card, text: `${what}, ${status}, ${steps} steps: ${command}` }
}

const describeModel = (path: string): Description => {
  const { config, kind } = readConfig(join(path, 'config.json'))
  const weights = describeTensors(join(path, 'model.safetensors'))
  const tokenizer = existsSync(tokenizerPath(path)) ? describeTokenizer(tokenizerPath(path)).text : 'no tokenizer.json'
  const { layers, width, heads, vocabularySize, contextLength } = config
  const shape = `${layers} layers, width ${width}, ${heads} heads, ${vocabularySize} tokens, context ${contextLength}`
  const name = kind === 'reward' ? 'reward model' : 'language model'
  return {
    kind: 'model',
    model: kind,
    config,
    parameters: weights.elements,
    text: `${name}: ${shape}; ${weights.text}; ${tokenizer}`,
  }
}

const describeCheckpoints = async (directory: string): Promise<Description | undefined> => {
  const newest = await loadLatestCheckpoint(directory)
  if (newest === undefined) return undefined
  const { path, step, skipped } = newest
  const damaged = skipped.length === 0 ? '' : `; ${plural(skipped.length, 'newer one')} damaged: ${skipped[0].reason}`
  return { kind: 'checkpoint', newest: path, step, skipped, text: `checkpoint of step ${step}, verified${damaged}` }
}

const describeTensors = (path: string): Description & { elements: number } => {
  const { tensors, metadata } = readSafetensors(path)
  const list = [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }))
  const elements = list.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)
  const dtypes = [...new Set(list.map(({ dtype }) => dtype))].join(', ')
  return {
    kind: 'safetensors',
    tensors: list,
    elements,
    metadata: Object.fromEntries(metadata),
    text: `${plural(list.length, 'tensor')}, ${count(elements)} elements (${dtypes})`,
  }
}

const describeTokenizer = (path: string): Description => {
  const { vocabularySize, endOfText } = Tokenizer.load(path)
  const text = `tokenizer of ${vocabularySize} tokens (end of text: ${endOfText})`
  return { kind: 'tokenizer', vocabularySize, endOfText, text }
}

/** The kinds of data file, those with more to say first: an sft reader takes preference files too. */
const READERS: readonly (readonly [
  kind: string,
  open: (path: string, options: ReadOptions) => RecordReader<unknown>,
])[] = [
  ['preference pairs', (path, options) => readPreferences(path, { ...options, keep: 'all' })],
  ['texts to imitate', readSft],
  ['prompts', readPrompts],
  ['text', readText],
]

const describeData = async (path: string): Promise<Description> => {
  let best: { kind: string; report: FileReport } | undefined
  for (const [kind, open] of READERS) {
    const report = await reportOf(open(path, { onBadLine: 'skip' }))
    if (report === undefined) continue
    if (best === undefined || report.badLineCount < best.report.badLineCount) best = { kind, report }
    if (report.badLineCount === 0) break
  }
  if (best === undefined) {
    throw new PrefgradError('ERR_DATA', `${path} is none of: ${READERS.map(([kind]) => kind).join(', ')}.`, {
      arg: path,
      fix: 'See the README for the formats.',
    })
  }
  const { kind, report } = best
  const agreed = kind === 'preference pairs' ? await describeAgreement(path) : ''
  // The path stands in front of the line already.
  const text = describeReport(report).slice(path.length + 2)
  return { kind: 'data', holds: kind, report, text: `${kind}: ${text}${agreed}` }
}

/** Undefined when the reader finds no record; a file that cannot be read at all is an error. */
const reportOf = async (reader: RecordReader<unknown>): Promise<FileReport | undefined> => {
  try {
    for await (const _ of reader) {
      // Only the report is wanted; a file of any size passes through.
    }
    return reader.report
  } catch (error) {
    if (error instanceof PrefgradError && error.code === 'ERR_DATA') return undefined
    throw error
  }
}

const describeAgreement = async (path: string): Promise<string> => {
  const { examples } = await readPreferences(path, { onBadLine: 'skip', keep: 'all' }).load()
  const { itemsJudgedTwice, percentAgreement, annotators } = agreement(examples)
  if (itemsJudgedTwice === 0) return ''
  return `; ${annotators} annotators, who agree on ${percent(percentAgreement ?? Number.NaN)} of their common pairs`
}
