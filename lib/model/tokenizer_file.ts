import { readFileSync } from 'node:fs'
import { PrefgradError } from '../errors.ts'
import { fileError } from '../train/atomic.ts'
import { BYTE_SYMBOLS, bytesOfSymbols } from './byte_level.ts'
import type { Vocabulary } from './tokenizer.ts'

/** More would not fit beside a position in one exact number, see `Tokenizer`. */
export const MOST_TOKENS = 2 ** 22

/** The part of Hugging Face's `tokenizer.json` that describes a byte-level BPE tokenizer. */
export interface TokenizerJson {
  version: string
  truncation: null
  padding: null
  added_tokens: AddedToken[]
  normalizer: null
  pre_tokenizer: ByteLevel
  post_processor: null
  decoder: ByteLevel
  model: {
    type: 'BPE'
    dropout: null
    unk_token: null
    continuing_subword_prefix: null
    end_of_word_suffix: null
    fuse_unk: boolean
    byte_fallback: boolean
    ignore_merges: boolean
    vocab: Record<string, number>
    merges: string[]
  }
}

interface AddedToken {
  id: number
  content: string
  single_word: boolean
  lstrip: boolean
  rstrip: boolean
  normalized: boolean
  special: boolean
}

interface ByteLevel {
  type: 'ByteLevel'
  add_prefix_space: boolean
  trim_offsets: boolean
  use_regex: boolean
}

/** The JSON of a vocabulary. */
export function tokenizerJson({ tokens, merges, specialTokens }: Vocabulary): TokenizerJson {
  const byteLevel: ByteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content) => ({
      id: tokens.indexOf(content),
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: { ...byteLevel },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(([left, right]) => `${tokens[left]} ${tokens[right]}`),
    },
  }
}

/** @throws PrefgradError `ERR_FILE` when the file cannot be read or {@link parseTokenizerJson} refuses it. */
export function readTokenizerFile(path: string): Vocabulary {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (error) {
    throw fileError(error, 'read', path)
  }
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw refusal(path, `it is not JSON (${(error as Error).message})`)
  }
  return parseTokenizerJson(json, path)
}

/**
 * Checks that a JSON value describes a byte-level BPE tokenizer that this library would apply exactly as Hugging
 * Face's does, and that its ids are 0 … V − 1, each once.
 * @param name what to call it in error messages.
 * @throws PrefgradError `ERR_FILE`.
 */
export function parseTokenizerJson(json: unknown, name: string): Vocabulary {
  const require = (condition: boolean, reason: string): void => {
    if (!condition) throw refusal(name, reason)
  }
  const file = asObject(json)
  const model = asObject(file.model)
  require(model.type === 'BPE', `model.type is ${show(model.type)}, not "BPE"`)
  const splitter = asObject(file.pre_tokenizer)
  require(splitter.type === 'ByteLevel', `pre_tokenizer.type is ${show(splitter.type)}, not "ByteLevel"`)
  require(splitter.add_prefix_space === false, 'pre_tokenizer.add_prefix_space must be false')
  require(splitter.use_regex !== false, 'pre_tokenizer.use_regex must be true')
  require(asObject(file.decoder).type ===
    'ByteLevel', `decoder.type is ${show(asObject(file.decoder).type)}, not "ByteLevel"`)
  const postType = asObject(file.post_processor).type ?? 'ByteLevel'
  require(postType === 'ByteLevel', `post_processor.type is ${show(postType)}, which would add tokens`)
  for (const key of ['normalizer', 'truncation', 'padding']) require(isUnset(file[key]), `${key} is not supported`)
  for (const key of [
    'dropout',
    'unk_token',
    'continuing_subword_prefix',
    'end_of_word_suffix',
    'byte_fallback',
    'ignore_merges',
  ]) {
    require(isUnset(model[key]), `model.${key} is not supported`)
  }

  const vocabulary = asObject(model.vocab)
  const added = asArray(file.added_tokens)
  const most = Object.keys(vocabulary).length + added.length
  require(most <= MOST_TOKENS, `it has ${most} tokens, more than 2^22`)
  const tokens: string[] = []
  const place = (token: string, id: unknown) => {
    require(Number.isInteger(id) &&
      (id as number) >= 0 &&
      (id as number) < most, `the id of ${show(token)} is ${show(id)}`)
    require(tokens[id as number] ===
      undefined, `the id ${id} belongs to ${show(tokens[id as number])} and ${show(token)}`)
    tokens[id as number] = token
  }
  for (const [token, id] of Object.entries(vocabulary)) place(token, id)
  const specialTokens = added.map((entry) => {
    const { id, content, special, single_word, lstrip, rstrip } = asObject(entry)
    require(typeof content === 'string' && content !== '', 'an added token has no content')
    const plain = special === true && !single_word && !lstrip && !rstrip
    require(plain, `the added token ${show(content)} must have special: true and single_word, lstrip, rstrip: false`)
    const listed = Object.hasOwn(vocabulary, content as string) ? vocabulary[content as string] : undefined
    if (listed === undefined) place(content as string, id)
    else require(listed === id, `${show(content)} has the ids ${show(listed)} and ${show(id)}`)
    return content as string
  })
  require(specialTokens.length > 0, 'added_tokens has no special token to end texts')
  require(new Set(specialTokens).size === specialTokens.length, 'added_tokens names a token twice')
  const gap = Array.from(tokens).indexOf(undefined as unknown as string)
  require(gap < 0, `no token has the id ${gap}, but a later one exists`)

  const special = new Set(specialTokens)
  const ids = new Map(tokens.map((token, id) => [token, id]))
  for (const symbol of BYTE_SYMBOLS) {
    require(ids.has(symbol) && !special.has(symbol), `model.vocab lacks the byte symbol ${show(symbol)}`)
  }
  for (const token of tokens) {
    const spelled = special.has(token) || (token !== '' && bytesOfSymbols(token) !== undefined)
    require(spelled, `the token ${show(token)} is not spelled in byte symbols`)
  }
  const seen = new Set<string>()
  const merges = asArray(model.merges).map((merge, i): [number, number] => {
    const parts: unknown[] = typeof merge === 'string' ? merge.split(' ') : asArray(merge)
    const [left, right] = parts.map((part) =>
      typeof part === 'string' && !special.has(part) ? ids.get(part) : undefined,
    )
    require(parts.length === 2 &&
      left !== undefined &&
      right !== undefined, `merges[${i}] ${show(merge)} is no pair of tokens`)
    const joined = parts.join('')
    require(ids.has(joined), `merges[${i}] makes ${show(joined)}, which model.vocab lacks`)
    require(!special.has(joined), `merges[${i}] makes the special token ${show(joined)} out of ordinary text`)
    require(!seen.has(parts.join(' ')), `merges[${i}] repeats ${show(merge)}`)
    seen.add(parts.join(' '))
    return [left as number, right as number]
  })
  return { tokens, merges, specialTokens }
}

const isUnset = (value: unknown) => value === undefined || value === null || value === false || value === ''
const asArray = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
const asObject = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing'
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

function refusal(name: string, reason: string): PrefgradError {
  return new PrefgradError('ERR_FILE', `${name} is no tokenizer that can be used: ${reason}.`, {
    arg: name,
    fix: 'Give a byte-level BPE tokenizer.json, such as `prefgrad tokenizer` writes.',
  })
}
