/** What the ops of the built-in policy promise beside their references, on software adapters: bits that no batch changes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Device, linear, linearBackward } from '../lib/index.ts'
import { chainBound, normals, seeded } from './reference/model/common.ts'
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
  }
}
