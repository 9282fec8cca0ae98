/** What the ops of the built-in policy promise beside their references, on software adapters: bits that no batch changes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Device, linear, linearBackward, rotary, rotaryAttention, rotaryAttentionBackward } from '../lib/index.ts'
import { chainBound, normals, offsetsOf, seeded } from './reference/model/common.ts'
import { adapters, variants, webgpuDevice } from './webgpu_world.ts'

type Plain = ReturnType<typeof normals>

const on = (device: Device, { data, shape }: Plain) => device.tensor(data, shape)

for (const { name: adapter, open } of adapters) {
  for (const [variant, options] of Object.entries(variants)) {
    const where = `${adapter} (${variant})`
    const opened = async (): Promise<Device> => webgpuDevice(adapter, await open(), options)

    test(`a row of linear has the bits of the row alone on ${where}`, async () => {
      const device = await opened()
      const random = seeded(1)
      const [N, I, O] = [70, 75, 67]
      const weight = on(device, normals(random, [O, I]))
      const x = on(device, normals(random, [N, I]))
      const whole = await linear({ x, weight }).y.read()
      for (const [first, count] of [
        [0, 1],
        [69, 1],
        [17, 16],
        [30, 17],
      ]) {
        const some = await linear({ x: x.view(first * I, [count, I]), weight }).y.read()
        assert.deepEqual(some, whole.slice(first * O, (first + count) * O), `${count} rows from ${first}`)
      }
    })

    test(`a gradient of a small weight is added up from parts of many rows on ${where}`, async () => {
      const device = await opened()
      const random = seeded(2)
      const [N, I, O] = [2100, 3, 5]
      const [x, gradY, weight] = [normals(random, [N, I]), normals(random, [N, O]), normals(random, [O, I])]
      const inputs = { x: on(device, x), gradY: on(device, gradY), weight: on(device, weight) }
      const out = { gradWeight: device.tensor(new Float32Array(O * I).fill(7), [O, I]) }
      linearBackward(inputs, { wantX: false, accumulate: ['gradWeight'] }, { out })
      const gradWeight = await out.gradWeight.read()
      for (let at = 0; at < O * I; at++) {
        const term = (n: number): number => gradY.data[n * O + Math.floor(at / I)] * x.data[n * I + (at % I)]
        let sum = 7
        for (let n = 0; n < N; n++) sum += term(n)
        assert.ok(Math.abs(gradWeight[at] - sum) <= chainBound(N, term) + 1e-5, `element ${at}`)
      }
    })

    test(`packed sequences have the bits of padded ones on ${where}`, async () => {
      const device = await opened()
      const random = seeded(3)
      const [B, T, size] = [3, 39, 6]
      const heads = { heads: 2, keyValueHeads: 1 }
      const data = {
        query: normals(random, [B, T, 2 * size]),
        key: normals(random, [B, T, size]),
        value: normals(random, [B, T, size]),
        gradY: normals(random, [B, T, 2 * size]),
      }
      const run = async (inputs: Record<keyof typeof data, ReturnType<typeof on>>, more: object) => {
        const { gradY: _, ...laidOut } = inputs
        const forward = rotaryAttention({ ...laidOut, ...more }, heads)
        const backward = rotaryAttentionBackward({ ...inputs, ...forward, ...more }, heads)
        return Promise.all([...Object.values(forward), ...Object.values(backward)].map((tensor) => tensor.read()))
      }
      const named = Object.entries(data).map(([name, values]) => [name, on(device, values)] as const)
      const padded = Object.fromEntries(named) as Record<keyof typeof data, ReturnType<typeof on>>
      const flat = Object.fromEntries(named.map(([name, tensor]) => [name, tensor.view(0, [B * T, tensor.shape[2]])]))
      const offsets = device.tensor(offsetsOf([T, T, T]).data, [B + 1])
      assert.deepEqual(await run(flat as typeof padded, { offsets }), await run(padded, {}))
    })

    test(`decoding from a cache gives the bits of the whole call on ${where}`, async () => {
      const device = await opened()
      const random = seeded(4)
      const [T, size, S] = [330, 10, 340]
      const heads = { heads: 4, keyValueHeads: 2 }
      const [Q, C] = [4 * size, 2 * size]
      const [query, key, value] = [normals(random, [1, T, Q]), normals(random, [1, T, C]), normals(random, [1, T, C])]
      const whole = rotaryAttention({ query: on(device, query), key: on(device, key), value: on(device, value) }, heads)
      const [y, logSum] = [await whole.y.read(), await whole.logSum.read()]
      const positions = device.tensor(
        Int32Array.from({ length: T }, (_, t) => t),
        [1, T],
      )
      const turned = rotary({ x: on(device, key), positions }, { heads: 2 }).y
      const rotated = { ...key, data: await turned.read() }
      // What lies behind the keys of the call is NaN.
      const cache = (rows: Plain, count: number) => {
        const data = new Float32Array(S * C).fill(Number.NaN)
        data.set(rows.data.subarray(0, count * C))
        return device.tensor(data, [1, S, C])
      }
      for (const keysRotated of [true, false]) {
        for (const [first, stop] of [
          [0, 1],
          [30, 33],
          [63, 64],
          [64, 65],
          [69, 70],
          [255, 256],
          [256, 257],
          [329, 330],
        ]) {
          const step = rotaryAttention(
            {
              query: device.tensor(query.data.slice(first * Q, stop * Q), [1, stop - first, Q]),
              key: cache(keysRotated ? rotated : key, stop),
              value: cache(value, stop),
              keyLengths: device.tensor(new Int32Array([stop]), [1]),
            },
            { ...heads, keysRotated },
          )
          const what = `queries ${first} to ${stop - 1}, ${keysRotated ? 'rotated keys' : 'plain keys'}`
          assert.deepEqual(await step.y.read(), y.slice(first * Q, stop * Q), what)
          assert.deepEqual(await step.logSum.read(), logSum.slice(first * 4, stop * 4), what)
        }
      }
    })

    test(`a token has no effect on those before it on ${where}`, async () => {
      const device = await opened()
      const random = seeded(5)
      const inputs = [16, 8, 8].map((width) => normals(random, [1, 70, width]))
      const run = async (): Promise<Float32Array> => {
        const [query, key, value] = inputs.map((values) => on(device, values))
        return (await rotaryAttention({ query, key, value }, { heads: 2, keyValueHeads: 1 }).y.read()).slice(0, 50 * 16)
      }
      const before = await run()
      for (const { data, shape } of inputs) data.fill(Number.NaN, 50 * shape[2])
      assert.deepEqual(await run(), before)
    })

    test(`offsets that fall and key lengths that do not fit are refused, and give NaN, on ${where}`, async () => {
      const device = await opened()
      const one = { heads: 1, keyValueHeads: 1 }
      const x = device.tensor(new Float32Array([1, 0, 1, 0]), [2, 2])
      const logSum = device.tensor(new Float32Array(2), [2, 1])
      const offsets = device.tensor(new Int32Array([0, 3, 2]), [3])
      const forward = rotaryAttention({ query: x, key: x, value: x, offsets }, one)
      await assert.rejects(forward.y.read(), { code: 'ERR_OFFSETS', arg: 'offsets', index: 1 })
      assert.ok((await forward.y.read()).every(Number.isNaN))
      assert.ok((await forward.logSum.read()).every(Number.isNaN))
      const backward = rotaryAttentionBackward({ gradY: x, query: x, key: x, value: x, y: x, logSum, offsets }, one)
      await assert.rejects(backward.gradQuery.read(), { code: 'ERR_OFFSETS', arg: 'offsets', index: 1 })
      for (const gradient of Object.values(backward)) assert.ok((await gradient.read()).every(Number.isNaN))
      const query = device.tensor(new Float32Array(8).fill(1), [2, 2, 2])
      const cache = device.tensor(new Float32Array(12).fill(1), [2, 3, 2])
      for (const length of [1, 4, -1]) {
        const keyLengths = device.tensor(new Int32Array([2, length]), [2])
        const { y } = rotaryAttention({ query, key: cache, value: cache, keyLengths }, one)
        await assert.rejects(y.read(), { code: 'ERR_BAD_VALUE', arg: 'keyLengths', index: 1 })
        assert.deepEqual([...(await y.read())].map(Number.isNaN), [false, false, false, false, true, true, true, true])
      }
    })
  }
}
