/** A CUDA device: memory, order, captured sequences, and what happens when the driver refuses. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { CudaPool } from '../lib/backends/cuda/memory.ts'
import type { CudaBackend } from '../lib/backends/cuda.ts'
import { loadAddon } from '../lib/backends/native.ts'
import {
  adamw,
  type Device,
  type ErrorCode,
  embedding,
  inspect,
  openDevice,
  PrefgradError,
  rmsNorm,
  sequence,
  tokenLogprobs,
} from '../lib/index.ts'
import { cudaDevice, cudaDevices } from './cuda_world.ts'
import { root } from './root.ts'

const kinds = await cudaDevices()
const emulated = { skip: kinds.includes('cuda:emulated') ? false : 'the emulator is not built' }

/** Bytes of the device that are in use. */
const used = (device: Device): number => {
  const { free, total } = (device.backend as CudaBackend).memory
  return total - free
}

const failing = async <T>(k: number, error: number, body: () => Promise<T>): Promise<T> => {
  process.env.PREFGRAD_EMULATOR_FAIL = `${k}:${error}`
  try {
    return await body()
  } finally {
    delete process.env.PREFGRAD_EMULATOR_FAIL
  }
}

test('the emulator is opened by its name only', emulated, async () => {
  const { devices, chosen } = await inspect()
  assert.ok(!devices.some(({ name }) => name.includes('emulated')))
  assert.notEqual(chosen, 'cuda:emulated')
  using device = await openDevice('cuda:emulated')
  assert.equal(device.name, 'cuda:emulated')
  assert.equal(device.kind, 'cuda')
})

