import { createHash } from 'node:crypto'
import { PrefgradError } from '../errors.ts'
import { clip } from './fields.ts'
import { badOption } from './options.ts'

/** Anything with a prompt: pairs, texts to imitate, prompts. */
export interface Prompted {
  prompt: string
  completion?: string
  chosen?: string
  rejected?: string
  line?: number
}

export interface SplitOptions {
  /** Share of the prompts to hold out, from 0 up to, but not including, 1. */
  heldOut: number
  /** Another text gives another split. Default: none. */
  salt?: string
}

const SHOWN = 80

/**
 * Splits examples into training and held-out ones by a hash of their prompt, so that all examples of one prompt fall on
 * the same side, on every machine, in any order, and in every file that shares the prompt. Raising `heldOut` only moves
 * examples from training to held-out. The share is exact only on average.
 *
 * @throws PrefgradError `ERR_OPTION` when `heldOut` is outside [0, 1).
 */
export function splitByPrompt<T extends Prompted>(
  examples: Iterable<T>,
  { heldOut, salt = '' }: SplitOptions,
): { train: T[]; heldOut: T[] } {
  if (!(heldOut >= 0 && heldOut < 1)) throw badOption('heldOut', heldOut, 'Give a share from 0 to below 1.')
  const parts = { train: [] as T[], heldOut: [] as T[] }
  for (const example of examples) {
    const side = hashFraction(salt + promptKey(example)) < heldOut ? 'heldOut' : 'train'
    parts[side].push(example)
  }
  return parts
}

/** The first 48 bits of the SHA-256 of the text's UTF-8 bytes, as a fraction in [0, 1). */
export function hashFraction(text: string): number {
  return createHash('sha256').update(text, 'utf8').digest().readUIntBE(0, 6) / 2 ** 48
}

/**
 * Refuses an evaluation on prompts that were trained on. Prompts are compared as text, to the last blank.
 *
 * @throws PrefgradError `ERR_DATA` that names the first prompt found on both sides and how many there are.
 */
export function assertDisjoint(train: Iterable<Prompted>, heldOut: Iterable<Prompted>): void {
  const trained = new Map<string, Prompted>()
  for (const example of train) trained.set(promptKey(example), example)
  const shared = new Map<string, Prompted>()
  for (const example of heldOut) {
    const key = promptKey(example)
    if (trained.has(key) && !shared.has(key)) shared.set(key, example)
  }
  if (shared.size === 0) return
  const [key, first] = shared.entries().next().value!
  const count = shared.size === 1 ? 'One prompt is' : `${shared.size} prompts are`
  const message = `${count} in the training and in the held-out data; the first is ${JSON.stringify(clip(key, SHOWN))}`
  throw new PrefgradError('ERR_DATA', `${message}${lines(trained.get(key)!, first)}.`, {
    arg: 'heldOut',
    index: first.line,
    value: key,
    fix: 'Remove the shared prompts from one side, or let splitByPrompt make the split.',
  })
}

/** The prompt; of an example without one, its text, or everything without a prompt would count as the same prompt. */
function promptKey({ prompt, completion = '', chosen = '', rejected = '' }: Prompted): string {
  return prompt || completion || [chosen, rejected].sort().join('\n')
}

function lines(train: Prompted, heldOut: Prompted): string {
  if (train.line === undefined || heldOut.line === undefined) return ''
  return ` (training line ${train.line}, held-out line ${heldOut.line})`
}
