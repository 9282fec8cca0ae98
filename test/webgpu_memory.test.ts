/** Memory on webgpu over a long run: 10,000 steps with tensors that come and go, and figures that are read. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WebgpuBackend } from '../lib/backends/webgpu.ts'
import { adamw, openDevice, rmsNorm } from '../lib/index.ts'
import { softwareGpu } from './software_gpu.ts'

const STEPS = 10_000
/** Waiting takes most of a step in software. */
const UPDATE_EVERY = 10
/** By then every kernel, buffer and bind group was made. */
const WARM = 100
/** By then the garbage collector has settled. */
const SETTLED = 4_000
const MEGABYTE = 2 ** 20

test('10,000 steps, each tenth with an optimizer and a readback, need no more buffers and no more memory than the first', async (t) => {
  const device = await openDevice('webgpu', { gpu: await softwareGpu(), software: true })
  t.after(() => device.dispose())
  const { gpu } = device.backend as WebgpuBackend
  let buffers = 0
  const create = gpu.createBuffer.bind(gpu)
  gpu.createBuffer = (descriptor) => {
    const buffer = create(descriptor)
    const destroy = buffer.destroy.bind(buffer)
    buffers++
    buffer.destroy = () => {
      buffers--
      return destroy()
    }
    return buffer
  }
  const filled = (value: number) => device.tensor(new Float32Array(8).fill(value))
  const state = { param: filled(1), m: filled(0), v: filled(0), step: device.tensor(new Int32Array(1)) }
  let warm = 0
  let settled = 0
  for (let step = 1; step <= STEPS; step++) {
    const values = Float32Array.from({ length: 8 }, (_, i) => Math.sin(i + step))
    const x = device.tensor(values, [1, 8])
    const { y, inverseRms } = rmsNorm({ x, weight: state.param })
    const passing: { dispose: () => void }[] = [x, y, inverseRms]
    if (step % UPDATE_EVERY === 0) {
      const grad = y.view(0, [8])
      const { refused } = adamw({ ...state, grad }, { lr: 1e-3 })
      passing.push(grad, refused)
      const [sizes] = await device.read([inverseRms, refused])
      const meanSquare = values.reduce((sum, value) => sum + value * value, 0) / 8
      assert.ok(Math.abs(sizes[0] * Math.sqrt(meanSquare) - 1) < 1e-4, `step ${step}: ${sizes[0]}`)
    }
    for (const tensor of passing) tensor.dispose()
    if (step === WARM) warm = buffers
    if (step === SETTLED) settled = process.memoryUsage.rss()
  }
  const grown = (process.memoryUsage.rss() - settled) / MEGABYTE
  t.diagnostic(`${buffers} buffers, ${grown.toFixed(1)} MB more than after ${SETTLED} steps`)
  assert.equal(buffers, warm)
  assert.ok(grown < 32, `${grown} MB more`)
  assert.equal((await state.step.read())[0], STEPS / UPDATE_EVERY)
})
