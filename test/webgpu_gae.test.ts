/** What gae on webgpu promises beyond its reference: bits that padding does not change, and long rows in many chunks. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gae } from '../lib/index.ts'
import { ulp } from './reference/numbers.ts'
import { adapters, webgpuDevice } from './webgpu_world.ts'
import { f32, i32, normals, refusal, sameBits } from './worked.ts'

type Plain = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>
type Given = Record<string, { data: Plain; shape: readonly number[] } | Plain | undefined>

/** More than two groups of 32 chunks of 2048 steps. */
const LONG = 140_000

for (const { name: adapter, open } of adapters) {
  const run = async (inputs: Given, options: object = {}) => {
    const device = await webgpuDevice(adapter, await open())
    const tensors = Object.fromEntries(
      Object.entries(inputs).map(([key, x]) => [
        key,
        x === undefined ? x : 'shape' in x ? device.tensor(x.data, x.shape) : device.tensor(x, [x.length]),
      ]),
    )
    const { advantages, returns } = gae(tensors as unknown as Parameters<typeof gae>[0], options)
    const [a, r] = [await advantages.read(), await returns.read()]
    return { advantages: a as Float32Array, returns: r as Float32Array }
  }

  test(`packed sequences have the bits of padded ones on ${adapter}, in both modes, padded on either side`, async () => {
    const lengths = [4097, 1, 0, 2047, 2049]
    const [B, T, left] = [lengths.length, 4200, 13]
    const starts = lengths.map((_, b) => lengths.slice(0, b).reduce((sum, n) => sum + n, 0))
    const N = starts[B - 1] + lengths[B - 1]
    const flat = { rewards: normals(5, N), values: normals(6, N) }
    const pad = (x: Float32Array) => {
      const data = new Float32Array(B * T).fill(Number.NaN)
      for (const [b, n] of lengths.entries()) data.set(x.subarray(starts[b], starts[b] + n), b * T + left)
      return { data, shape: [B, T] }
    }
    const valid = { data: new Uint8Array(B * T), shape: [B, T] }
    for (const [b, n] of lengths.entries()) valid.data.fill(1, b * T + left, b * T + left + n)
    const bootstrap = normals(7, B)
    for (const maskMode of ['carry', 'zero']) {
      const options = { gamma: 0.99, lambda: 0.95, valueLambda: 1, maskMode }
      const short = await run({ ...flat, offsets: i32(...starts, N), bootstrap }, options)
      const long = await run({ rewards: pad(flat.rewards), values: pad(flat.values), valid, bootstrap }, options)
      for (const name of ['advantages', 'returns'] as const) {
        for (const [b, n] of lengths.entries()) {
          const at = b * T + left
          sameBits(long[name].subarray(at, at + n), short[name].subarray(starts[b], starts[b] + n))
          assert.ok(long[name].subarray(b * T, at).every((x) => Object.is(x, 0)))
        }
      }
    }
  })

  for (const [decay, T] of [
    [1, 1_000_000],
    [0.9999, LONG],
    [0.95, LONG],
  ]) {
    test(`a row of ${T} steps stays within 2 ULP on ${adapter}, lambda ${decay}`, async () => {
      // Nothing cancels: every error shows.
      const r = normals(1, T).map(Math.abs)
      const inputs = { rewards: { data: r, shape: [1, T] }, values: { data: new Float32Array(T), shape: [1, T] } }
      const { advantages } = await run(inputs, { lambda: decay })
      let [sum, worst] = [0, 0]
      for (let t = T - 1; t >= 0; t--) {
        sum = r[t] + decay * sum
        worst = Math.max(worst, Math.abs(advantages[t] - sum) / ulp(sum))
      }
      assert.ok(worst <= 2, `${worst} ULP`)
    })
  }

  test(`a NaN reaches every step before it on ${adapter}, and none across an end`, async () => {
    const T = 10_000
    const rewards = { data: normals(1, T), shape: [1, T] }
    const values = { data: normals(2, T), shape: [1, T] }
    rewards.data[9000] = Number.NaN
    const terminated = { data: new Uint8Array(T), shape: [1, T] }
    terminated.data[5000] = 1
    for (const [end, inputs] of [
      [-1, { rewards, values }],
      [5000, { rewards, values, terminated }],
    ] as const) {
      // 0.25^4000 is far below f32.
      const { advantages } = await run(inputs, { gamma: 0.5, lambda: 0.5 })
      const wrong = advantages.findIndex((x, t) => Number.isNaN(x) !== (t > end && t <= 9000))
      assert.equal(wrong, -1)
    }
  })

  test(`a cut whose next value is not known is refused on ${adapter}, the first of them named`, async () => {
    const shape = [1, 5000]
    const truncated = { data: new Uint8Array(5000), shape }
    truncated.data[4000] = truncated.data[4500] = 1
    const inputs = { rewards: { data: normals(1, 5000), shape }, values: { data: normals(2, 5000), shape } }
    await assert.rejects(run({ ...inputs, truncated, bootstrap: f32(1) }), (error: unknown) => {
      assert.equal((error as { index: number }).index, 4000)
      return refusal('ERR_BAD_VALUE', 'truncated')(error as Error)
    })
  })
}
