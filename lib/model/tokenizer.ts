import { PrefgradError } from '../errors.ts'
import { writeFileAtomic } from '../train/atomic.ts'
import { type TrainTokenizerOptions, trainVocabulary } from './bpe_trainer.ts'
import { BYTE_SYMBOLS, bytesOfSymbols, eachWord } from './byte_level.ts'
import { Heap } from './heap.ts'
import { parseTokenizerJson, readTokenizerFile, type TokenizerJson, tokenizerJson } from './tokenizer_file.ts'

export type { TrainTokenizerOptions } from './bpe_trainer.ts'
export type { TokenizerJson } from './tokenizer_file.ts'

/** What defines a tokenizer. */
export interface Vocabulary {
  /** By id: special tokens as they are, the others in the symbols of the byte-level alphabet. */
  readonly tokens: readonly string[]
  /** Pairs of ids that are joined, the most urgent first; the token that both together spell is in `tokens`. */
  readonly merges: readonly (readonly [left: number, right: number])[]
  readonly specialTokens: readonly string[]
}

const END_OF_TEXT = '<|endoftext|>'
const CACHED_WORDS = 2 ** 16
const LONGEST_CACHED_WORD = 64
/** Above every position in a word, so that `rank · RANK_UNIT + position` sorts by rank first: exact below 2^53. */
const RANK_UNIT = 2 ** 31

/**
 * A byte-level BPE tokenizer. Every text can be encoded, and decoding gives it back: `decode(encode(text)) === text`
 * for every valid string (half a surrogate pair, which is no character, becomes U+FFFD).
 *
 * The text of a special token in `text` is ordinary text: a user who writes `<|endoftext|>` cannot end a prompt.
 */
export class Tokenizer {
  /** The id of `<|endoftext|>`, or of the first special token if there is none of that name. */
  readonly endOfText: number
  readonly vocabularySize: number
  readonly #vocabulary: Vocabulary
  readonly #bytes: readonly Uint8Array[]
  readonly #specialIds: ReadonlyMap<string, number>
  readonly #specialPattern: RegExp
  readonly #idOfByte = new Int32Array(256)
  /** Pair of ids (left · vocabularySize + right) to the place of its merge. */
  readonly #ranks = new Map<number, number>()
  readonly #results: Int32Array
  readonly #cache = new Map<string, readonly number[]>()

