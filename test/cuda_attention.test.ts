/** rotaryAttention on CUDA: a query has the same bits in every kernel that may make it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Device, rotary, rotaryAttention, rotaryAttentionBackward } from '../lib/index.ts'
import { cudaDevice, cudaDevices } from './cuda_world.ts'
import { normals, offsetsOf, seeded } from './reference/model/common.ts'

const numbers = (seed: number, length: number): Float32Array => Float32Array.from(normals(seeded(seed), [length]).data)

/** Tensors that begin at multiples of 16 bytes, or not. */
const place = (device: Device, odd: number) => (data: Float32Array, shape: readonly number[]) => {
  const whole = new Float32Array(data.length + odd)
  whole.set(data, odd)
  return device.tensor(whole, [whole.length]).view(odd, shape)
}

for (const kind of await cudaDevices()) {
  for (const [size, heads, keyValueHeads] of [
    [20, 4, 2],
    [6, 2, 1],
    [72, 2, 2],
    [132, 2, 1],
  ]) {
    const options = { heads, keyValueHeads }
    const [Q, C] = [heads * size, keyValueHeads * size]

    test(`queries alone with a cache have the bits of the whole call: heads of ${size} on ${kind}`, async () => {
      const device = await cudaDevice(kind)
      const [T, S] = [150, 160]
      const [query, key, value] = [numbers(1, T * Q), numbers(2, T * C), numbers(3, T * C)]
      const on = place(device, 0)
      const whole = rotaryAttention(
        { query: on(query, [1, T, Q]), key: on(key, [1, T, C]), value: on(value, [1, T, C]) },
        options,
      )
      const [y, logSum] = [await whole.y.read(), await whole.logSum.read()]
      const positions = device.tensor(
        Int32Array.from({ length: T }, (_, t) => t),
        [1, T],
        'i32',
      )
      const turned = await rotary({ x: on(key, [1, T, C]), positions }, { heads: keyValueHeads }).y.read()
      for (const [first, count] of [
        [0, 1],
        [63, 1],
        [64, 2],
        [129, 3],
        [149, 1],
        [100, 50],
      ]) {
        const last = first + count
        const cache = (rows: ArrayLike<number>) => {
          const data = new Float32Array(S * C).fill(Number.NaN)
          data.set(Array.from(rows).slice(0, last * C))
          return data
        }
        for (const keysRotated of [false, true]) {
          for (const odd of [0, 1]) {
            const at = place(device, odd)
            const step = rotaryAttention(
              {
                query: at(query.slice(first * Q, last * Q), [1, count, Q]),
                key: at(cache(keysRotated ? (turned as Float32Array) : key), [1, S, C]),
                value: at(cache(value), [1, S, C]),
                keyLengths: device.tensor(Int32Array.of(last), [1], 'i32'),
              },
              { ...options, keysRotated },
            )
            const what = `of queries ${first} to ${last - 1}, keysRotated ${keysRotated}, odd ${odd}`
            assert.deepEqual(await step.y.read(), y.slice(first * Q, last * Q), `y ${what}`)
            assert.deepEqual(await step.logSum.read(), logSum.slice(first * heads, last * heads), `logSum ${what}`)
          }
        }
      }
    })

    test(`packed sequences have the bits of each alone, forward and backward: heads of ${size} on ${kind}`, async () => {
      const device = await cudaDevice(kind)
      const lengths = [5, 0, 70, 1, 129]
      const N = lengths.reduce((sum, length) => sum + length)
      const run = async (from: number, to: number, leading: readonly number[], offsets?: Int32Array) => {
        const on = (seed: number, width: number) =>
          place(device, from % 3)(numbers(seed, N * width).slice(from * width, to * width), [...leading, width])
        const call = {
          query: on(4, Q),
          key: on(5, C),
          value: on(6, C),
          ...(offsets && { offsets: device.tensor(offsets, [offsets.length], 'i32') }),
        }
        const { y, logSum } = rotaryAttention(call, options)
        const gradients = rotaryAttentionBackward({ ...call, gradY: on(7, Q), y, logSum }, options)
        const results = Object.entries({ y, logSum, ...gradients })
        return Promise.all(results.map(async ([name, tensor]) => [name, await tensor.read()] as const))
      }
      const packed = new Map(await run(0, N, [N], Int32Array.from(offsetsOf(lengths).data)))
      let from = 0
      for (const length of lengths) {
        for (const [name, bits] of await run(from, from + length, [1, length])) {
          const width = packed.get(name)!.length / N
          assert.deepEqual(bits, packed.get(name)!.slice(from * width, (from + length) * width), `${name} of ${length}`)
        }
        from += length
      }
    })
  }
}