for (const kind of kinds) {
  test(`${kind}: what was written is read, whatever its size and place`, async () => {
    const device = await cudaDevice(kind)
    const large = Float32Array.from({ length: 2_500_001 }, (_, i) => i % 1000)
    using tensor = device.tensor(large)
    assert.deepEqual(await tensor.read(), large)
    assert.deepEqual(tensor.view(1_999_999, [3]).readSync(), large.slice(1_999_999, 2_000_002))
    using bytes = device.tensor(Uint8Array.of(1, 2, 3, 4, 5, 6, 7), [7])
    bytes.view(1, [3]).write(Uint8Array.of(20, 30, 40))
    assert.deepEqual(await bytes.read(), Uint8Array.of(1, 20, 30, 40, 5, 6, 7))
    using zeros = device.zeros([3, 5])
    const [first, second] = await device.read([zeros, bytes.view(6, [1])] as never[])
    assert.deepEqual([...(first as Float32Array), ...(second as Uint8Array)], [...new Array(15).fill(0), 7])
    using nothing = device.tensor(new Float32Array(0), [0])
    assert.equal((await nothing.read()).length, 0)
    assert.throws(() => tensor.data, { code: 'ERR_DEVICE_MISMATCH' })
  })

  test(`${kind}: a read sees what was enqueued before it, and nothing of what comes after`, async () => {
    const device = await cudaDevice(kind)
    using x = device.tensor(Float32Array.of(3, 4), [1, 2])
    using weight = device.tensor(Float32Array.of(1, 1))
    const { y } = rmsNorm({ x, weight })
    const before = y.read()
    weight.write(Float32Array.of(10, 10))
    rmsNorm({ x, weight }, {}, { out: { y } })
    const after = y.read()
    const [one, ten] = [await before, await after]
    assert.ok(Math.abs(one[0] - 3 / Math.sqrt(12.5)) < 1e-5, `${one[0]}`)
    assert.ok(Math.abs(ten[0] - 30 / Math.sqrt(12.5)) < 1e-4, `${ten[0]}`)
  })

  test(`${kind}: memory has an address, and what others allocated can be wrapped`, async () => {
    const device = await cudaDevice(kind)
    assert.equal(typeof device.stream, 'bigint')
    assert.ok(device.stream > 0n)
    const mine = device.tensor(Float32Array.of(1, 2, 3, 4))
    const theirs = device.wrapPointer(mine.view(2, [2]).devicePointer, [2], 'f32')
    assert.deepEqual(await theirs.read(), Float32Array.of(3, 4))
    theirs.write(Float32Array.of(30, 40))
    theirs.dispose()
    assert.deepEqual(await mine.read(), Float32Array.of(1, 2, 30, 40), 'letting go frees nothing')
    mine.dispose()
    assert.throws(() => device.wrapPointer(0n, [1], 'f32'), { code: 'ERR_ARGUMENT', arg: 'pointer' })
    assert.throws(() => device.wrapPointer(6n, [1], 'f32'), { code: 'ERR_ARGUMENT', arg: 'pointer' })
    assert.throws(() => device.wrapPointer(16 as never, [1], 'f32'), { code: 'ERR_ARGUMENT', arg: 'pointer' })
    using cpu = await openDevice('cpu')
    assert.throws(() => cpu.stream, { code: 'ERR_DEVICE_MISMATCH' })
    assert.throws(() => cpu.wrapPointer(16n, [1], 'f32'), { code: 'ERR_DEVICE_MISMATCH' })
    assert.throws(() => cpu.tensor(Float32Array.of(1)).devicePointer, { code: 'ERR_DEVICE_MISMATCH' })
  })

  test(`${kind}: a bad value is said at the next read, once, with its place`, async () => {
    const device = await cudaDevice(kind)
    using table = device.tensor(new Float32Array(6), [3, 2])
    const ids = (...list: number[]) => device.tensor(Int32Array.from(list))
    const { y } = embedding({ table, ids: ids(0, 1, 7, 9) })
    await assert.rejects(y.read(), { code: 'ERR_ID_RANGE', op: 'embedding', arg: 'ids', index: 2 })
    await device.check()
    assert.deepEqual([...(await y.read())].map(Number.isNaN), [false, false, false, false, true, true, true, true])
    const { logprob } = tokenLogprobs({ logits: table, tokens: ids(0, -1, 1) })
    await assert.rejects(device.check(), { code: 'ERR_ID_RANGE', op: 'tokenLogprobs', index: 1 })
    logprob.dispose()
  })

  test(`${kind}: a captured sequence does what its calls do, with the options of the moment`, async () => {
    const run = async (device: Device, captured: boolean): Promise<Float32Array[]> => {
      const size = 1000
      const start = Float32Array.from({ length: size }, (_, i) => Math.sin(i))
      const [param, m, v] = [device.tensor(start), device.zeros([size]), device.zeros([size])]
      const x = device.tensor(start, [10, 100])
      const norm = rmsNorm.prepare({ x, weight: device.tensor(new Float32Array(100).fill(0.5)) })
      const grad = norm.outputs.y.reshape([size])
      const update = adamw.prepare({ param, grad, m, v, step: device.tensor(Int32Array.of(0)) }, { lr: 1e-3 })
      const whole = sequence([norm, update])
      for (let step = 1; step <= 4; step++) {
        update.set({ lr: 1e-3 / step })
        if (captured) whole.run()
        else for (const call of [norm, update]) call.run()
      }
      whole.dispose()
      assert.throws(() => whole.run(), { code: 'ERR_DISPOSED' })
      return device.read([param, m, v])
    }
    const device = await cudaDevice(kind)
    assert.deepEqual(await run(device, true), await run(device, false))
    using cpu = await openDevice('cpu')
    assert.deepEqual(await run(cpu, true), await run(cpu, false))
    assert.throws(() => sequence([{ run() {}, dispose() {} }]), { code: 'ERR_ARGUMENT', index: 0 })
  })

  test(`${kind}: what does not fit is refused with both sizes, and the device goes on`, async () => {
    const device = await cudaDevice(kind)
    const wanted = 2 ** 45
    const [before, refused] = [used(device), () => device.backend.alloc(wanted)]
    assert.throws(refused, (error: PrefgradError) => {
      assert.equal(error.code, 'ERR_OUT_OF_MEMORY')
      assert.equal(error.value, wanted)
      assert.match(error.message, /no memory for 35184372088832 bytes; \d+ of \d+ are free/)
      return true
    })
    assert.equal(used(device), before)
    assert.deepEqual(await device.tensor(Float32Array.of(1)).read(), Float32Array.of(1))
  })

  test(`${kind}: everything is given back`, async () => {
    const watcher = await cudaDevice(kind)
    const before = used(watcher)
    const device = await openDevice(kind)
    const kept = device.tensor(new Float32Array(100_000))
    rmsNorm({ x: kept.reshape([100, 1000]), weight: device.zeros([1000]) })
    const call = rmsNorm.prepare({ x: kept.reshape([100, 1000]), weight: device.zeros([1000]) })
    sequence([call]).run()
    device.dispose()
    device.dispose()
    assert.equal(used(watcher), before)
    await assert.rejects(kept.read(), { code: 'ERR_DISPOSED' })
    assert.throws(() => call.run(), { code: 'ERR_DISPOSED' })
  })
}

test('memory that was given back is used again, and is let go when the driver has no more', () => {
  const [given, dropped]: [number[], number[]] = [[], []]
  let left = 3
  const pool = new CudaPool(
    (bytes) => {
      if (left === 0) return -2
      left--
      return given.push(bytes) * 4096
    },
    (pointer) => {
      dropped.push(pointer)
      left++
    },
    false,
  )
  const [a, b] = [pool.take(1000), pool.take(10)]
  assert.ok(typeof a === 'object' && typeof b === 'object')
  assert.equal(pool.usedBytes, 1024 + 256)
  pool.give(a)
  pool.give(a)
  assert.equal(pool.usedBytes, 256)
  const again = pool.take(1024)
  assert.ok(typeof again === 'object')
  assert.equal(again.pointer, a.pointer)
  pool.give(again)
  assert.equal(typeof pool.take(5000), 'object')
  assert.deepEqual(given, [1024, 256, 5120])
  // Nothing is left, but what was kept is.
  assert.equal(typeof pool.take(100_000), 'object')
  assert.deepEqual(dropped, [again.pointer])
  assert.equal(pool.take(1e9), -2)
})