  /** Use {@link trainTokenizer} or {@link Tokenizer.load}; a vocabulary given here is taken as correct. */
  constructor(vocabulary: Vocabulary) {
    const { tokens, merges, specialTokens } = vocabulary
    const ids = new Map(tokens.map((token, id) => [token, id]))
    const idOf = (token: string) => ids.get(token) as number
    this.#vocabulary = vocabulary
    this.vocabularySize = tokens.length
    this.#specialIds = new Map(specialTokens.map((token) => [token, idOf(token)]))
    this.#specialPattern = anyOf(specialTokens)
    this.endOfText = idOf(specialTokens.includes(END_OF_TEXT) ? END_OF_TEXT : specialTokens[0])
    const utf8 = new TextEncoder()
    this.#bytes = tokens.map((token) =>
      this.#specialIds.has(token) ? utf8.encode(token) : (bytesOfSymbols(token) as Uint8Array),
    )
    BYTE_SYMBOLS.forEach((symbol, byte) => {
      this.#idOfByte[byte] = idOf(symbol)
    })
    this.#results = Int32Array.from(merges, ([left, right]) => idOf(tokens[left] + tokens[right]))
    merges.forEach(([left, right], rank) => {
      this.#ranks.set(left * this.vocabularySize + right, rank)
    })
  }

  /**
   * The ids of `text`, without any token added at its ends.
   * @param allowSpecial lets the text of special tokens stand for them. Only for text that you wrote yourself.
   */
  encode(text: string, { allowSpecial = false }: { allowSpecial?: boolean } = {}): Int32Array {
    const ids: number[] = []
    if (!allowSpecial) {
      this.#encodePlain(text, ids)
      return Int32Array.from(ids)
    }
    let done = 0
    for (const { 0: special, index } of text.matchAll(this.#specialPattern)) {
      this.#encodePlain(text.slice(done, index), ids)
      ids.push(this.#specialIds.get(special) as number)
      done = index + special.length
    }
    this.#encodePlain(text.slice(done), ids)
    return Int32Array.from(ids)
  }

  /**
   * The text of `ids`. Bytes that are no valid UTF-8, as a cut in the middle of a character leaves them, become U+FFFD.
   * @param keepSpecial writes special tokens as their text; otherwise they leave no trace.
   * @throws PrefgradError `ERR_ID_RANGE` with the index of the first id that is no token.
   */
  decode(ids: ArrayLike<number>, { keepSpecial = false }: { keepSpecial?: boolean } = {}): string {
    const skipped = new Set(keepSpecial ? [] : this.#specialIds.values())
    const parts: Uint8Array[] = []
    for (let i = 0; i < ids.length; i++) {
      const bytes = this.#bytes[ids[i]]
      if (bytes === undefined) {
        throw new PrefgradError('ERR_ID_RANGE', `ids[${i}] is ${ids[i]}, the vocabulary has ${this.vocabularySize}.`, {
          op: 'decode',
          arg: 'ids',
          index: i,
          value: ids[i],
          fix: 'Decode with the tokenizer that the ids were made with.',
        })
      }
      if (!skipped.has(ids[i])) parts.push(bytes)
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(parts))
  }

  /** In the form of Hugging Face's `tokenizer.json`. */
  toJSON(): TokenizerJson {
    return tokenizerJson(this.#vocabulary)
  }

  /**
   * Writes a `tokenizer.json` that Hugging Face's libraries read too, whole or not at all.
   * @throws PrefgradError `ERR_FILE`.
   */
  save(path: string): void {
    writeFileAtomic(path, `${JSON.stringify(this, null, 2)}\n`)
  }

  /**
   * Reads a `tokenizer.json` of {@link Tokenizer.save}, or another byte-level BPE tokenizer as GPT-2's in that format.
   * What would be encoded otherwise than its makers meant is refused, not ignored.
   * @throws PrefgradError `ERR_FILE` that says where and why.
   */
  static load(path: string): Tokenizer {
    return new Tokenizer(readTokenizerFile(path))
  }

  /**
   * The same from a parsed JSON value.
   * @throws PrefgradError `ERR_FILE`.
   */
  static fromJSON(json: unknown): Tokenizer {
    return new Tokenizer(parseTokenizerJson(json, 'The tokenizer'))
  }

  #encodePlain(text: string, ids: number[]): void {
    eachWord(text, (word) => {
      const cached = this.#cache.get(word)
      const found = cached ?? this.#encodeWord(word)
      for (let i = 0; i < found.length; i++) ids.push(found[i])
    })
  }

  #encodeWord(word: string): readonly number[] {
    const bytes = Buffer.from(word)
    const ids = this.#mergeBytes(bytes)
    if (word.length <= LONGEST_CACHED_WORD) {
      if (this.#cache.size === CACHED_WORDS) this.#cache.clear()
      // A word cut out of a text keeps the whole text in memory; going through bytes makes a copy of its own.
      this.#cache.set(bytes.toString(), ids)
    }
    return ids
  }

  /**
   * Joins the pair of the most urgent merge, the leftmost of several, until none is left. With a queue of pairs over a
   * linked list this takes n log n steps, so that a word of a million letters is no attack.
   */
  #mergeBytes(bytes: Uint8Array): number[] {
    const ids = Int32Array.from(bytes, (byte) => this.#idOfByte[byte])
    const end = ids.length
    const next = Int32Array.from(ids, (_, i) => i + 1)
    const previous = Int32Array.from(ids, (_, i) => i - 1)
    const queue = new Heap<number>((a, b) => a < b)
    const rankAt = (at: number) => this.#ranks.get(ids[at] * this.vocabularySize + ids[next[at]])
    const offer = (at: number) => {
      const rank = at >= 0 && next[at] < end ? rankAt(at) : undefined
      if (rank !== undefined) queue.push(rank * RANK_UNIT + at)
    }
    for (let at = 0; at + 1 < end; at++) offer(at)
    for (let top = queue.pop(); top !== undefined; top = queue.pop()) {
      const at = top % RANK_UNIT
      const rank = (top - at) / RANK_UNIT
      // Out of date if one of the two has been joined to something else since.
      if (ids[at] < 0 || next[at] >= end || rankAt(at) !== rank) continue
      const joined = next[at]
      ids[at] = this.#results[rank]
      ids[joined] = -1
      next[at] = next[joined]
      if (next[at] < end) previous[next[at]] = at
      offer(previous[at])
      offer(at)
    }
    return Array.from(ids.filter((id) => id >= 0))
  }
}

/**
 * Trains a byte-level BPE tokenizer, deterministically; see {@link trainVocabulary} for how. About 9 MB of English take
 * a few seconds.
 *
 * @param texts each is cut into words by itself; they are read once and not kept.
 * @returns a tokenizer with fewer tokens than asked for if the texts have no more pairs that occur twice: build the
 * model for its `vocabularySize`.
 * @throws PrefgradError `ERR_OPTION` for a size or special token that cannot be.
 */
export function trainTokenizer(texts: Iterable<string>, options: TrainTokenizerOptions): Tokenizer {
  return new Tokenizer(trainVocabulary(texts, options))
}

/** A pattern for any of the texts, the longest that fits first. */
function anyOf(texts: readonly string[]): RegExp {
  const longestFirst = [...texts].sort((a, b) => b.length - a.length)
  return new RegExp(longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|'), 'gu')
}
