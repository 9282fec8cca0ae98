/** The webgpu device itself: which adapter, whose device, how much memory, how many waits, and what is left when it breaks. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import type { WebgpuBackend } from '../lib/backends/webgpu.ts'
import { add, axpy, copy, type Device, gatherRows, openDevice } from '../lib/index.ts'
import { root } from './root.ts'
import { prepareSoftwareGpu, softwareGpu } from './software_gpu.ts'

const gpu = await softwareGpu()
const open = (options: object = {}): Promise<Device> => openDevice('webgpu', { gpu, software: true, ...options })
const backendOf = (device: Device): WebgpuBackend => device.backend as WebgpuBackend
const ramp = (n: number) => Float32Array.from({ length: n }, (_, i) => (i % 1000) - 500)

test('without an adapter, or with a software one that nobody asked for, opening says why', async () => {
  const nothing = { requestAdapter: async () => null } as unknown as GPU
  await assert.rejects(openDevice('webgpu', { gpu: nothing }), {
    code: 'ERR_NO_DEVICE',
    fix: /cpu/,
    message: /no WebGPU adapter/,
  })
  await assert.rejects(openDevice('webgpu', { gpu }), {
    code: 'ERR_NO_DEVICE',
    message: /software.*PREFGRAD_SOFTWARE_GPU/,
  })
  await assert.rejects(open({ limits: 'all' }), { code: 'ERR_OPTION', arg: 'limits' })
  await assert.rejects(open({ device: {} }), { code: 'ERR_OPTION', arg: 'device' })
  await assert.rejects(open({ sofware: true }), { code: 'ERR_ARGUMENT', fix: "Did you mean 'software'?" })
})

test("on the caller's own device and buffers, nothing is copied and nothing is destroyed", async () => {
  const adapter = (await gpu.requestAdapter())!
  const own = await adapter.requestDevice()
  const usage = 0x80 | 0x08 | 0x04
  const [a, b] = [own.createBuffer({ size: 1024, usage }), own.createBuffer({ size: 1024, usage })]
  own.queue.writeBuffer(a, 256, ramp(4))
  const device = await openDevice('webgpu', { device: own })
  const x = device.wrap(a, [2, 2], 'f32', 256)
  const z = device.wrap(b, [2, 2], 'f32', 512)
  assert.deepEqual([...(await x.read())], [-500, -499, -498, -497])
  add({ x, y: x }, {}, { out: { z } })
  device.flush()
  const target = own.createBuffer({ size: 16, usage: 0x01 | 0x08 })
  const encoder = own.createCommandEncoder()
  encoder.copyBufferToBuffer(b, 512, target, 0, 16)
  own.queue.submit([encoder.finish()])
  await target.mapAsync(1)
  assert.deepEqual([...new Float32Array(target.getMappedRange())], [-1000, -998, -996, -994])
  assert.throws(() => device.wrap(a, [300], 'f32'), { code: 'ERR_SHAPE' })
  assert.throws(() => device.wrap(a, [2], 'f32', 2), { code: 'ERR_SHAPE' })
  x.dispose()
  device.dispose()
  // Still alive: another device on it can go on.
  using again = await openDevice('webgpu', { device: own })
  assert.deepEqual([...(await again.wrap(b, [1], 'f32', 512).read())], [-1000])
  const cpu = await openDevice('cpu')
  assert.throws(() => cpu.wrap(a, [1], 'f32'), { code: 'ERR_DEVICE_MISMATCH' })
})

test('a run of calls is one submission, and several results are one readback', async () => {
  using device = await open()
  const { counters } = backendOf(device)
  const [x, y] = [device.tensor(ramp(100)), device.tensor(ramp(100))]
  await device.check()
  const before = { ...counters }
  const sums = Array.from({ length: 50 }, () => add({ x, y }).z)
  const results = await device.read([...sums, x])
  assert.equal(results.length, 51)
  for (let i = 0; i < 50; i++) assert.equal(results[i][99], 2 * ramp(100)[99])
  assert.deepEqual(
    {
      calls: counters.calls - before.calls,
      submits: counters.submits - before.submits,
      readbacks: counters.readbacks - before.readbacks,
    },
    { calls: 50, submits: 1, readbacks: 1 },
  )
})

test('a write comes after the calls before it, and before the calls after it', async () => {
  using device = await open()
  const x = device.tensor(Float32Array.of(1, 2, 3))
  const first = add({ x, y: x }).z
  x.write(Float32Array.of(10, 20, 30))
  const second = add({ x, y: x }).z
  assert.deepEqual([...(await first.read())], [2, 4, 6])
  assert.deepEqual([...(await second.read())], [20, 40, 60])
})

test('memory is used again: no buffer is made after the first steps', async () => {
  using device = await open()
  let made = 0
  const { gpu: gpuDevice } = backendOf(device)
  const create = gpuDevice.createBuffer.bind(gpuDevice)
  gpuDevice.createBuffer = (descriptor) => {
    if ((descriptor.usage & 0x01) === 0) made++
    return create(descriptor)
  }
  const y = device.zeros([1000])
  const step = () => {
    const x = device.tensor(ramp(1000))
    const { z } = add({ x, y })
    axpy({ x: z, y }, { alpha: 1e-3 })
    x.dispose()
    z.dispose()
  }
  for (let i = 0; i < 10; i++) step()
  await device.check()
  const warm = made
  for (let i = 0; i < 1000; i++) {
    step()
    if (i % 100 === 0) await device.check()
  }
  await device.check()
  assert.equal(made, warm)
})

test('a tensor larger than a binding, and more workgroups than one dimension takes, change no bit', async () => {
  // 132,813 workgroups; 128 MiB is the largest binding of a device with default limits.
  const n = 34_000_000
  const data = ramp(n)
  const rows = Int32Array.of(0, 33_554_431, 33_554_432, n - 1)
  for (const limits of ['adapter', 'default']) {
    using device = await open({ limits })
    const x = device.tensor(data)
    const { y } = copy({ x })
    const { y: picked } = gatherRows({ x: y.reshape([n, 1]), rows: device.tensor(rows) })
    assert.deepEqual(
      [...(await picked.read())],
      Array.from(rows, (row) => data[row]),
      limits,
    )
    const some = y.view(33_554_400, [64])
    assert.deepEqual([...(await some.read())], [...data.subarray(33_554_400, 33_554_464)], limits)
  }
})

test('what does not fit is refused, and the device goes on', async () => {
  using device = await open()
  const most = backendOf(device).gpu.limits.maxBufferSize
  assert.throws(() => device.empty([most / 4 + 1]), { code: 'ERR_OUT_OF_MEMORY', fix: /smaller/ })
  assert.deepEqual([...(await device.tensor(Float32Array.of(7)).read())], [7])
})

test('a device without memory says so, and goes on', async () => {
  using device = await open()
  // SwiftShader promises a buffer of 1 GiB, and cannot make one.
  const huge = device.empty([2 ** 28])
  await assert.rejects(huge.view(0, [1]).read(), { code: 'ERR_OUT_OF_MEMORY', fix: /smaller/ })
  huge.dispose()
  assert.deepEqual([...(await device.tensor(Float32Array.of(5)).read())], [5])
})

test('a lost device says so at the next use, and a new one works', async () => {
  const device = await open()
  const x = device.tensor(Float32Array.of(1, 2))
  const reading = add({ x, y: x }).z.read()
  backendOf(device).gpu.destroy()
  await assert.rejects(reading, { code: 'ERR_DEVICE_LOST' })
  await backendOf(device).gpu.lost
  assert.throws(() => add({ x, y: x }), { code: 'ERR_DEVICE_LOST', fix: /new device/ })
  await assert.rejects(x.read(), { code: 'ERR_DEVICE_LOST' })
  using another = await open()
  assert.deepEqual([...(await another.tensor(Float32Array.of(3)).read())], [3])
})

test('tensors of two devices, plain arrays and disposed devices are refused', async () => {
  const [one, two] = [await open(), await open()]
  const [x, y] = [one.tensor(Float32Array.of(1)), two.tensor(Float32Array.of(1))]
  assert.throws(() => add({ x, y }), { code: 'ERR_DEVICE_MISMATCH' })
  assert.throws(() => add({ x, y: Float32Array.of(1) }), { code: 'ERR_DEVICE_MISMATCH', fix: /device\.tensor/ })
  assert.throws(() => x.readSync(), { code: 'ERR_DEVICE_MISMATCH', fix: /read/ })
  assert.throws(() => x.data, { code: 'ERR_DEVICE_MISMATCH' })
  await assert.rejects(one.read([x, y]), { code: 'ERR_DEVICE_MISMATCH' })
  one.dispose()
  assert.throws(() => add({ x, y: x }), { code: 'ERR_DISPOSED' })
  await assert.rejects(x.read(), { code: 'ERR_DISPOSED' })
  two.dispose()
})

test('bytes that are no whole words arrive, and their neighbours stay', async () => {
  using device = await open()
  const bytes = device.tensor(Uint8Array.of(1, 2, 3, 4, 5))
  assert.deepEqual([...(await bytes.read())], [1, 2, 3, 4, 5])
  assert.deepEqual([...(await bytes.view(1, [3]).read())], [2, 3, 4])
  bytes.view(1, [2]).write(Uint8Array.of(9, 9))
  bytes.view(4, [1]).write(Uint8Array.of(8))
  assert.deepEqual([...(await bytes.read())], [1, 9, 9, 4, 8])
  const halves = device.tensor(new Uint16Array(10), [10], 'bf16')
  halves.view(1, [5]).write(Uint16Array.of(1, 2, 3, 4, 5))
  assert.deepEqual([...(await halves.read())], [0, 1, 2, 3, 4, 5, 0, 0, 0, 0])
})

test('the process ends by itself, whatever is still open', () => {
  const code = `
    import { add, openDevice } from ${JSON.stringify(`${root}/dist/lib/index.js`)}
    const device = await openDevice('webgpu')
    const x = device.tensor(Float32Array.of(1, 2))
    console.log([...(await add({ x, y: x }).z.read())].join())
    globalThis.gc?.()
    void add({ x, y: x }).z.read()
  `
  const env = { ...process.env, ...prepareSoftwareGpu(), PREFGRAD_SOFTWARE_GPU: '1' }
  const ran = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', code], { env, encoding: 'utf8' })
  assert.deepEqual([ran.status, ran.signal, ran.stdout], [0, null, '2,4\n'], ran.stderr)
})
