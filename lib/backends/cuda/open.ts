/** Finding and opening CUDA devices: the driver on this machine, the kernels beside the addon, or the emulator. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PrefgradError } from '../../errors.ts'
import { compareOps } from '../../handshake.ts'
import { describe, refuse, unknownName } from '../../refuse.ts'
import { CudaBackend } from '../cuda.ts'
import { loadAddon } from '../native.ts'
import { type CudaAddon, troubleOf } from './addon.ts'

export interface CudaOptions {
  /** Which GPU, in the driver's order; default 0. */
  index?: number
  /**
   * How `linear` multiplies: 'exact' (default) in true f32, 'fast' on tensor cores, where both factors are rounded to 11
   * bits (tf32) and sums stay in f32: some 1e-3 of the size of the terms.
   */
  matmul?: 'exact' | 'fast'
}

export const CUDA_OPTIONS: readonly string[] = ['index', 'matmul'] satisfies (keyof CudaOptions)[]

/** Version of CUDA's minor releases: 13000 is 13.0. */
const versionText = (version: number): string => `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`

/** A file of the build, wherever the library runs from: dist/lib/backends/cuda or lib/backends/cuda. */
const built = (...path: string[]): string => {
  const here = dirname(fileURLToPath(import.meta.url))
  const roots = ['../../../..', '../../..'].map((up) => join(here, up, 'build', ...path))
  return roots.find((file) => existsSync(file)) ?? roots[1]
}

const fatbinPath = (): string => built('Release', 'prefgrad.fatbin')
/** Tests choose another build of it: with sanitizers, or of kernels with seeded mistakes. */
const emulatorPath = (): string => process.env.PREFGRAD_EMULATOR ?? built('emulator', 'libprefgrad_cuda_emulated.so')

/** What the kernels were compiled for; written beside them by the build. */
const fatbinNotes = (): { cuda: number; architectures: string[] } =>
  JSON.parse(readFileSync(`${fatbinPath()}.json`, 'utf8'))

const loadCuda = (): CudaAddon => {
  const { cuda } = loadAddon()
  const differences = compareOps(cuda.ops)
  if (differences.length > 0) {
    throw new PrefgradError('ERR_ADDON', `the addon's CUDA ops are not of this version: ${differences.join('; ')}.`, {
      fix: 'Run `npm run build` in the package.',
    })
  }
  return cuda
}

/** Why a GPU cannot be opened, and whether another driver would help. */
interface Lack {
  why: string
  isDriverTooOld?: boolean
}

const lackOf = (options: CudaOptions): Lack | undefined => {
  let addon: CudaAddon
  try {
    addon = loadAddon().cuda
  } catch (error) {
    return { why: (error as Error).message }
  }
  const found = addon.probe('')
  if (found.why !== undefined) return { why: found.why, isDriverTooOld: found.why.includes('too old') }
  const { index = 0 } = options
  const { devices = [], version = 0 } = found
  if (devices.length === 0) return { why: 'the NVIDIA driver sees no GPU' }
  if (index >= devices.length) return { why: `there is no GPU ${index}: the driver sees ${devices.length}` }
  if (!existsSync(fatbinPath())) {
    return { why: 'the kernels were not compiled: run `npm run build:cuda` (needs nvcc of CUDA 13)' }
  }
  const needed = fatbinNotes().cuda
  // Drivers run what any minor release of their own major version compiled.
  if (Math.floor(version / 1000) < Math.floor(needed / 1000)) {
    const why = `the driver is for CUDA ${versionText(version)}, and the kernels need ${versionText(needed)}`
    return { why, isDriverTooOld: true }
  }
  return undefined
}

/** undefined: it can be opened; else why not. */
export const missingCuda = (options: CudaOptions = {}): string | undefined => lackOf(options)?.why

/** undefined: it can be opened; else why not. */
export const missingEmulator = (): string | undefined =>
  existsSync(emulatorPath()) ? undefined : 'the emulator was not built: run `npm run build:emulator` (needs CMake)'

const checkOptions = (options: CudaOptions): void => {
  if (typeof options !== 'object' || options === null) {
    refuse('ERR_OPTION', `device options must be an object, not ${describe(options)}.`)
  }
  for (const name in options) {
    if (!CUDA_OPTIONS.includes(name)) unknownName(undefined, 'device option', name, CUDA_OPTIONS)
  }
  const { index = 0, matmul = 'exact' } = options
  if (!['exact', 'fast'].includes(matmul)) {
    refuse('ERR_OPTION', `matmul must be 'exact' or 'fast', and is ${describe(matmul)}.`, {
      arg: 'matmul',
      value: matmul,
    })
  }
  if (!Number.isSafeInteger(index) || index < 0 || index > 1023) {
    refuse('ERR_OPTION', `index must be a whole number from 0, and is ${describe(index)}.`, {
      arg: 'index',
      value: index,
    })
  }
}

const open = (library: string, fatbin: Uint8Array, options: CudaOptions, emulated: boolean): CudaBackend => {
  const addon = loadCuda()
  const { index = 0, matmul } = options
  const opened = addon.open(library, index, fatbin, emulated, matmul === 'fast')
  if (opened === null) return refuse('ERR_NO_DEVICE', `the driver could not be opened (${addon.probe(library).why}).`)
  if (!('error' in opened)) return new CudaBackend({ addon, opened, exact: emulated })
  const { call, text, name, code } = opened.error
  const words = `${call}: ${text} (${name}, ${code})`
  switch (troubleOf(code)) {
    case 'memory':
      return refuse('ERR_OUT_OF_MEMORY', `the GPU has no memory left to open it (${words}).`, {
        fix: 'Free some of it.',
      })
    case 'driver':
      return refuse('ERR_DRIVER_TOO_OLD', `the NVIDIA driver cannot load the kernels (${words}).`, {
        fix: 'Install a newer driver, or run `npm run build:cuda` here.',
      })
    case 'lost':
      return refuse('ERR_DEVICE_LOST', `the GPU did not answer (${words}).`, {
        fix: 'Try again, or restart the process.',
      })
    default:
      return refuse('ERR_NO_DEVICE', `the GPU could not be opened (${words}).`)
  }
}

/** Opens a GPU. */
export const openCuda = (options: CudaOptions = {}): CudaBackend => {
  checkOptions(options)
  const lack = lackOf(options)
  if (lack !== undefined) {
    const { why, isDriverTooOld = false } = lack
    return refuse(isDriverTooOld ? 'ERR_DRIVER_TOO_OLD' : 'ERR_NO_DEVICE', `no CUDA device: ${why}.`, {
      arg: 'device',
      value: 'cuda',
      fix: isDriverTooOld ? 'Install a newer NVIDIA driver.' : "Use openDevice('cpu') or openDevice('webgpu').",
    })
  }
  return open('', readFileSync(fatbinPath()), options, false)
}

/** Opens the emulator, which runs the CUDA kernels on the CPU, for tests. */
export const openEmulator = (options: CudaOptions = {}): CudaBackend => {
  checkOptions(options)
  const why = missingEmulator()
  if (why !== undefined) return refuse('ERR_NO_DEVICE', `no emulated CUDA device: ${why}.`)
  return open(emulatorPath(), new Uint8Array(8), options, true)
}
