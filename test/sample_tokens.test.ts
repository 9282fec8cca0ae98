import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sampleTokens } from '../lib/index.ts'
import { f32, i32, normals, seeded } from './reference/model/common.ts'

const row = (...logits: number[]) => f32(logits, [1, logits.length])

test('the first draw of seed 0 is the published Philox block read as a fraction', () => {
  // Philox4x32-10 of counter 0 and key 0 begins 6627e8d5 e169c58d: the 64 random bits are e169c58d6627e8d5.
  // 256 equal logits weigh 2^30 each, 2^38 together; floor(bits * 2^38 / 2^64) / 2^30 is the top byte, 0xe1 = 225.
  const { tokens } = sampleTokens({ logits: f32(new Float32Array(256), [1, 256]) })
  assert.deepEqual(tokens.shape, [1])
  assert.deepEqual([...tokens.data], [0xe1])
})

/** How often each token was drawn over 20 000 counters. */
function frequencies(logits: number[], temperature: number): number[] {
  const counts = logits.map(() => 0)
  const call = sampleTokens.prepare({ logits: row(...logits) }, { temperature, seed: 2024 })
  for (let counter = 0; counter < 20000; counter++) {
    call.set({ counter })
    counts[call.run().tokens.data[0]]++
  }
  call.dispose()
  return counts
}

/** Every count within 4 standard deviations of a binomial. */
function assertBinomial(counts: number[], probabilities: number[]): void {
  counts.forEach((count, token) => {
    const p = probabilities[token]
    const allowed = 4 * Math.sqrt(20000 * p * (1 - p))
    assert.ok(Math.abs(count - 20000 * p) <= allowed, `token ${token}: ${count}, expected ${20000 * p} +- ${allowed}`)
  })
}

test('20 000 counters give the softmax, within 4 standard deviations', () => {
  // exp(ln 1), ..., exp(ln 4): shares 1/10, 2/10, 3/10, 4/10.
  assertBinomial(frequencies([1, 2, 3, 4].map(Math.log), 1), [0.1, 0.2, 0.3, 0.4])
})

test('temperature one half squares the shares', () => {
  // 1, 4, 9, 16 of 30.
  assertBinomial(frequencies([1, 2, 3, 4].map(Math.log), 0.5), [1 / 30, 4 / 30, 9 / 30, 16 / 30])
})

test('rows of one call are independent draws, and give the softmax too', () => {
  const N = 20000
  const logits = f32(
    Array.from({ length: N * 2 }, (_, at) => Math.log(1 + 2 * (at % 2))),
    [N, 2],
  )
  const { tokens } = sampleTokens({ logits }, { seed: 5 })
  const ones = tokens.data.reduce((sum, token) => sum + token, 0)
  assertBinomial([N - ones, ones], [0.25, 0.75])
})

test('the same seed, counter and stream give the same token in any batch', () => {
  const [N, V] = [30, 101]
  const logits = normals(seeded(1), [N, V])
  const options = { seed: 0x0123456789abcdefn, counter: 77 }
  const whole = sampleTokens({ logits }, options).tokens.data
  assert.deepEqual(sampleTokens({ logits }, options).tokens.data, whole)
  for (const n of [0, 13, 29]) {
    const alone = f32(logits.data.subarray(n * V, (n + 1) * V), [1, V])
    assert.equal(sampleTokens({ logits: alone, streams: new Int32Array([n]) }, options).tokens.data[0], whole[n])
  }
})

test('another seed, counter or stream gives other tokens, in their upper halves too', () => {
  const logits = f32(new Float32Array(8 * 1000), [8, 1000])
  const draw = (options: { seed?: bigint; counter?: bigint }, streams = i32([0, 1, 2, 3, 4, 5, 6, 7])) =>
    sampleTokens({ logits, streams }, options).tokens.data.join()
  const all = [
    draw({}),
    draw({ seed: 1n }),
    draw({ seed: 1n << 32n }),
    draw({ counter: 1n }),
    draw({ counter: 1n << 32n }),
    draw({}, i32([8, 9, 10, 11, 12, 13, 14, 15])),
  ]
  assert.equal(new Set(all).size, all.length)
})

test('temperature 0 takes the largest, the first of equals', () => {
  const logits = f32([1, 5, 2, 7, 7, 7, -3, -2, -2], [3, 3])
  assert.deepEqual([...sampleTokens({ logits }, { temperature: 0 }).tokens.data], [1, 0, 1])
})

test('a row with NaN, or of nothing but -inf, gives -1; the first +inf is certain', () => {
  const inf = Number.POSITIVE_INFINITY
  const logits = f32([1, Number.NaN, inf, -inf, -inf, -inf, 9, inf, inf, -inf, 0, -inf], [4, 3])
  for (const temperature of [0, 1]) {
    assert.deepEqual([...sampleTokens({ logits }, { temperature }).tokens.data], [-1, -1, 1, 1])
  }
})

/** The tokens that 64 counters can reach. */
const reached = (logits: number[], options: { topK?: number; topP?: number }): number[] => {
  const seen = new Set<number>()
  for (let counter = 0; counter < 64; counter++) {
    seen.add(sampleTokens({ logits: row(...logits) }, { ...options, counter, seed: 3 }).tokens.data[0])
  }
  return [...seen].sort((a, b) => a - b)
}

test('topK keeps the largest, and all that equal the last of them', () => {
  assert.deepEqual(reached([3, 1, 2, 2.5], { topK: 1 }), [0])
  assert.deepEqual(reached([3, 1, 2, 2.5], { topK: 2 }), [0, 3])
  assert.deepEqual(reached([2, 1, 2, 2], { topK: 2 }), [0, 2, 3])
  assert.deepEqual(reached([1, 1.5], { topK: 9 }), [0, 1])
})

test('topP keeps the smallest set of the largest that reaches it, ties together', () => {
  const shares = [0.2, 0.5, 0.3].map(Math.log)
  assert.deepEqual(reached(shares, { topP: 0.45 }), [1])
  assert.deepEqual(reached(shares, { topP: 0.6 }), [1, 2])
  assert.deepEqual(reached(shares, { topP: 0.85 }), [0, 1, 2])
  assert.deepEqual(reached([0, 0, 0], { topP: 0.1 }), [0, 1, 2])
})

test('topP counts shares of what topK has left', () => {
  // Of 0.4, 0.3, 0.2, 0.1 topK 2 leaves 4/7 and 3/7: 0.5 needs the first alone, 0.6 both.
  const shares = [0.4, 0.3, 0.2, 0.1].map(Math.log)
  assert.deepEqual(reached(shares, { topK: 2, topP: 0.5 }), [0])
  assert.deepEqual(reached(shares, { topK: 2, topP: 0.6 }), [0, 1])
})

test('[B, T] logits give [B, T] tokens, and a negative temperature is refused', () => {
  const logits = normals(seeded(9), [2, 3, 5])
  assert.deepEqual(sampleTokens({ logits }).tokens.shape, [2, 3])
  assert.throws(() => sampleTokens({ logits }, { temperature: -1 }), { code: 'ERR_OPTION', arg: 'temperature' })
})
