/** linear on CUDA: a row has the same bits in every kernel that may make it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Device, linear, linearBackward } from '../lib/index.ts'
import { cudaDevice, cudaDevices } from './cuda_world.ts'
import { assertClose } from './reference/model/close.ts'
import { f32, normals, seeded } from './reference/model/common.ts'
import type { Inputs } from './reference/types.ts'
import { runOn } from './run_on.ts'

/** From tensors that begin at multiples of 16 bytes. */
const aligned = async (device: Device, { x, weight, bias, gradY }: Inputs) => {
  const on = ({ data, shape }: { data: ArrayLike<number>; shape: readonly number[] }) =>
    device.tensor(Float32Array.from(data), shape)
  const call = { x: on(x), weight: on(weight) }
  const { y } = linear({ ...call, bias: on(bias) })
  const { gradX, gradWeight } = linearBackward({ ...call, gradY: on(gradY) })
  return { y: await y.read(), gradX: await gradX!.read(), gradWeight: await gradWeight!.read() }
}

for (const kind of await cudaDevices()) {
  for (const matmul of ['exact', 'fast'] as const) {
    test(`a row has the bits of the row alone, however many there are and wherever they lie, on ${kind}, ${matmul}`, async () => {
      const device = await cudaDevice(kind, { matmul })
      const random = seeded(71)
      // Terms that fill groups of 16 and of 128, and do not; 16 bytes at a time, and not.
      for (const [I, O] of [
        [70, 41],
        [256, 36],
        [132, 130],
      ]) {
        const weight = normals(random, [O, I])
        const bias = normals(random, [O])
        const x = normals(random, [200, I])
        const gradY = normals(random, [200, O])
        const whole = await aligned(device, { x, weight, bias, gradY })
        for (const rows of matmul === 'fast' ? [1, 16, 17, 64, 65, 200] : [1, 2, 8, 9, 17, 33, 64, 65, 128, 200]) {
          const inputs = {
            x: f32(x.data.subarray(0, rows * I), [rows, I]),
            gradY: f32(gradY.data.subarray(0, rows * O), [rows, O]),
            weight,
          }
          const what = `of ${rows} rows, I = ${I}, O = ${O}`
          const near = await aligned(device, { ...inputs, bias })
          const { gradY: _, ...forward } = inputs
          const odd = {
            ...(await runOn(device, 'linear', { name: '', inputs: { ...forward, bias } })),
            ...(await runOn(device, 'linearBackward', { name: '', inputs })),
          }
          assert.deepEqual(odd.gradWeight, near.gradWeight, `gradWeight ${what}, at odd places`)
          for (const [where, { y, gradX }] of Object.entries({ near, odd })) {
            assert.deepEqual(y, whole.y.slice(0, rows * O), `y ${what}, ${where}`)
            assert.deepEqual(gradX, whole.gradX.slice(0, rows * I), `gradX ${what}, ${where}`)
          }
        }
      }
    })
  }

  test(`gradWeight of many rows is that of the cpu, and is added to what is there, on ${kind}`, async () => {
    const device = await cudaDevice(kind)
    const random = seeded(72)
    const [N, I, O] = [2100, 6, 5]
    const inputs = { x: normals(random, [N, I]), gradY: normals(random, [N, O]), weight: normals(random, [O, I]) }
    const { gradWeight } = linearBackward(inputs, { wantX: false })
    const options = { wantX: false }
    const got = await runOn(device, 'linearBackward', { name: '', inputs, options })
    assertClose(got.gradWeight as Float32Array, gradWeight!.data, 1e-3)
    const onto = { gradWeight: new Float32Array(O * I).fill(1000) }
    const more = await runOn(device, 'linearBackward', { name: '', inputs, options }, { onto })
    assert.deepEqual(
      more.gradWeight,
      (got.gradWeight as Float32Array).map((x) => 1000 + x),
    )
  })
}
