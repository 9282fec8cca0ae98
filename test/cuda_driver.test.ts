/** How a driver is found: the emulator stands in for libcuda.so.1, beside a copy of the library with kernels of its own. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { cudaDevices } from './cuda_world.ts'
import { root } from './root.ts'

const skip = (await cudaDevices()).includes('cuda:emulated') ? false : 'the emulator is not built'

describe('a machine with a driver', { skip }, () => {
  let folder = ''
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'prefgrad-driver-'))
    for (const part of ['dist/lib', 'dist/kernels', 'package.json', 'build/Release/prefgrad.node']) {
      cpSync(join(root, part), join(folder, part), { recursive: true })
    }
    mkdirSync(join(folder, 'driver'))
    symlinkSync(join(root, 'build/emulator/libprefgrad_cuda_emulated.so'), join(folder, 'driver/libcuda.so.1'))
  })
  after(() => rmSync(folder, { recursive: true }))

  const compileKernels = (): void => {
    // The stand-in has its kernels within itself.
    writeFileSync(join(folder, 'build/Release/prefgrad.fatbin'), new Uint8Array(8))
    writeFileSync(join(folder, 'build/Release/prefgrad.fatbin.json'), '{ "cuda": 13000, "architectures": ["90"] }')
  }

  /** What a program of that copy prints; `device` and `refusal` are there for it. */
  const run = (program: string, env: NodeJS.ProcessEnv = {}): string => {
    const code = `
      import { gradNorm, inspect, openDevice } from ${JSON.stringify(join(folder, 'dist/lib/index.js'))}
      const refusal = (...words) => openDevice(...words).then(({ name }) => name, ({ code, message }) => code + ' ' + message)
      ${program}`
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      encoding: 'utf8',
      env: { ...process.env, PREFGRAD_DEVICE: undefined, LD_LIBRARY_PATH: join(folder, 'driver'), ...env },
    })
    assert.deepEqual([status, stderr], [0, ''])
    return stdout
  }

  test('without compiled kernels is told what to run, and auto takes the cpu', () => {
    const told = run(`console.log(await refusal('cuda')); console.log((await openDevice()).kind)`)
    assert.match(told, /^ERR_NO_DEVICE .*npm run build:cuda.*\ncpu\n$/)
  })

  test('with kernels for it is opened by name and by auto, and computes', () => {
    compileKernels()
    const printed = run(`
      for (const name of ['cuda', 'auto']) {
        const device = await openDevice(name)
        const { norm } = gradNorm({ grad: device.tensor(Float32Array.of(3, 4)) })
        console.log(device.kind, (await norm.read())[0])
      }
      console.log((await inspect()).devices.find(({ name }) => name === 'cuda').available)`)
    assert.equal(printed, 'cuda 5\ncuda 5\ntrue\n')
  })

  test('an older driver is refused with both versions', () => {
    compileKernels()
    const told = run(`console.log(await refusal('cuda'))`, { PREFGRAD_EMULATOR_VERSION: '12080' })
    assert.equal(
      told.split('. ')[0],
      'ERR_DRIVER_TOO_OLD no CUDA device: the driver is for CUDA 12.8, and the kernels need 13.0',
    )
    assert.match(run(`console.log((await openDevice()).kind)`, { PREFGRAD_EMULATOR_VERSION: '12080' }), /^cpu$/m)
  })

  test('a driver of the same major version is taken, whatever its minor', () => {
    compileKernels()
    assert.match(run(`console.log((await openDevice('cuda')).kind)`, { PREFGRAD_EMULATOR_VERSION: '13090' }), /^cuda$/m)
  })

  test('a GPU that is not there is refused with how many there are', () => {
    compileKernels()
    assert.match(
      run(`console.log(await refusal('cuda', { index: 3 }))`),
      /^ERR_NO_DEVICE .*no GPU 3: the driver sees 1/,
    )
  })
})
