import { PrefgradError } from '../lib/errors.ts'
import { Random } from '../lib/random.ts'
import type { Address, Split } from './text.ts'

/** What is needed of a tokenizer: `decode(encode(text)) === text` for ASCII text. */
export interface PromptTokenizer {
  encode(text: string): Int32Array
  decode(tokens: Int32Array): string
}

/** The opening of a sentence that a policy is to go on from. */
export interface Prompt {
  /** Exactly as many token ids as were asked for. */
  readonly tokens: Int32Array
  /** The same as text, beginning with the space before the sentence. */
  readonly text: string
  readonly year: number
  readonly president: string
  /** {@link Address.index} of its source, and where in the text it begins: the real continuation can be looked up. */
  readonly address: number
  readonly offset: number
}

export interface PromptRequest {
  readonly split: Split
  readonly count: number
  readonly seed: number
  /** First and last year, both included; all years by default. */
  readonly from?: number
  readonly to?: number
  /** Tokens of a prompt, 16 by default. */
  readonly tokens?: number
}

/** Long enough to hold 16 tokens of any English, short enough that tokenizing thousands takes no time. */
const CHARACTERS_PER_TOKEN = 16
/** Two sentences that agree this far are taken for the same formula ("I recommend to the Congress that …"). */
const FORMULA_CHARACTERS = 32
const ABBREVIATION =
  /(?:^|[\s("'])(?:Mr|Mrs|Ms|Dr|St|Gen|Hon|Messrs|Col|Capt|Lieut|Jr|Sr|Nos?|vs|pp?|[A-Z](?:\.[A-Z])*)$/

/**
 * Draws `count` different prompts from the addresses of one split, the same ones for the same seed. A prompt begins at
 * the start of a sentence and ends at the end of a word. No two begin alike for 32 characters, and none outside `train`
 * begins like a training sentence, so that a held-out prompt is new in its words, not only in its place.
 *
 * @throws PrefgradError `ERR_CONFIG` when the split has fewer such prompts, `ERR_DATA` when the tokenizer does not
 *   give a text back.
 */
export function extractPrompts(
  addresses: readonly Address[],
  tokenizer: PromptTokenizer,
  { split, count, seed, from = -Infinity, to = Infinity, tokens = 16 }: PromptRequest,
): Prompt[] {
  const used = new Set<string>()
  if (split !== 'train') {
    for (const { text, split: source } of addresses) {
      if (source === 'train') for (const offset of sentenceStarts(text)) used.add(formulaAt(text, offset))
    }
  }
  const candidates: { address: Address; offset: number }[] = []
  for (const address of addresses) {
    if (address.split !== split || address.year < from || address.year > to) continue
    for (const offset of sentenceStarts(address.text)) candidates.push({ address, offset })
  }
  new Random(seed).shuffle(candidates)

  const prompts: Prompt[] = []
  for (const { address, offset } of candidates) {
    if (prompts.length === count) break
    const formula = formulaAt(address.text, offset)
    if (used.has(formula)) continue
    const prompt = promptAt(address, offset, tokens, tokenizer)
    if (prompt === undefined) continue
    used.add(formula)
    prompts.push(prompt)
  }
  if (prompts.length < count) {
    const years = `${from === -Infinity ? '' : ` from ${from}`}${to === Infinity ? '' : ` to ${to}`}`
    throw new PrefgradError('ERR_CONFIG', `Only ${prompts.length} of ${count} prompts are in ${split}${years}.`, {
      arg: 'count',
      value: count,
      fix: 'Ask for fewer prompts or for more years.',
    })
  }
  return prompts
}

/**
 * Offsets of the spaces before sentences. The first sentence of a text, mostly a salutation, is left out; a capital
 * after an abbreviation ("Mr. Speaker", "U.S. Army") does not count.
 */
export function sentenceStarts(text: string): number[] {
  const starts: number[] = []
  for (const match of text.matchAll(/[.?!]["')]*(?= ["']?[A-Z])/g)) {
    if (match[0] === '.' && ABBREVIATION.test(text.slice(Math.max(0, match.index - 10), match.index))) continue
    starts.push(match.index + match[0].length)
  }
  return starts
}

const formulaAt = (text: string, offset: number) => text.slice(offset, offset + FORMULA_CHARACTERS).toLowerCase()

function promptAt(address: Address, offset: number, count: number, tokenizer: PromptTokenizer): Prompt | undefined {
  const source = address.text.slice(offset, offset + count * CHARACTERS_PER_TOKEN)
  const tokens = tokenizer.encode(source).slice(0, count)
  const text = tokenizer.decode(tokens)
  if (!source.startsWith(text)) {
    throw new PrefgradError('ERR_DATA', `The tokenizer gave ${JSON.stringify(text)} for ${JSON.stringify(source)}.`, {
      arg: 'tokenizer',
      value: text,
      fix: 'Use a tokenizer whose decode undoes its encode.',
    })
  }
  // Inside a word the first tokens of a continuation would belong to the prompt, and be scored by neither.
  const endsWord = tokens.length === count && /^[^A-Za-z'-]/.test(source.slice(text.length))
  if (!endsWord) return undefined
  return { tokens, text, year: address.year, president: address.president, address: address.index, offset }
}
