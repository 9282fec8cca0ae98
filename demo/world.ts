/** What every stage of the demo works with: the starting policy, its text, prompts, and the two judges. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EncodedExample, EncodedPrompt, EncodedSft } from '../lib/data/index.ts'
import type { Device } from '../lib/device.ts'
import { PrefgradError } from '../lib/errors.ts'
import { Tokenizer, TransformerPolicy } from '../lib/model/index.ts'
import { cleanLexicon, loadLexicon, splitLexicon } from './lexicon.ts'
import { wordPreference } from './preference.ts'
import { extractPrompts, type Prompt, type PromptRequest } from './prompts.ts'
import type { Size } from './settings.ts'
import { type Address, loadAddresses, type Split } from './text.ts'
import { windows } from './windows.ts'

/** One continuation of a prompt. */
export interface Sample {
  tokens: Int32Array
  text: string
  ended: boolean
}

/** Says which of two continuations of a prompt is better. */
export interface Judge {
  /** Looks at texts before they are scored or compared; absent where that takes no time. */
  prepare?(texts: readonly { prompt: string; completion: string }[]): Promise<void>
  /** Higher is better. */
  score(completion: string, prompt?: string): number
  /** Preference for `a` in [0, 1]. */
  compare(a: string, b: string, prompt?: string): number
}

export class World {
  readonly device: Device
  readonly size: Size
  readonly tokenizer: Tokenizer
  readonly start: TransformerPolicy
  readonly addresses: readonly Address[]
  /** Labels the training pairs; with the user's own pairs, the reward model that learned from them. */
  proxy: Judge
  /** Judges the result; training never sees it. Absent with the user's own pairs and where all words label. */
  gold: Judge | undefined
  readonly wordRatings: Readonly<Record<string, number>>
  readonly #folder: string

  constructor(device: Device, folder: string, options: { raw: boolean; size: Size }) {
    if (!existsSync(join(folder, 'model.safetensors'))) {
      throw new PrefgradError('ERR_FILE', `there is no policy in ${folder}.`, {
        arg: folder,
        fix: 'Make it: npm run pretrain.',
      })
    }
    this.device = device
    this.size = options.size
    this.#folder = folder
    this.tokenizer = Tokenizer.load(join(folder, 'tokenizer.json'))
    this.start = TransformerPolicy.load(device, folder)
    this.addresses = loadAddresses()
    const lexicon = loadLexicon()
    const halves = splitLexicon(lexicon, { raw: options.raw })
    const shown = options.raw ? lexicon : cleanLexicon(lexicon)
    const whole = options.size.WORDS === 'all'
    this.proxy = wordPreference(whole ? shown : halves.proxy)
    this.gold = whole ? undefined : wordPreference(halves.gold)
    this.wordRatings = Object.fromEntries(
      [...shown].map(([word, ratings]) => [word, ratings.reduce((a, b) => a + b, 0) / ratings.length]),
    )
  }

  prompts(request: Omit<PromptRequest, 'tokens'>): Prompt[] {
    return extractPrompts(this.addresses, this.tokenizer, { ...request, tokens: this.size.PROMPT_TOKENS })
  }

  /** Real text to imitate or to be surprised by. */
  text(split: Split, from: number, window: number): EncodedSft[] {
    const documents = this.#texts(split, from).map((text) =>
      Int32Array.from([this.tokenizer.endOfText, ...this.tokenizer.encode(text), this.tokenizer.endOfText]),
    )
    return windows(documents, window)
  }

  bytes(split: Split, from: number): number {
    return this.#texts(split, from).reduce((n, text) => n + Buffer.byteLength(text), 0)
  }

  #texts(split: Split, from: number): string[] {
    return this.addresses
      .filter((address) => address.split === split && address.year >= from)
      .map(({ text }) => (split === 'train' ? text : text.slice(0, this.size.CHARACTERS)))
  }

  /** `perPrompt` continuations of each prompt, at temperature 1. */
  async sample(
    policy: TransformerPolicy,
    prompts: readonly Prompt[],
    perPrompt: number,
    seed: number,
    onProgress?: (done: number, total: number) => void,
  ): Promise<Sample[][]> {
    const repeated = prompts.flatMap((prompt) => Array.from({ length: perPrompt }, () => prompt.tokens))
    const { endOfText } = this.tokenizer
    const { COMPLETION_TOKENS: maxTokens } = this.size
    const completions = await policy.generate(repeated, { maxTokens, seed, endOfText, onProgress })
    return prompts.map((_, p) =>
      completions.slice(p * perPrompt, (p + 1) * perPrompt).map(({ tokens, ended }) => ({
        tokens,
        ended,
        text: this.tokenizer.decode(ended ? tokens.subarray(0, -1) : tokens),
      })),
    )
  }

  /** Hashes of the committed files, for the run's card. */
  digests(): Record<string, string> {
    return Object.fromEntries(
      ['model.safetensors', 'tokenizer.json'].map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(this.#folder, name)))
          .digest('hex'),
      ]),
    )
  }
}

export const joined = (prompt: Prompt | EncodedPrompt, sample: Sample): EncodedExample => {
  const tokens = new Int32Array(prompt.tokens.length + sample.tokens.length)
  tokens.set(prompt.tokens)
  tokens.set(sample.tokens, prompt.tokens.length)
  return { tokens, promptLength: prompt.tokens.length }
}

export const encodedPrompt = (prompt: Prompt): EncodedPrompt => ({ tokens: prompt.tokens, prompt: prompt.text })
