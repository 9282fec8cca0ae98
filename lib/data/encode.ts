import { PrefgradError } from '../errors.ts'
import { checkChoice, checkInteger, plural } from './options.ts'
import { isUsable } from './records.ts'
import type { PreferencePair, PromptExample, SftExample, Tokenizer } from './types.ts'

/** One sequence: a prompt, then the response that the loss falls on. */
export interface EncodedExample {
  /** Prompt and response, [T]. */
  tokens: Int32Array
  /** How many of `tokens` are the prompt, at least 1; the token at this index is the first of the response. */
  promptLength: number
}

export interface EncodedSft extends EncodedExample {
  weight: number
  line?: number
}

/** Both sequences begin with the same prompt tokens. */
export interface EncodedPair {
  chosen: EncodedExample
  rejected: EncodedExample
  preference: number
  margin: number
  weight: number
  line?: number
}

export interface EncodedPrompt {
  tokens: Int32Array
  /** The whole text, also where the tokens were cut. */
  prompt: string
  line?: number
}

/**
 * What happens to an example longer than `maxLength` tokens: `'drop'`: it is left out; `'prompt-left'`: tokens are
 * cut from the beginning of its prompt, at least one prompt token staying (where that is not enough it is left out: a
 * response is never cut, for nobody judged a part of it); `'error'`: encoding fails and says how many there are.
 */
export type Truncation = 'drop' | 'prompt-left' | 'error'

export interface EncodeOptions {
  /** Longest sequence in tokens: prompt, response and the end-of-text token. */
  maxLength: number
  /** Default `'drop'`. */
  truncate?: Truncation
  /** Whether the end-of-text token is added to a response, so that the model learns to stop. Default true. */
  appendEndOfText?: boolean
}

/** What the length policy did. `kept + dropped + empty + unusable` is the number of examples given. */
export interface LengthCounts {
  maxLength: number
  kept: number
  /** Kept with a shortened prompt. */
  truncated: number
  /** Left out because they are too long. */
  dropped: number
  /** Left out because a response has no token. */
  empty: number
  /** Pairs left out because of their verdict (`both-bad`, `skip`). */
  unusable: number
  /** Tokens of what was kept; a pair counts its prompt twice, as it is computed twice. */
  promptTokens: number
  responseTokens: number
}

/**
 * Encodes texts to imitate. Prompt and response are encoded apart, so that the boundary between them is exact and the
 * prompt's tokens are those that the model will see when it has to answer. An empty prompt becomes one end-of-text
 * token.
 *
 * @throws PrefgradError `ERR_OPTION`; `ERR_DATA` for a too long example under `truncate: 'error'`.
 */
export function encodeSft(
  examples: Iterable<SftExample>,
  tokenizer: Tokenizer,
  options: EncodeOptions,
): { examples: EncodedSft[]; counts: LengthCounts } {
  const encoder = new Encoder(tokenizer, options)
  const encoded: EncodedSft[] = []
  for (const { prompt, completion, weight = 1, line } of examples) {
    const sequences = encoder.encode(prompt, [completion], line)
    if (sequences !== undefined) encoded.push({ ...sequences[0], weight, ...(line !== undefined && { line }) })
  }
  return { examples: encoded, counts: encoder.finish() }
}

/**
 * Encodes preference pairs as {@link encodeSft} encodes texts. A pair is kept or left out as a whole, and a prompt is
 * cut alike for both responses. Missing `preference`, `margin` and `weight` become 1, 0 and 1.
 *
 * @throws PrefgradError `ERR_OPTION`; `ERR_DATA` for a too long pair under `truncate: 'error'`.
 */
export function encodePairs(
  pairs: Iterable<PreferencePair>,
  tokenizer: Tokenizer,
  options: EncodeOptions,
): { pairs: EncodedPair[]; counts: LengthCounts } {
  const encoder = new Encoder(tokenizer, options)
  const encoded: EncodedPair[] = []
  for (const pair of pairs) {
    if (!isUsable(pair)) {
      encoder.counts.unusable++
      continue
    }
    const { preference = 1, margin = 0, weight = 1, line } = pair
    const sequences = encoder.encode(pair.prompt, [pair.chosen, pair.rejected], line)
    if (sequences === undefined) continue
    const [chosen, rejected] = sequences
    encoded.push({ chosen, rejected, preference, margin, weight, ...(line !== undefined && { line }) })
  }
  return { pairs: encoded, counts: encoder.finish() }
}

/**
 * Encodes prompts for generation; `maxLength` is the longest prompt in tokens, `appendEndOfText` has no meaning.
 *
 * @throws PrefgradError `ERR_OPTION`; `ERR_DATA` for a too long prompt under `truncate: 'error'`.
 */
