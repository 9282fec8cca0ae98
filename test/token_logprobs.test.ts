import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tokenLogprobs } from '../lib/index.ts'
import { allNear, f32, i32, near, normals, refusal, rows, sameBits, sum } from './worked.ts'

const LN3 = Math.log(3)

test('logits 0 and ln 3 are odds of 1 to 3', () => {
  // e^0 : e^ln3 = 1 : 3, so p = 1/4 and 3/4; rowMax = ln 3 and logSum = log(1 + 1/3).
  const logits = rows([0, LN3], [0, LN3])
  const result = tokenLogprobs({ logits, tokens: i32(1, 0) }, { entropy: true })
  allNear(result.logprob.data, [Math.log(3 / 4), Math.log(1 / 4)], 2)
  sameBits(result.rowMax.data, f32(LN3, LN3))
  near(result.logSum.data[0], Math.log(4 / 3), 2)
  // H = 1/4 log 4 + 3/4 log(4/3)
  near(result.entropy!.data[0], Math.log(4) / 4 + (3 * Math.log(4 / 3)) / 4, 4)
})

test('a logit of 999 against zeros costs exactly 999', () => {
  const { logprob } = tokenLogprobs({ logits: rows([999, 0, 0]), tokens: i32(1) })
  assert.equal(logprob.data[0], -999)
})

test('scale comes first, then softcap, then temperature', () => {
  // 0.5 * 10 = 5; 5 tanh(5 / 5) = 5 * 0.761594156 = 3.80797078; / 2 = 1.90398539. The other logit stays 0.
  const options = { logitScale: 0.5, softcap: 5, temperature: 2 }
  const { logprob, rowMax } = tokenLogprobs({ logits: rows([10, 0]), tokens: i32(0) }, options)
  near(rowMax.data[0], (5 * Math.tanh(1)) / 2, 8)
  near(logprob.data[0], -Math.log1p(Math.exp((-5 * Math.tanh(1)) / 2)), 24)
})

test('p -> 1 keeps its digits among 131072 tokens', () => {
  // The others are 131071 zeros below a logit of 40: log p = -log1p(131071 e^-40) = -5.57e-13,
  // which 1 + rest cannot hold.
  const logits = { data: new Float32Array(131072), shape: [1, 131072] }
  logits.data[4711] = 40
  const { logprob } = tokenLogprobs({ logits, tokens: i32(4711) })
  near(logprob.data[0], -Math.log1p(131071 * Math.exp(-40)), 2)
})

test('an ignored row is exactly 0, whatever it holds', () => {
  const logits = rows([Number.NaN, Number.NaN], [1, 2])
  const result = tokenLogprobs({ logits, tokens: i32(-100, 0) }, { entropy: true })
  for (const output of [result.logprob, result.rowMax, result.logSum, result.entropy!]) assert.equal(output.data[0], 0)
  const { logprob } = tokenLogprobs({ logits, tokens: i32(7, 0) }, { ignoreIndex: 7 })
  assert.equal(logprob.data[0], 0)
})

test('-inf is never chosen and costs no NaN, +inf is certain', () => {
  const [INF, NINF] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  const logits = rows([NINF, 0, 0], [NINF, 0, 0], [0, INF, 1], [0, INF, 1])
  const result = tokenLogprobs({ logits, tokens: i32(1, 0, 1, 2) }, { entropy: true })
  // Two equal tokens are left: p = 1/2, H = log 2, as 0 log 0 = 0.
  near(result.logprob.data[0], -Math.LN2, 2)
  assert.equal(result.logprob.data[1], NINF)
  near(result.entropy!.data[0], Math.LN2, 4)
  assert.equal(result.logprob.data[2] + 0, 0)
  assert.equal(result.logprob.data[3], NINF)
  assert.equal(result.entropy!.data[2], 0)
})

test('the entropy of equal logits is log V', () => {
  for (const V of [1, 2, 16, 1000, 50257]) {
    const logits = { data: new Float32Array(V).fill(-3.5), shape: [1, V] }
    const { entropy, logprob } = tokenLogprobs({ logits, tokens: i32(V - 1) }, { entropy: true })
    near(entropy!.data[0], Math.log(V), 4)
    near(logprob.data[0], -Math.log(V), 2)
  }
})

test('adding a constant to a row changes nothing but rowMax', () => {
  // Whole numbers: the subtractions are exact. A row of ordinary numbers is added up without them, by other roundings; among rows
  // of large ones the bits are the same.
  const base = Array.from({ length: 37 }, (_, j) => (j * 7) % 23)
  const tokens = i32(5)
  const low = tokenLogprobs({ logits: rows(base), tokens }, { entropy: true })
  const high = tokenLogprobs({ logits: rows(base.map((x) => x + 64)), tokens }, { entropy: true })
  near(high.logprob.data[0], low.logprob.data[0], 2)
  near(high.logSum.data[0], low.logSum.data[0], 2)
  near(high.entropy!.data[0], low.entropy!.data[0], 2)
  assert.equal(high.rowMax.data[0], low.rowMax.data[0] + 64)
  const higher = tokenLogprobs({ logits: rows(base.map((x) => x + 128)), tokens }, { entropy: true })
  sameBits(higher.logprob.data, high.logprob.data)
  sameBits(higher.logSum.data, high.logSum.data)
  sameBits(higher.entropy!.data, high.entropy!.data)
})

test('the probabilities of all tokens add up to 1', () => {
  const V = 257
  const row = Array.from(normals(1, V, 3))
  const logits = rows(...Array.from({ length: V }, () => row))
  const { logprob } = tokenLogprobs({ logits, tokens: Int32Array.from({ length: V }, (_, j) => j) })
  // Every term is good to 2 ULP of a log-probability of at most about 16, that is to 2e-6 of itself.
  assert.ok(Math.abs(sum(Array.from(logprob.data, Math.exp)) - 1) < 2e-6)
})

test('[B, T, V] is [B * T, V]', () => {
  const data = normals(2, 2 * 3 * 11)
  const tokens = i32(0, 10, 3, -100, 5, 5)
  const flat = tokenLogprobs({ logits: { data, shape: [6, 11] }, tokens })
  const cube = tokenLogprobs({ logits: { data, shape: [2, 3, 11] }, tokens: { data: tokens, shape: [2, 3] } })
  assert.deepEqual(cube.logprob.shape, [2, 3])
  sameBits(cube.logprob.data, flat.logprob.data)
})

test('bf16 logits give what the same numbers give in f32', () => {
  // 0x3f80 = 1, 0x4000 = 2, 0xc040 = -3.
  const bf16 = { data: Uint16Array.of(0x3f80, 0x4000, 0xc040), shape: [1, 3], dtype: 'bf16' as const }
  const short = tokenLogprobs({ logits: bf16, tokens: i32(0) })
  const long = tokenLogprobs({ logits: rows([1, 2, -3]), tokens: i32(0) })
  sameBits(short.logprob.data, long.logprob.data)
})

test('a token outside the vocabulary is refused with its position', () => {
  const logits = rows([0, 1], [0, 1])
  assert.throws(() => tokenLogprobs({ logits, tokens: i32(1, 2) }), refusal('ERR_ID_RANGE', 'tokens'))
  assert.throws(() => tokenLogprobs({ logits, tokens: i32(-1, 0) }), refusal('ERR_ID_RANGE', 'tokens'))
})
