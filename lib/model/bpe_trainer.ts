import { PrefgradError } from '../errors.ts'
import { BYTE_SYMBOLS, BYTES_BY_SYMBOL, eachWord } from './byte_level.ts'
import { Heap } from './heap.ts'
import type { Vocabulary } from './tokenizer.ts'
import { MOST_TOKENS } from './tokenizer_file.ts'

export interface TrainTokenizerOptions {
  /** Special tokens, the 256 bytes and the merges together. At least the first two must fit. */
  readonly vocabularySize: number
  /** They get the first ids. The first one, or `<|endoftext|>` if it is among them, ends texts. */
  readonly specialTokens?: readonly string[]
}

/** A pair that is seen once is an accident, not a habit of the language. */
const LEAST_COUNT = 2

/**
 * The vocabulary of a byte-level BPE tokenizer (Sennrich et al. 2016, over bytes as in GPT-2): starting from the 256 bytes, the
 * pair of neighbours that is most frequent within words becomes a token, again and again. Of equally frequent pairs the
 * one with the smaller ids comes first, so that the same texts give the same tokenizer everywhere.
 *
 * @param texts each is cut into words by itself; they are read once and not kept.
 * @returns fewer tokens than asked for if the texts have no more pairs that occur twice.
 * @throws PrefgradError `ERR_OPTION` for a size or special token that cannot be.
 */
export function trainVocabulary(
  texts: Iterable<string>,
  { vocabularySize, specialTokens = ['<|endoftext|>'] }: TrainTokenizerOptions,
): Vocabulary {
  checkOptions(vocabularySize, specialTokens)
  const tokens = [...specialTokens, ...BYTES_BY_SYMBOL.map((byte) => BYTE_SYMBOLS[byte])]
  const ids = new Map(tokens.map((token, id) => [token, id]))
  const reserved = new Set(specialTokens)
  const pairs = new PairCounts(countWords(texts, specialTokens.length), vocabularySize)
  const merges: [number, number][] = []
  const merged = new Set<number>()
  while (tokens.length < vocabularySize) {
    const pair = pairs.takeMostFrequent()
    if (pair === undefined) break
    const [left, right] = pair
    const text = tokens[left] + tokens[right]
    // A special token's text in the training data must not make ordinary text encode to it.
    if (reserved.has(text)) continue
    // Two pairs can spell the same token, and a pair can come back when a later merge spells one of its halves.
    const id = ids.get(text) ?? tokens.push(text) - 1
    ids.set(text, id)
    const key = left * vocabularySize + right
    if (!merged.has(key)) merges.push([left, right])
    merged.add(key)
    pairs.merge(left, right, id)
  }
  return { tokens, merges, specialTokens }
}

interface Word {
  symbols: number[]
  readonly count: number
}

/** The different words of all texts as ids of their bytes: some ten thousand, however long the texts are. */
function countWords(texts: Iterable<string>, firstByteId: number): Word[] {
  const counts = new Map<string, number>()
  for (const text of texts) {
    eachWord(text, (word) => {
      const count = counts.get(word)
      if (count !== undefined) {
        counts.set(word, count + 1)
        return
      }
      // A word cut out of a text keeps the whole text in memory; going through bytes makes a copy of its own.
      const copy = Buffer.from(word).toString()
      counts.set(copy, (counts.get(copy) ?? 0) + 1)
    })
  }
  const idOfByte = new Int32Array(256)
  BYTES_BY_SYMBOL.forEach((byte, i) => {
    idOfByte[byte] = firstByteId + i
  })
  return Array.from(counts, ([word, count]) => ({
    symbols: Array.from(Buffer.from(word), (byte) => idOfByte[byte]),
    count,
  }))
}

interface Candidate {
  readonly key: number
  readonly count: number
}

/** How often each pair of neighbours occurs, kept up to date while pairs are merged. */
class PairCounts {
  readonly #words: readonly Word[]
  readonly #stride: number
  readonly #counts = new Map<number, number>()
  /** For each pair the words that may hold it; some no longer do. */
  readonly #places = new Map<number, number[]>()
  /** By count, then by ids. An entry is out of date when its count differs from the one in `#counts`. */
  readonly #queue = new Heap<Candidate>((a, b) => a.count > b.count || (a.count === b.count && a.key < b.key))