export function encodePrompts(
  prompts: Iterable<PromptExample>,
  tokenizer: Tokenizer,
  options: Omit<EncodeOptions, 'appendEndOfText'>,
): { prompts: EncodedPrompt[]; counts: LengthCounts } {
  const encoder = new Encoder(tokenizer, { ...options, appendEndOfText: false })
  const encoded: EncodedPrompt[] = []
  for (const { prompt, line } of prompts) {
    const sequences = encoder.encode(prompt, [], line)
    if (sequences !== undefined)
      encoded.push({ tokens: sequences[0].tokens, prompt, ...(line !== undefined && { line }) })
  }
  return { prompts: encoded, counts: encoder.finish() }
}

/** The counts in words, to be printed before training. */
export function describeCounts(counts: LengthCounts): string {
  const { maxLength, kept, truncated, dropped, empty, unusable } = counts
  const given = kept + dropped + empty + unusable
  const parts = [truncated > 0 ? `${kept} kept (${truncated} of them with a shortened prompt)` : `${kept} kept`]
  if (dropped > 0) parts.push(`${dropped} dropped (longer than ${maxLength} tokens)`)
  if (empty > 0) parts.push(`${empty} dropped (empty response)`)
  if (unusable > 0) parts.push(`${unusable} without a preference`)
  const tokens = `${counts.promptTokens} prompt and ${counts.responseTokens} response tokens`
  return `${plural(given, 'example')}: ${parts.join(', ')}; ${tokens}`
}

/** One pass of encoding with one length policy. */
class Encoder {
  readonly counts: LengthCounts
  readonly #tokenizer: Tokenizer
  readonly #truncate: Truncation
  readonly #appendEndOfText: boolean
  /** The first example that was too long under `'error'`. */
  #tooLong: { line?: number; length: number } | undefined

  constructor(tokenizer: Tokenizer, { maxLength, truncate = 'drop', appendEndOfText = true }: EncodeOptions) {
    checkInteger('maxLength', maxLength, 1)
    this.#truncate = checkChoice('truncate', truncate, ['drop', 'prompt-left', 'error'])
    this.#appendEndOfText = appendEndOfText
    this.#tokenizer = tokenizer
    const zeros = { kept: 0, truncated: 0, dropped: 0, empty: 0, unusable: 0, promptTokens: 0, responseTokens: 0 }
    this.counts = { maxLength, ...zeros }
  }

  /** One sequence per response (for no response, one of the prompt alone), or undefined when they are left out. */
  encode(prompt: string, responses: readonly string[], line: number | undefined): EncodedExample[] | undefined {
    const { counts } = this
    const start = this.#promptTokens(prompt)
    const ends = responses.length === 0 ? [new Int32Array(0)] : responses.map((text) => this.#responseTokens(text))
    if (responses.length > 0 && ends.some(({ length }) => length === 0)) {
      counts.empty++
      return undefined
    }
    const longest = Math.max(...ends.map(({ length }) => length))
    const excess = Math.max(0, start.length + longest - counts.maxLength)
    if (excess > 0 && (this.#truncate !== 'prompt-left' || excess >= start.length)) {
      counts.dropped++
      this.#tooLong ??= { line, length: start.length + longest }
      return undefined
    }
    counts.kept++
    if (excess > 0) counts.truncated++
    const kept = start.subarray(excess)
    return ends.map((end) => {
      counts.promptTokens += kept.length
      counts.responseTokens += end.length
      const tokens = new Int32Array(kept.length + end.length)
      tokens.set(kept)
      tokens.set(end, kept.length)
      return { tokens, promptLength: kept.length }
    })
  }

  finish(): LengthCounts {
    const { dropped, maxLength } = this.counts
    if (this.#truncate === 'error' && this.#tooLong !== undefined) {
      const { line, length } = this.#tooLong
      const where = line === undefined ? '' : `, on line ${line},`
      const message = `${plural(dropped, 'example')} longer than ${maxLength} tokens; the first${where} has ${length}.`
      throw new PrefgradError('ERR_DATA', message, {
        arg: 'maxLength',
        index: line,
        value: length,
        fix: "Raise maxLength, or set truncate to 'drop' or 'prompt-left'.",
      })
    }
    return this.counts
  }

  #promptTokens(prompt: string): Int32Array {
    const tokens = Int32Array.from(this.#tokenizer.encode(prompt))
    // Something must stand in front of the response, or nothing would predict its first token.
    return tokens.length === 0 ? Int32Array.of(this.#tokenizer.endOfText) : tokens
  }

  #responseTokens(response: string): Int32Array {
    const tokens = this.#tokenizer.encode(response)
    if (!this.#appendEndOfText) return Int32Array.from(tokens)
    const ended = new Int32Array(tokens.length + 1)
    ended.set(tokens)
    ended[tokens.length] = this.#tokenizer.endOfText
    return ended
  }
}
