/** The walk that rotaryAttention, its gradient and their error bounds share: every query of every head, with its keys. */
import type { Inputs, Options, Values } from '../types.ts'
import { sequencesOf, UNIT } from './common.ts'
import { pairSizes, rotate } from './rotation.ts'

export interface Query {
  /** Row of `query`, and of `y`. */
  token: number
  head: number
  position: number
  /** First element of this query (and of its output). */
  start: number
  rotated: Float64Array
  /** The keys it may see, in order: key j sits at position j. */
  keys: Key[]
}

export interface Key {
  /** First element of this key and of its value. */
  start: number
  rotated: Float64Array
  /** `query . key / sqrt(size)`, both rotated. */
  score: number
  /** What f32 may be off in `score`: rotations (4 roundings) and the chain of the dot product. */
  scoreBound: number
}

export interface Heads {
  heads: number
  keyValueHeads: number
  /** Elements of one head. */
  size: number
  base: number
  /** Factor of the scores: Vaswani et al. 2017 (arXiv:1706.03762) eq. 1. */
  scale: number
}

export function headsOf(query: Values, options: Options): Heads {
  const heads = Number(options.heads)
  const size = query.shape[query.shape.length - 1] / heads
  return {
    heads,
    keyValueHeads: Number(options.keyValueHeads),
    size,
    base: Number(options.base),
    scale: 1 / Math.sqrt(size),
  }
}

const part = (values: Values, start: number, size: number): Float64Array =>
  Float64Array.from({ length: size }, (_, i) => values.data[start + i])

/** Rows of `query`, where its keys begin, and how many keys there are, per sequence. */
function spans({ query, key, offsets, keyLengths }: Inputs) {
  return sequencesOf(query, offsets).map(({ start, length }, b) => ({
    start,
    length,
    firstKey: keyLengths ? b * key.shape[1] : start,
    keyCount: keyLengths ? keyLengths.data[b] : length,
  }))
}

/** A key of a sequence before any query looks at it. */
interface StoredKey {
  start: number
  rotated: Float64Array
  /** Sizes that the roundings of its rotation fall on; 0 where it came rotated. */
  turning: Float64Array
}

/** The keys of one key head of a sequence; key j sits at position j. */
function storedKeys({ key }: Inputs, options: Options, firstKey: number, count: number, keyHead: number): StoredKey[] {
  const size = key.shape[key.shape.length - 1] / Number(options.keyValueHeads)
  return Array.from({ length: count }, (_, j) => {
    const start = ((firstKey + j) * Number(options.keyValueHeads) + keyHead) * size
    const plain = part(key, start, size)
    return options.keysRotated
      ? { start, rotated: plain, turning: new Float64Array(size) }
      : { start, rotated: rotate(plain, j, Number(options.base)), turning: pairSizes(plain) }
  })
}

/** Causal attention: a query at position p sees the keys at positions 0 to p of its sequence. */
export function* queries(inputs: Inputs, options: Options): Generator<Query> {
  const { query } = inputs
  const { heads, keyValueHeads, size, base, scale } = headsOf(query, options)
  for (const { start: first, length, firstKey, keyCount } of spans(inputs)) {
    const stored = Array.from({ length: keyValueHeads }, (_, keyHead) =>
      storedKeys(inputs, options, firstKey, keyCount, keyHead),
    )
    for (let t = 0; t < length; t++) {
      for (let head = 0; head < heads; head++) {
        const token = first + t
        const position = keyCount - length + t
        const start = (token * heads + head) * size
        const plain = part(query, start, size)
        const rotated = rotate(plain, position, base)
        const turning = pairSizes(plain)
        const shared = stored[Math.floor(head / (heads / keyValueHeads))]
        const keys = shared.slice(0, position + 1).map((key): Key => {
          let score = 0
          let bound = 0
          for (let i = 0; i < size; i++) {
            score += scale * rotated[i] * key.rotated[i]
            const [q, k] = [Math.abs(rotated[i]), Math.abs(key.rotated[i])]
            bound += scale * ((size + 2) * q * k + 4 * turning[i] * k + 4 * q * key.turning[i])
          }
          return { start: key.start, rotated: key.rotated, score, scoreBound: UNIT * bound }
        })
        yield { token, head, position, start, rotated, keys }
      }
    }
  }
}
