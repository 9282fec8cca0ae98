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

/** Causal attention: a query at position p sees the keys at positions 0 to p of its sequence. */
export function* queries(inputs: Inputs, options: Options): Generator<Query> {
  const { query, key } = inputs
  const { heads, keyValueHeads, size, base, scale } = headsOf(query, options)
  for (const span of spans(inputs)) {
    for (let t = 0; t < span.length; t++) {
      for (let head = 0; head < heads; head++) {
        const token = span.start + t
        const position = span.keyCount - span.length + t
        const start = (token * heads + head) * size
        const plain = part(query, start, size)
        const rotated = rotate(plain, position, base)
        const keyHead = Math.floor(head / (heads / keyValueHeads))
        const keys = Array.from({ length: position + 1 }, (_, j): Key => {
          const keyStart = ((span.firstKey + j) * keyValueHeads + keyHead) * size
          const plainKey = part(key, keyStart, size)
          const rotatedKey = options.keysRotated ? plainKey : rotate(plainKey, j, base)
          const keyError = options.keysRotated ? new Float64Array(size) : pairSizes(plainKey)
          const queryError = pairSizes(plain)
          let score = 0
          let bound = 0
          for (let i = 0; i < size; i++) {
            score += scale * rotated[i] * rotatedKey[i]
            const [q, k] = [Math.abs(rotated[i]), Math.abs(rotatedKey[i])]
            bound += scale * ((size + 2) * q * k + 4 * queryError[i] * k + 4 * q * keyError[i])
          }
          return { start: keyStart, rotated: rotatedKey, score, scoreBound: UNIT * bound }
        })
        yield { token, head, position, start, rotated, keys }
      }
    }
  }
}
