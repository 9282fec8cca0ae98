import { PrefgradError } from '../errors.ts'
import type { EncodedExample, EncodedPair, EncodedSft } from './encode.ts'

/**
 * Sequences laid end to end, as the ops take them: B sequences, N tokens in all. Position i of a sequence predicts the
 * token at i + 1, and the loss falls where that token belongs to a response.
 */
export interface PackedSequences {
  /** [N], what the model reads. */
  tokens: Int32Array
  /** [B + 1]: sequence b is tokens `offsets[b]` to `offsets[b + 1]`, the last one excluded. */
  offsets: Int32Array
  /** [N], 1 where the predicted token belongs to the response. */
  valid: Uint8Array
  /** [N], the token that the position predicts; {@link IGNORED_TARGET} where `valid` is 0. */
  targets: Int32Array
  /** How many positions are valid: the denominator of a token mean, exact under gradient accumulation. */
  validCount: number
}

export interface PackedSft extends PackedSequences {
  /** [B] */
  weight: Float32Array
}

/** Sequence b of the first half is the chosen one of pair b, sequence `pairs + b` is its rejected one. */
export interface PackedPairs extends PackedSequences {
  pairs: number
  /** [pairs] each. */
  preference: Float32Array
  margin: Float32Array
  weight: Float32Array
}

/** The target of a position that predicts nothing: `ignoreIndex` of `tokenLogprobs`. */
export const IGNORED_TARGET = -100

const MAX_TOKENS = 2 ** 31 - 1

/**
 * Packs sequences into one batch.
 *
 * @throws PrefgradError `ERR_SIZE` when they have more tokens than an i32 offset can count.
 */
export function packSequences(examples: readonly EncodedExample[]): PackedSequences {
  const total = examples.reduce((sum, { tokens }) => sum + tokens.length, 0)
  if (total > MAX_TOKENS) {
    throw new PrefgradError('ERR_SIZE', `A batch of ${total} tokens cannot be packed (at most ${MAX_TOKENS}).`, {
      op: 'packSequences',
      value: total,
      fix: 'Use a smaller batch.',
    })
  }
  const tokens = new Int32Array(total)
  const offsets = new Int32Array(examples.length + 1)
  const valid = new Uint8Array(total)
  const targets = new Int32Array(total).fill(IGNORED_TARGET)
  let start = 0
  let validCount = 0
  examples.forEach((example, b) => {
    const { length } = example.tokens
    tokens.set(example.tokens, start)
    for (let next = Math.max(1, example.promptLength); next < length; next++) {
      valid[start + next - 1] = 1
      targets[start + next - 1] = example.tokens[next]
      validCount++
    }
    start += length
    offsets[b + 1] = start
  })
  return { tokens, offsets, valid, targets, validCount }
}

/** Packs texts to imitate, with their weights. Errors as {@link packSequences}. */
export function packSft(examples: readonly EncodedSft[]): PackedSft {
  return { ...packSequences(examples), weight: Float32Array.from(examples, ({ weight }) => weight) }
}

/**
 * Packs pairs: first every chosen sequence, then every rejected one, in the same order. Errors as {@link
 * packSequences}.
 */
export function packPairs(pairs: readonly EncodedPair[]): PackedPairs {
  return {
    ...packSequences([...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)]),
    pairs: pairs.length,
    preference: Float32Array.from(pairs, ({ preference }) => preference),
    margin: Float32Array.from(pairs, ({ margin }) => margin),
    weight: Float32Array.from(pairs, ({ weight }) => weight),
  }
}
