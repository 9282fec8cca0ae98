import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Tensor, tokenLogprobs, tokenLogprobsBackward } from '../lib/index.ts'
import { ulp } from './reference/numbers.ts'
import { deviceOf, isas } from './run_op.ts'
import { allNear, f32, i32, near, normals, refusal, rows, sameBits, sum } from './worked.ts'

type Logits = { data: Float32Array<ArrayBuffer>; shape: number[] }
type Options = { temperature?: number; logitScale?: number; softcap?: number }

/** Forward and backward in one go. */
function gradient(
  logits: Logits | Tensor<'f32'>,
  tokens: Int32Array<ArrayBuffer>,
  g: Float32Array<ArrayBuffer>,
  options: Options = {},
) {
  const { logprob, rowMax, logSum } = tokenLogprobs({ logits, tokens }, options)
  return tokenLogprobsBackward({ logits, tokens, logprob, rowMax, logSum, gradLogprob: g }, options).gradLogits
}

function entropyGradient(logits: Logits, tokens: Int32Array<ArrayBuffer>, gH: Float32Array<ArrayBuffer>) {
  const { entropy, ...forward } = tokenLogprobs({ logits, tokens }, { entropy: true })
  const gradLogprob = new Float32Array(tokens.length)
  return tokenLogprobsBackward({ logits, tokens, ...forward, gradLogprob, entropy, gradEntropy: gH }).gradLogits
}

const LN3 = Math.log(3)

test('the token gets g (1 - p), the others lose g p', () => {
  // p = 1/4 and 3/4 (odds of 1 to 3). Token 1 with g = 2: 2 (1 - 3/4) = 1/2 and -2 / 4 = -1/2.
  const grad = gradient(rows([0, LN3]), i32(1), f32(2))
  allNear(grad.data, [-0.5, 0.5], 4)
})

test('the entropy falls where p is above its share', () => {
  // H = log 4 - 3/4 log 3; -p (log p + H) = -1/4 (-log 4 + H) and -3/4 (log 3/4 + H).
  const H = Math.log(4) - 0.75 * LN3
  const grad = entropyGradient(rows([0, LN3]), i32(0), f32(1))
  allNear(grad.data, [-0.25 * (H - Math.log(4)), -0.75 * (H + Math.log(0.75))], 8)
})

test('temperature and scale divide and multiply the gradient', () => {
  // 0.5 * 2 ln 3 / 2 = ln 3 / 2: odds of 1 to sqrt 3; the slope is 0.5 / 2 = 1/4.
  const p = Math.sqrt(3) / (1 + Math.sqrt(3))
  const grad = gradient(rows([0, 2 * LN3]), i32(1), f32(1), { logitScale: 0.5, temperature: 2 })
  allNear(grad.data, [-(1 - p) / 4, (1 - p) / 4], 6)
})

test('a softcap of c flattens the gradient by 1 - tanh^2', () => {
  // x = 2 tanh(1): slope 1 - tanh(1)^2 = 0.419974. The other logit is 0, where the slope is 1.
  const x = 2 * Math.tanh(1)
  const p = 1 / (1 + Math.exp(-x))
  const grad = gradient(rows([2, 0]), i32(0), f32(1), { softcap: 2 })
  allNear(grad.data, [(1 - p) * (1 - Math.tanh(1) ** 2), -(1 - p)], 16)
})

test('p -> 1 leaves the exact little pull on every ISA', async () => {
  // 1 - p = 131071 e^-40 to first order: -expm1(log p) has it, 1 - p in f32 is 0.
  const logits = { data: new Float32Array(131072), shape: [1, 131072] }
  logits.data[9] = 40
  const rest = 131071 * Math.exp(-40)
  for (const isa of isas) {
    const placed = (await deviceOf(isa)).tensor(logits.data, logits.shape)
    const grad = gradient(placed, i32(9), f32(1))
    near(grad.data[9], rest / (1 + rest), 4, isa)
    near(grad.data[10], -Math.exp(-40) / (1 + rest), 4, isa)
  }
})

/** A row's entries add up to 0: what one logit gains the others lose. */
function assertBalanced(grad: Tensor, rowsOf: number, V: number) {
  const data = Float64Array.from(grad.data as Float32Array)
  for (let i = 0; i < rowsOf; i++) {
    const row = data.subarray(i * V, (i + 1) * V)
    const size = sum(row.map(Math.abs))
    assert.ok(Math.abs(sum(row)) <= 4 * ulp(size), `row ${i} of V = ${V} adds up to ${sum(row)}, sizes to ${size}`)
  }
}

test('rows of gradLogits add up to 0 within 4 ULP of their sizes', () => {
  for (const V of [1, 2, 5, 16, 33, 1000, 8003, 50257]) {
    const logits = { data: normals(V, 3 * V, 3), shape: [3, V] }
    const tokens = i32(0, V - 1, V >> 1)
    assertBalanced(gradient(logits, tokens, f32(1, -0.3, 7)), 3, V)
    assertBalanced(entropyGradient(logits, tokens, f32(1, -0.3, 7)), 3, V)
  }
})

test('the gradient is linear in g, exactly for powers of two', () => {
  const logits = { data: normals(3, 5 * 19), shape: [5, 19] }
  const tokens = i32(0, 3, 18, 7, 7)
  const once = gradient(logits, tokens, f32(1, -0.5, 0.3, 2, 1))
  const twice = gradient(logits, tokens, f32(2, -1, 0.6, 4, 2))
  sameBits(
    twice.data,
    Array.from(once.data, (x) => 2 * x),
  )
})

test('nothing flows into an ignored row or one with gradient 0, whatever it holds', () => {
  const logits = rows([1, Number.NaN], [Number.NaN, 1], [0, LN3])
  const per = (x: number) => f32(x, x, x)
  const inputs = { logits, tokens: i32(-100, 0, 1), logprob: per(-1), rowMax: per(LN3), logSum: per(Math.log(4 / 3)) }
  const { gradLogits } = tokenLogprobsBackward({ ...inputs, gradLogprob: f32(1, 0, 1) })
  sameBits(gradLogits.data.subarray(0, 4), [0, 0, 0, 0])
  near(Number(gradLogits.data[2 * 2]), -0.25, 4)
})

test('the gradient may be written over the logits, or added to what is there', () => {
  const make = () => ({ data: normals(4, 3 * 21), shape: [3, 21] })
  const tokens = i32(1, 20, -100)
  const { logprob, rowMax, logSum } = tokenLogprobs({ logits: make(), tokens })
  const inputs = { tokens, logprob, rowMax, logSum, gradLogprob: f32(1, 2, 3) }
  const apart = tokenLogprobsBackward({ ...inputs, logits: make() }).gradLogits
  const logits = make()
  tokenLogprobsBackward({ ...inputs, logits }, {}, { out: { gradLogits: logits } })
  sameBits(logits.data, apart.data)
  const held = { data: new Float32Array(63).fill(1), shape: [3, 21] }
  tokenLogprobsBackward({ ...inputs, logits: make() }, { accumulate: true }, { out: { gradLogits: held } })
  sameBits(
    held.data,
    Array.from(apart.data, (x) => Math.fround(1 + x)),
  )
})

test('gradEntropy without entropy is refused', () => {
  const inputs = { logits: rows([0, 1]), tokens: i32(0), logprob: f32(-1), rowMax: f32(1), logSum: f32(0.3) }
  const call = () => tokenLogprobsBackward({ ...inputs, gradLogprob: f32(0), gradEntropy: f32(1) })
  assert.throws(call, refusal('ERR_ARGUMENT', 'entropy'))
})
