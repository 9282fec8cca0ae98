import type { EncodedSft } from '../lib/data/index.ts'

/**
 * Cuts documents into windows of `length` tokens to imitate, every token but the first of a window. `shift` moves the cuts, so
 * that several epochs see several cuts; the last, shorter window of a document is kept when it has at least two tokens.
 */
export const windows = (documents: readonly Int32Array[], length: number, shift = 0): EncodedSft[] => {
  const out: EncodedSft[] = []
  for (const tokens of documents) {
    for (let start = shift === 0 ? 0 : shift - length; start < tokens.length - 1; start += length) {
      const window = tokens.subarray(Math.max(0, start), Math.min(tokens.length, start + length))
      if (window.length >= 2) out.push({ tokens: window, promptLength: 1, weight: 1 })
    }
  }
  return out
}
