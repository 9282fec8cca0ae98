/** What log-probabilities, rewards and draws on CUDA promise beyond their references: equal bits, for any number of rows. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  openDevice,
  sampleTokens,
  sequenceLogprobs,
  sequenceLogprobsBackward,
  tokenLogprobs,
  tokenLogprobsBackward,
  tokenRewards,
} from '../lib/index.ts'
import { toBf16 } from '../lib/model/bf16.ts'
import { cudaDevice, cudaDevices } from './cuda_world.ts'
import { i32, normals, sameBits } from './worked.ts'

const kinds = await cudaDevices()
const cpu = await openDevice('cpu')

for (const kind of kinds) {
  // Nine pieces and a rest, rows that begin at every multiple of an element: where rows are few, several blocks share one.
  const V = 36_871
  for (const dtype of ['f32', 'bf16'] as const) {
    for (const entropy of [false, true]) {
      test(`a row of ${dtype} logits has the bits of the row alone${entropy ? ', its entropy too' : ''}, on ${kind}`, async () => {
        const device = await cudaDevice(kind)
        const row = normals(31, V, 4)
        const N = kind === 'cuda' ? 1100 : 17
        const many = new Float32Array(N * V)
        for (let i = 0; i < N; i++) many.set(row, i * V)
        const run = async (data: Float32Array<ArrayBuffer>, n: number) => {
          const logits = dtype === 'f32' ? device.tensor(data, [n, V]) : device.tensor(toBf16(data), [n, V], 'bf16')
          const tokens = device.tensor(new Int32Array(n).fill(12_345))
          const out = tokenLogprobs({ logits, tokens }, { entropy })
          const gradLogprob = device.tensor(new Float32Array(n).fill(0.7))
          const forward = { logprob: out.logprob, rowMax: out.rowMax, logSum: out.logSum }
          const { gradLogits } = tokenLogprobsBackward({ logits, tokens, ...forward, gradLogprob })
          const read = await Promise.all(
            [...Object.values(forward), ...(entropy ? [out.entropy!] : [])].map((x) => x.read()),
          )
          const gradient = await gradLogits.view((n - 1) * V, [V]).read()
          return { read: read.map((x) => x as Float32Array), gradient: gradient as Float32Array }
        }
        const alone = await run(row, 1)
        const all = await run(many, N)
        for (const [k, values] of all.read.entries()) sameBits(values, new Float32Array(N).fill(alone.read[k][0]))
        assert.deepEqual(all.gradient, alone.gradient)
        if (dtype === 'bf16') return
        const expected = tokenLogprobs({ logits: cpu.tensor(row, [1, V]), tokens: cpu.tensor(i32(12_345)) })
        const off = Math.abs(alone.read[0][0] / (await expected.logprob.read())[0] - 1)
        assert.ok(off < 2 ** -22, `${off}`)
      })
    }
  }

  test(`the tokens that are drawn are those of the cpu, on ${kind}`, async () => {
    const device = await cudaDevice(kind)
    const [N, wide] = [6, 1500]
    const logits = normals(77, N * wide, 3)
    for (const options of [
      {},
      { temperature: 0.3 },
      { topK: 7 },
      { topP: 0.8 },
      { topK: 300, topP: 0.9, temperature: 1.4 },
    ]) {
      const [there, here] = await Promise.all(
        [device, cpu].map((where) =>
          sampleTokens(
            { logits: where.tensor(logits, [N, wide]) },
            { ...options, seed: 5n, counter: 9n },
          ).tokens.read(),
        ),
      )
      sameBits(there as Int32Array, here as Int32Array)
    }
  })

  test(`more sequences than blocks have the numbers of the cpu, padded and packed, on ${kind}`, async () => {
    const device = await cudaDevice(kind)
    const [B, T] = [1030, 3]
    const [logprob, refLogprob, score] = [normals(1, B * T), normals(2, B * T), normals(3, B)]
    const valid = Uint8Array.from({ length: B * T }, (_, i) => (i % 5 === 0 ? 0 : 1))
    const results = await Promise.all(
      [device, cpu].map(async (where) => {
        const on = { logprob: where.tensor(logprob, [B, T]), refLogprob: where.tensor(refLogprob, [B, T]) }
        const counted = where.tensor(valid, [B, T])
        const offsets = where.tensor(Int32Array.from({ length: B + 1 }, (_, b) => T * b))
        const flat = { logprob: where.tensor(logprob), refLogprob: where.tensor(refLogprob) }
        const sums = sequenceLogprobs({ ...on, valid: counted }, { reduce: 'mean' })
        const packed = sequenceLogprobs({ ...flat, offsets })
        const gradSequence = where.tensor(score)
        const spread = sequenceLogprobsBackward({ gradSequence, valid: counted }, { reduce: 'mean' })
        const shaped = tokenRewards({ ...flat, score: gradSequence, offsets }, { klCoefficient: 0.1 })
        const read = [
          sums.logprob,
          sums.count,
          sums.logRatio!,
          packed.logprob,
          spread.gradLogprob,
          shaped.rewards,
          shaped.kl,
        ]
        return Promise.all(read.map((x) => x.read()))
      }),
    )
    for (const [k, values] of results[0].entries()) sameBits(values as Float32Array, results[1][k] as Float32Array)
  })
}
