/** Devices and tensors: opening, choosing, making, viewing, reading, writing, disposing. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type DeviceName, gradNorm, inspect, mergeStats, openDevice, readStats, Tensor, whiten } from '../lib/index.ts'

const device = await openDevice('cpu', { threads: 1 })

test('the cpu is opened by name and by choice, and says what runs', async () => {
  const { cpu, chosen, devices } = await inspect()
  assert.equal(chosen, 'cpu')
  assert.deepEqual(
    devices.map(({ name, available }) => [name, available]),
    [
      ['cuda', false],
      ['webgpu', false],
      ['cpu', true],
    ],
  )
  const isa = process.env.PREFGRAD_ISA ?? cpu!.isas[0]
  assert.equal(cpu!.isa, isa)
  for (const name of ['cpu', 'auto', undefined] as const) {
    using opened = await openDevice(name)
    assert.equal(opened.name, `cpu:${isa}`)
    assert.equal(opened.kind, 'cpu')
  }
  for (const one of cpu!.isas) {
    using opened = await openDevice('cpu', { isa: one })
    assert.equal(opened.name, `cpu:${one}`)
  }
})

test('a device that was asked for and is not there is an error, never a fallback', async () => {
  const { devices } = await inspect()
  const cuda = devices.find(({ name }) => name === 'cuda')!
  if (!cuda.available) {
    await assert.rejects(openDevice('cuda'), {
      code: /ERR_NO_DEVICE|ERR_DRIVER_TOO_OLD/,
      value: 'cuda',
      fix: /cpu|driver/,
    })
  }
  await assert.rejects(openDevice('gpu' as DeviceName), { code: 'ERR_NO_DEVICE', value: 'gpu' })
  await assert.rejects(openDevice('toString' as DeviceName), { code: 'ERR_NO_DEVICE' })
  const before = process.env.PREFGRAD_DEVICE
  try {
    process.env.PREFGRAD_DEVICE = 'cuda'
    if (!cuda.available) await assert.rejects(openDevice(), { code: /ERR_NO_DEVICE|ERR_DRIVER_TOO_OLD/ })
    process.env.PREFGRAD_DEVICE = 'cpu'
    ;(await openDevice()).dispose()
  } finally {
    if (before === undefined) delete process.env.PREFGRAD_DEVICE
    else process.env.PREFGRAD_DEVICE = before
  }
})

test('instruction set, threads and grain are checked', async () => {
  await assert.rejects(openDevice('cpu', { isa: 'sse9' }), { code: 'ERR_NO_DEVICE', arg: 'isa', value: 'sse9' })
  const wrong = [0, -1, 1.5, 257, 2 ** 32 + 1, Number.NaN, '2' as unknown as number]
  for (const threads of wrong) {
    await assert.rejects(openDevice('cpu', { threads }), { code: 'ERR_OPTION', arg: 'threads', value: threads })
  }
  for (const grain of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    await assert.rejects(openDevice('cpu', { grain }), { code: 'ERR_OPTION', arg: 'grain' })
  }
  const typo = { thread: 2 } as object
  await assert.rejects(openDevice('cpu', typo), { code: 'ERR_ARGUMENT', fix: "Did you mean 'threads'?" })
  await assert.rejects(openDevice('cpu', null as unknown as object), { code: 'ERR_OPTION' })
})

test('a tensor wraps an array without a copy, whatever its place in a buffer', () => {
  const array = new Float32Array(new ArrayBuffer(40), 12, 4)
  const tensor = device.tensor(array, [2, 2])
  array[3] = 5
  assert.equal(tensor.data[3], 5)
  assert.deepEqual([tensor.shape, tensor.size, tensor.dtype, tensor.byteLength], [[2, 2], 4, 'f32', 16])
  tensor.data[0] = 7
  assert.equal(array[0], 7)
  assert.deepEqual(tensor.shape, [2, 2])
})

test('a shape cannot be changed behind the back of a tensor', () => {
  const shape = [2, 2]
  const tensor = device.tensor(new Float32Array(4), shape)
  shape[0] = 1000
  assert.deepEqual(tensor.shape, [2, 2])
  assert.throws(() => (tensor.shape as number[]).push(1), TypeError)
  for (const x of [tensor, new Float32Array(3)]) {
    const { y } = whiten({ x })
    assert.throws(() => Object.assign(y.shape, [1000]), TypeError)
  }
})

test('what is no array, or no shape, makes no tensor', () => {
  const make = device.tensor.bind(device) as (...given: unknown[]) => Tensor
  for (const data of [
    undefined,
    null,
    3,
    'abc',
    [1, 2],
    {},
    new Float64Array(2),
    new DataView(new ArrayBuffer(8)),
    new ArrayBuffer(8),
  ]) {
    assert.throws(() => make(data), { code: 'ERR_DTYPE' }, String(data))
  }
  assert.throws(() => make(new Uint16Array(2)), { code: 'ERR_DTYPE', fix: /bf16/ })
  assert.throws(() => make(new Uint16Array(2), [2], 'f32'), { code: 'ERR_DTYPE' })
  assert.throws(() => make(new Float32Array(2), [2], 'toString'), { code: 'ERR_DTYPE' })
  assert.equal(make(new Uint16Array(2), [2], 'bf16').dtype, 'bf16')
  for (const shape of [[3], [2, 2], [-2, -1], [0.5, 4], [Number.NaN], ['2'], [2n], '2', 2, {}]) {
    assert.throws(() => make(new Float32Array(2), shape), { code: 'ERR_SHAPE' }, String(shape))
  }
  assert.throws(() => make(new Float32Array(2), [2 ** 40, 2 ** 40]), { code: 'ERR_SIZE' })
  const gone = new Float32Array(2)
  structuredClone(gone.buffer, { transfer: [gone.buffer] })
  assert.throws(() => make(gone), { code: 'ERR_DETACHED' })
})

test('empty and zeros make memory of every type, and refuse what cannot be', () => {
  for (const dtype of ['f32', 'bf16', 'f16', 'i32', 'u8'] as const) {
    const zeros = device.zeros([3, 2], dtype)
    assert.deepEqual([...zeros.data], [0, 0, 0, 0, 0, 0])
    assert.equal(device.empty([3, 2], dtype).byteLength, zeros.byteLength)
  }
  const empty = device.empty.bind(device) as (...given: unknown[]) => Tensor
  assert.throws(() => empty([1], 'f64'), { code: 'ERR_DTYPE' })
  assert.throws(() => empty([-1]), { code: 'ERR_SHAPE' })
  assert.throws(() => empty(3), { code: 'ERR_SHAPE' })
  assert.throws(() => empty([2 ** 44]), { code: 'ERR_OUT_OF_MEMORY' })
  assert.throws(() => empty([2 ** 30, 2 ** 30]), { code: 'ERR_SIZE' })
})

test('views and reshapes share memory and stay inside it', () => {
  const tensor = device.tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3])
  assert.deepEqual([...tensor.view(3, [3]).data], [4, 5, 6])
  assert.deepEqual(tensor.reshape([3, 2]).shape, [3, 2])
  tensor.view(1, [2]).data[0] = 20
  assert.equal(tensor.data[1], 20)
  for (const [offset, shape] of [
    [4, [3]],
    [-1, [1]],
    [0.5, [1]],
    [Number.NaN, [1]],
    [0, [-2, -3]],
    [0, [1.5]],
  ] as const) {
    assert.throws(() => tensor.view(offset, shape), { code: 'ERR_SHAPE' }, `${offset}, [${shape}]`)
  }
  assert.throws(() => tensor.reshape([4]), { code: 'ERR_SHAPE' })
  assert.throws(() => tensor.reshape([-2, -3]), { code: 'ERR_SHAPE' })
})

test('reading copies, writing is checked', async () => {
  const tensor = device.tensor(Float32Array.of(1, 2, 3))
  const [now, later] = [tensor.readSync(), await tensor.read()]
  tensor.data[0] = 9
  assert.deepEqual([now[0], later[0]], [1, 1])
  tensor.write(Float32Array.of(4, 5, 6))
  assert.deepEqual([...tensor.data], [4, 5, 6])
  const write = tensor.write.bind(tensor) as (data: unknown) => void
  assert.throws(() => write(new Float32Array(2)), { code: 'ERR_SHAPE' })
  for (const data of [new Float64Array(3), new Int32Array(3), [1, 2, 3], null, undefined]) {
    assert.throws(() => write(data), { code: 'ERR_DTYPE' }, String(data))
  }
  assert.deepEqual([...tensor.data], [4, 5, 6])
  assert.throws(() => tensor.item(), { code: 'ERR_SHAPE' })
  assert.equal(tensor.view(1, [1]).item(), 5)
})

test('a disposed tensor says so, and the others in its memory live on', async () => {
  const tensor = device.tensor(Float32Array.of(3, 4))
  const view = tensor.view(0, [2])
  tensor.dispose()
  tensor[Symbol.dispose]()
  assert.equal(tensor.disposed, true)
  for (const use of [
    () => tensor.data,
    () => tensor.readSync(),
    () => tensor.item(),
    () => tensor.view(0, [1]),
    () => tensor.write(new Float32Array(2)),
  ]) {
    assert.throws(use, (error: { code: string }) => error.code === 'ERR_DISPOSED' || error.code === 'ERR_SHAPE')
  }
  await assert.rejects(tensor.read(), { code: 'ERR_DISPOSED' })
  assert.equal(gradNorm({ grad: view }).norm.item(), 5)
})

test('plain arrays run on one shared device, and results are tensors of it', () => {
  const first = gradNorm({ grad: Float32Array.of(3, 4) })
  const second = gradNorm({ grad: Float32Array.of(6, 8) })
  assert.ok(first.norm instanceof Tensor)
  assert.equal(first.norm.device, second.norm.device)
  assert.equal(second.norm.item(), 10)
})

test('stats are read from stats, and only from stats', () => {
  const { y } = whiten({ x: new Float32Array(3) })
  assert.throws(() => readStats(y), { code: 'ERR_ARGUMENT' })
  assert.throws(() => mergeStats(), { code: 'ERR_ARGUMENT' })
})

const transparent = '/sys/kernel/mm/transparent_hugepage/enabled'
const hasHugePages = existsSync(transparent) && !readFileSync(transparent, 'utf8').includes('[never]')

test('large memory is asked for in pages of megabytes', { skip: !hasHugePages && 'the system has none' }, async () => {
  /** Bytes of this process's memory that is asked for so: proc(5), VmFlags of smaps. */
  const asked = (): number =>
    readFileSync('/proc/self/smaps', 'utf8')
      .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
      .filter((mapping) => /^VmFlags:.* hg\b/m.test(mapping))
      .reduce((sum, mapping) => sum + 1024 * Number(/^Size:\s+(\d+) kB$/m.exec(mapping)![1]), 0)
  const device = await openDevice('cpu')
  const before = asked()
  const small = device.empty([1024])
  assert.equal(asked(), before)
  const large = device.empty([16 * 2 ** 20])
  assert.ok(asked() - before >= 63 * 2 ** 20, `${asked() - before} bytes`)
  large.dispose()
  small.dispose()
  device.dispose()
})