test('a library that is no driver, or an old one, says what it lacks', () => {
  const { cuda } = loadAddon()
  assert.match(cuda.probe('/nowhere/libcuda.so').why!, /no NVIDIA driver/)
  assert.match(
    cuda.probe(process.platform === 'linux' ? 'libm.so.6' : '/nowhere').why!,
    /too old: it lacks cuInit|no NVIDIA/,
  )
})

/** Opens, computes, reads and closes; says how it ended. */
const life = async (): Promise<ErrorCode | 'done'> => {
  let device: Device | undefined
  try {
    device = await openDevice('cuda:emulated')
    const x = device.tensor(Float32Array.of(3, 4), [1, 2])
    const weight = device.tensor(Float32Array.of(1, 1))
    const call = rmsNorm.prepare({ x, weight })
    call.run()
    const captured = sequence([call])
    captured.run()
    const y = await call.outputs.y.read()
    assert.ok(Math.abs(y[0] - 3 / Math.sqrt(12.5)) < 1e-5)
    assert.ok(Math.abs(x.readSync()[1] - 4) === 0)
    captured.dispose()
    x.dispose()
    return 'done'
  } catch (error) {
    assert.ok(error instanceof PrefgradError, `${error}`)
    return error.code
  } finally {
    device?.dispose()
  }
}

const FAILURES: readonly [error: number, codes: readonly ErrorCode[]][] = [
  [2, ['ERR_OUT_OF_MEMORY', 'ERR_NO_DEVICE']],
  [700, ['ERR_DEVICE_LOST']],
  [719, ['ERR_DEVICE_LOST']],
  [1, ['ERR_ADDON', 'ERR_NO_DEVICE']],
]

for (const [error, codes] of FAILURES) {
  test(
    `whichever call of the driver fails with ${error}, the error says so, nothing leaks and nothing crashes`,
    emulated,
    async () => {
      const watcher = await cudaDevice('cuda:emulated')
      const before = used(watcher)
      let calls = 0
      let failures = 0
      for (let inARow = 0; inARow < 3; calls++) {
        const ended = await failing(calls + 1, error, life)
        // A failure while things are given back is nobody's business.
        inARow = ended === 'done' ? inARow + 1 : 0
        if (ended !== 'done') {
          failures++
          assert.ok(codes.includes(ended), `call ${calls + 1} failed with ${ended}`)
        }
        assert.equal(used(watcher), before, `call ${calls + 1} left memory behind`)
        assert.ok(calls < 500)
      }
      assert.ok(failures > 30, `${failures} of ${calls} calls were seen to fail`)
      assert.equal(await life(), 'done')
    },
  )
}

test('a lost device says so from then on, and a new one works', emulated, async () => {
  const device = await openDevice('cuda:emulated')
  const x = device.tensor(Float32Array.of(3, 4), [1, 2])
  const call = rmsNorm.prepare({ x, weight: x.reshape([2]) })
  // The context is pushed by the first call of the driver, and the kernel launched by a later one.
  await failing(2, 700, async () => {
    assert.throws(() => x.readSync(), { code: 'ERR_DEVICE_LOST' })
  })
  assert.throws(() => call.run(), { code: 'ERR_DEVICE_LOST', fix: /new device/ })
  await assert.rejects(x.read(), { code: 'ERR_DEVICE_LOST' })
  assert.throws(() => device.zeros([1]), { code: 'ERR_DEVICE_LOST' })
  device.dispose()
  assert.equal(await life(), 'done')
})

test('the process ends by itself, whatever is still open', emulated, () => {
  const program = `
    const { openDevice, rmsNorm, sequence } = await import('${join(root, 'dist/lib/index.js')}')
    const device = await openDevice('cuda:emulated')
    const x = device.tensor(new Float32Array(8).fill(2), [2, 4])
    const call = rmsNorm.prepare({ x, weight: device.zeros([4]) })
    const step = sequence([call])
    step.run()
    call.outputs.y.read().then(() => console.log('read'))
    globalThis.kept = [device, step]
    if (process.argv[1] === 'exit') process.exit(0)`
  for (const how of ['wait', 'exit']) {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program, how], {
      encoding: 'utf8',
    })
    assert.deepEqual([status, stderr], [0, ''], how)
    assert.equal(stdout, how === 'wait' ? 'read\n' : '')
  }
})
