/** Drawing a token: weights, the tokens that topK and topP allow, and the inverse of the running sum. */
import type { Inputs, Options } from '../types.ts'
import { rowsOf } from './common.ts'
import { draw64 } from './philox.ts'

/** One drawn token, and how far every decision on the way was from going the other way, as a share of the total. */
export interface Draw {
  token: number
  margin: number
}

const certain = (token: number): Draw => ({ token, margin: Infinity })

/** Logits below the topK-th largest drop out; all that equal it stay. */
function keepLargest(logits: readonly number[], topK: number): boolean[] {
  const kth = [...logits].sort((a, b) => b - a)[Math.min(topK, logits.length) - 1]
  return logits.map((x) => x >= kth)
}

/**
 * The nucleus: all weights from t up, t the largest threshold whose weights add up to `topP * total`. The margin is how
 * close the sum came on either side, and how close the next weight is to t.
 */
function nucleus(weights: readonly number[], topP: number): { least: number; margin: number } {
  const total = weights.reduce((sum, w) => sum + w, 0)
  const wanted = topP * total
  const descending = [...new Set(weights)].sort((a, b) => b - a)
  let reached = 0
  let before = 0
  for (let at = 0; at < descending.length; at++) {
    const least = descending[at]
    before = reached
    reached += weights.filter((w) => w === least).length * least
    if (reached >= wanted) {
      if (topP === 1) return { least, margin: Infinity }
      const earlier = before === 0 ? Infinity : wanted - before
      const next = descending[at + 1] ?? 0
      return { least, margin: Math.min(reached - wanted, earlier, least - next) / total }
    }
  }
  return { least: 0, margin: Infinity }
}

/** One token from one row, for 64 random bits. */
export function drawRow(logits: readonly number[], options: Options, bits: bigint): Draw {
  if (logits.some(Number.isNaN)) return certain(-1)
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  if (max === -Infinity) return certain(-1)
  const temperature = Number(options.temperature)
  if (max === Infinity || temperature === 0) return certain(logits.indexOf(max))
  const kept = options.topK === undefined ? logits.map(() => true) : keepLargest(logits, Number(options.topK))
  const weights = logits.map((x, j) => (kept[j] ? Math.floor(2 ** 30 * Math.exp((x - max) / temperature)) : 0))
  const { least, margin } =
    options.topP === undefined ? { least: 0, margin: Infinity } : nucleus(weights, Number(options.topP))
  const allowed = weights.map((w) => (w >= least ? w : 0))
  const total = allowed.reduce((sum, w) => sum + w, 0)
  const threshold = Number((bits * BigInt(total)) >> 64n)
  let below = 0
  const token = allowed.findIndex((w) => {
    if (below + w > threshold) return true
    below += w
    return false
  })
  // An interval that begins at 0 or ends at the total cannot be left on that side.
  const lowest = below === 0 ? Infinity : threshold - below
  const highest = below + allowed[token] === total ? Infinity : below + allowed[token] - threshold
  return { token, margin: Math.min(margin, lowest / total, highest / total) }
}

/** Every row's draw: key = seed, counter words = (counter, stream, 0). */
export function draws(inputs: Inputs, options: Options): Draw[] {
  const { logits, streams } = inputs
  const V = logits.shape[logits.shape.length - 1]
  return Array.from({ length: rowsOf(logits) }, (_, n) => {
    const row = Array.from({ length: V }, (_, v) => logits.data[n * V + v])
    return drawRow(
      row,
      options,
      draw64(BigInt(options.seed as number), BigInt(options.counter as number), streams?.data[n] ?? n),
    )
  })
}