  constructor(words: readonly Word[], vocabularySize: number) {
    this.#words = words
    this.#stride = vocabularySize
    words.forEach(({ symbols, count }, w) => {
      for (let i = 0; i + 1 < symbols.length; i++) this.#add(this.#key(symbols[i], symbols[i + 1]), count, w)
    })
    for (const [key, count] of this.#counts) this.#queue.push({ key, count })
  }

  /** Removes and returns the most frequent pair, unless none occurs often enough. */
  takeMostFrequent(): [left: number, right: number] | undefined {
    for (let top = this.#queue.pop(); top !== undefined; top = this.#queue.pop()) {
      const { key } = top
      const count = this.#counts.get(key) ?? 0
      if (count < LEAST_COUNT) continue
      if (count === top.count) return [Math.floor(key / this.#stride), key % this.#stride]
      this.#queue.push({ key, count })
    }
    return undefined
  }

  /** Replaces the pair by `id` in every word that holds it. */
  merge(left: number, right: number, id: number): void {
    const key = this.#key(left, right)
    const places = this.#places.get(key) ?? []
    this.#places.delete(key)
    const grown = new Set<number>()
    for (const w of places) this.#mergeIn(w, left, right, id, grown)
    this.#counts.delete(key)
    for (const pair of grown) this.#queue.push({ key: pair, count: this.#counts.get(pair) ?? 0 })
  }

  #mergeIn(w: number, left: number, right: number, id: number, grown: Set<number>): void {
    const { symbols, count } = this.#words[w]
    let length = 0
    for (let i = 0; i < symbols.length; i++) {
      if (symbols[i] !== left || symbols[i + 1] !== right) {
        symbols[length++] = symbols[i]
        continue
      }
      if (length > 0) this.#exchange(symbols[length - 1], left, symbols[length - 1], id, count, w, grown)
      if (i + 2 < symbols.length) this.#exchange(right, symbols[i + 2], id, symbols[i + 2], count, w, grown)
      symbols[length++] = id
      i += 1
    }
    symbols.length = length
  }

  /** In word `w` one pair gave way to another. */
  #exchange(a: number, b: number, c: number, d: number, count: number, w: number, grown: Set<number>): void {
    this.#add(this.#key(a, b), -count)
    const key = this.#key(c, d)
    this.#add(key, count, w)
    grown.add(key)
  }

  #add(key: number, count: number, w?: number): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count)
    if (w === undefined) return
    const places = this.#places.get(key)
    if (places === undefined) this.#places.set(key, [w])
    else if (places.at(-1) !== w) places.push(w)
  }

  #key(left: number, right: number): number {
    return left * this.#stride + right
  }
}

function checkOptions(vocabularySize: number, specialTokens: readonly string[]): void {
  const refuse = (arg: string, value: unknown, reason: string, fix: string) => {
    throw new PrefgradError('ERR_OPTION', reason, { op: 'trainTokenizer', arg, value, fix })
  }
  const distinct = new Set(specialTokens)
  if (distinct.size === 0 || distinct.size < specialTokens.length) {
    refuse('specialTokens', specialTokens, 'specialTokens is empty or repeats itself.', 'Give at least one, each once.')
  }
  for (const token of specialTokens) {
    if (token !== '' && !/\p{Surrogate}/u.test(token) && !BYTE_SYMBOLS.includes(token)) continue
    refuse('specialTokens', token, `${JSON.stringify(token)} cannot be a special token.`, 'Use one like <|endoftext|>.')
  }
  const least = 256 + specialTokens.length
  if (!Number.isSafeInteger(vocabularySize) || vocabularySize < least || vocabularySize > MOST_TOKENS) {
    refuse(
      'vocabularySize',
      vocabularySize,
      `vocabularySize is ${vocabularySize}.`,
      `Give an integer from ${least} to 2^22.`,
    )
  }
}
