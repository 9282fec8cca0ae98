/** What gae on cuda promises beyond its reference: the same bits whichever kernels run, padding or not, and rows of any length. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Device, gae, openDevice } from '../lib/index.ts'
import { cudaDevice, cudaDevices } from './cuda_world.ts'
import { ulp } from './reference/numbers.ts'
import { f32, i32, normals, refusal, sameBits } from './worked.ts'

type Plain = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>
type Given = Record<string, { data: Plain; shape: readonly number[] } | Plain | undefined>

/** A device without clusters: long rows take two launches there. */
const withoutClusters = async (): Promise<Device> => {
  process.env.PREFGRAD_EMULATOR_CAPABILITY = '80'
  try {
    return await openDevice('cuda:emulated')
  } finally {
    delete process.env.PREFGRAD_EMULATOR_CAPABILITY
  }
}

const devices: [string, Device][] = []
for (const kind of await cudaDevices()) {
  devices.push([kind, await cudaDevice(kind)])
  if (kind === 'cuda:emulated') devices.push(['cuda:emulated without clusters', await withoutClusters()])
}

const run = async (device: Device, inputs: Given, options: object = {}) => {
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

/** Many terminated steps, gaps, and two lambdas. */
const busy = (B: number, T: number): Given => {
  const shape = [B, T]
  const flags = (seed: number, share: number) =>
    Uint8Array.from(normals(seed, B * T), (x) => (Math.abs(x) < share ? 1 : 0))
  const valid = flags(3, 1.5)
  for (let b = 0; b < B; b++) valid.fill(0, (b + 1) * T - 5 * b - 2, (b + 1) * T)
  return {
    rewards: { data: normals(1, B * T), shape },
    values: { data: normals(2, B * T), shape },
    terminated: { data: flags(4, 0.01), shape },
    valid: { data: valid, shape },
    bootstrap: normals(5, B),
  }
}
const firstRow = (inputs: Given, B: number): Given =>
  Object.fromEntries(
    Object.entries(inputs).map(([key, x]) => {
      if (x === undefined || !('shape' in x)) return [key, (x as Float32Array).slice(0, 1)]
      const T = x.data.length / B
      return [key, { data: x.data.slice(0, T) as Plain, shape: [1, T] }]
    }),
  )

for (const [name, device] of devices) {
  for (const T of [2049, 16_384, 20_001, 70_003]) {
    test(`a row of ${T} steps has the same bits alone and among others on ${name}`, async () => {
      const B = 4
      const inputs = busy(B, T)
      for (const maskMode of ['carry', 'zero']) {
        const options = { gamma: 0.99, lambda: 0.95, valueLambda: 0.999, maskMode }
        const many = await run(device, inputs, options)
        const one = await run(device, firstRow(inputs, B), options)
        const first = await run(devices[0][1], firstRow(inputs, B), options)
        for (const key of ['advantages', 'returns'] as const) {
          sameBits(one[key], many[key].subarray(0, T))
          sameBits(one[key], first[key])
        }
      }
    })
  }

  test(`packed sequences have the bits of padded ones on ${name}, in both modes, padded on either side`, async () => {
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
      const short = await run(device, { ...flat, offsets: i32(...starts, N), bootstrap }, options)
      const long = await run(
        device,
        { rewards: pad(flat.rewards), values: pad(flat.values), valid, bootstrap },
        options,
      )
      for (const key of ['advantages', 'returns'] as const) {
        for (const [b, n] of lengths.entries()) {
          const at = b * T + left
          sameBits(long[key].subarray(at, at + n), short[key].subarray(starts[b], starts[b] + n))
          assert.ok(long[key].subarray(b * T, at).every((x) => Object.is(x, 0)))
        }
      }
    }
  })

  test(`few long packed sequences and many short ones have the bits of each alone on ${name}`, async () => {
    for (const lengths of [[9000, 40_000], Array.from({ length: 2100 }, (_, b) => b % 5)]) {
      const starts = lengths.map((_, b) => lengths.slice(0, b).reduce((sum, n) => sum + n, 0))
      const N = starts[lengths.length - 1] + lengths[lengths.length - 1]
      const [rewards, values] = [normals(8, N), normals(9, N)]
      const all = await run(device, { rewards, values, offsets: i32(...starts, N) }, { gamma: 0.99 })
      for (const b of [0, 1, lengths.length - 1]) {
        const [from, to] = [starts[b], starts[b] + lengths[b]]
        const shape = [1, to - from]
        const own = {
          rewards: { data: rewards.slice(from, to), shape },
          values: { data: values.slice(from, to), shape },
        }
        const one = await run(device, own, { gamma: 0.99 })
        for (const key of ['advantages', 'returns'] as const) sameBits(all[key].subarray(from, to), one[key])
      }
    }
  })

  for (const decay of [1, 0.9999, 0.95]) {
    test(`a row of many chunks stays within 1 ULP on ${name}, lambda ${decay}`, async () => {
      const T = 140_000
      // Nothing cancels: every error shows.
      const r = normals(1, T).map(Math.abs)
      const inputs = { rewards: { data: r, shape: [1, T] }, values: { data: new Float32Array(T), shape: [1, T] } }
      const { advantages } = await run(device, inputs, { lambda: decay })
      let [sum, worst] = [0, 0]
      for (let t = T - 1; t >= 0; t--) {
        sum = r[t] + decay * sum
        worst = Math.max(worst, Math.abs(advantages[t] - sum) / ulp(sum))
      }
      assert.ok(worst <= 1, `${worst} ULP`)
    })
  }

  test(`a NaN reaches every step before it on ${name}, and none across an end`, async () => {
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
      // 0.25^4000 is far below f64.
      const { advantages } = await run(device, inputs, { gamma: 0.5, lambda: 0.5 })
      const wrong = advantages.findIndex((x, t) => Number.isNaN(x) !== (t > end && t <= 9000))
      assert.equal(wrong, -1)
    }
  })

  test(`a cut whose next value is not known is refused on ${name}, the first of them named`, async () => {
    const shape = [1, 5000]
    const truncated = { data: new Uint8Array(5000), shape }
    truncated.data[4000] = truncated.data[4500] = 1
    const inputs = { rewards: { data: normals(1, 5000), shape }, values: { data: normals(2, 5000), shape } }
    await assert.rejects(run(device, { ...inputs, truncated, bootstrap: f32(1) }), (error: unknown) => {
      assert.equal((error as { index: number }).index, 4000)
      return refusal('ERR_BAD_VALUE', 'truncated')(error as Error)
    })
  })
}
