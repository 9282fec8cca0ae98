/** Opening devices: which there are, which is chosen, and why not the others. */
import {
  CUDA_OPTIONS,
  type CudaOptions,
  missingCuda,
  missingEmulator,
  openCuda,
  openEmulator,
} from './backends/cuda/open.ts'
import { CPU_OPTIONS, type CpuOptions, loadAddon, openCpu } from './backends/native.ts'
import { findNodeGpu } from './backends/webgpu/node_gpu.ts'
import { findAdapter, openWebgpu, WEBGPU_OPTIONS, type WebgpuOptions } from './backends/webgpu/open.ts'
import { setDefaultDevice } from './default_device.ts'
import { Device } from './device.ts'
import { PrefgradError } from './errors.ts'
import { describe, refuse, unknownName } from './refuse.ts'

/** 'cuda:emulated' runs the CUDA kernels on the CPU, for tests; it is opened only by this name. */
export type DeviceName = 'cpu' | 'cuda' | 'webgpu' | 'cuda:emulated' | 'auto'
export type DeviceOptions = CpuOptions & WebgpuOptions & CudaOptions

/** One candidate of the selection list, in order of preference. */
interface Candidate {
  name: Exclude<DeviceName, 'auto'>
  /** undefined: it can be opened; else why not. */
  missing(options: DeviceOptions): Promise<string | undefined>
  open(options: DeviceOptions): Promise<Device>
  /** Options that mean something to it. */
  options: readonly string[]
}

const candidates: readonly Candidate[] = [
  {
    name: 'cuda',
    options: CUDA_OPTIONS,
    missing: async (options) => missingCuda(options),
    open: async (options) => new Device(openCuda(options)),
  },
  {
    name: 'webgpu',
    options: WEBGPU_OPTIONS,
    missing: async (options) => {
      const found = await findAdapter(options, findNodeGpu)
      return 'why' in found ? found.why : undefined
    },
    open: async (options) => new Device(await openWebgpu(options, findNodeGpu)),
  },
  {
    name: 'cpu',
    options: CPU_OPTIONS,
    missing: async () => {
      try {
        loadAddon()
        return undefined
      } catch (error) {
        return (error as Error).message
      }
    },
    open: async (options) => new Device(openCpu(options)),
  },
]

const emulator: Candidate = {
  name: 'cuda:emulated',
  options: CUDA_OPTIONS,
  missing: async () => missingEmulator(),
  open: async (options) => new Device(openEmulator(options)),
}

/** A choice among devices takes the options of all of them; each is told its own. */
const checkOptions = (options: DeviceOptions): void => {
  const known = candidates.flatMap((candidate) => candidate.options)
  if (typeof options !== 'object' || options === null) {
    refuse('ERR_OPTION', `device options must be an object, not ${describe(options)}.`)
  }
  for (const name in options) if (!known.includes(name)) unknownName(undefined, 'device option', name, known)
}
const only = (options: DeviceOptions, names: readonly string[]): DeviceOptions =>
  Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name)))

/**
 * Opens a device. 'auto' (the default) takes the first of cuda, webgpu on a hardware adapter, and cpu that is there;
 * the environment variable PREFGRAD_DEVICE replaces 'auto'. A device that was asked for by name and is not there is an error,
 * never a fallback.
 *
 * @throws PrefgradError `ERR_NO_DEVICE`, `ERR_ADDON`, `ERR_OPTION`
 */
export const openDevice = async (name: DeviceName = 'auto', options: DeviceOptions = {}): Promise<Device> => {
  const wanted = name === 'auto' ? (process.env.PREFGRAD_DEVICE ?? 'auto') : name
  if (wanted === 'auto') {
    checkOptions(options)
    const reasons: string[] = []
    for (const candidate of candidates) {
      // A choice never falls on an adapter that computes in software, unless the call itself asks for one.
      const why = await candidate.missing({ software: false, ...options })
      if (why === undefined) return candidate.open(only(options, candidate.options))
      reasons.push(`${candidate.name} (${why})`)
    }
    throw new PrefgradError('ERR_NO_DEVICE', `no device: ${reasons.join('; ')}.`)
  }
  const chosen = [...candidates, emulator].find((candidate) => candidate.name === wanted)
  if (chosen === undefined) {
    throw new PrefgradError('ERR_NO_DEVICE', `there is no device '${wanted}'.`, {
      arg: 'device',
      value: wanted,
      fix: `Use one of ${candidates.map((c) => c.name).join(', ')} or auto.`,
    })
  }
  return chosen.open(options)
}

/** What {@link inspect} returns. */
export interface Inspection {
  version: string
  node: string
  platform: string
  /** In order of preference; `why` says what stands against it. */
  devices: { name: string; available: boolean; why?: string }[]
  /** What `openDevice()` would open. */
  chosen?: string
  cpu?: { isas: readonly string[]; isa: string; threads: number; kernels: number }
}

let shared: Device | undefined

/** The cpu device that plain typed arrays run on; opened at first use, with all cores. */
setDefaultDevice(() => {
  shared ??= new Device(openCpu())
  return shared
})

/** Says which devices were found, which would be chosen, and why the others were not. */
export const inspect = async (): Promise<Inspection> => {
  const { readFileSync } = await import('node:fs')
  const devices: Inspection['devices'] = []
  for (const { name, missing } of candidates) {
    const why = await missing({ software: false })
    devices.push(why === undefined ? { name, available: true } : { name, available: false, why })
  }
  const forced = process.env.PREFGRAD_DEVICE
  const first = devices.find((device) => device.available)
  const result: Inspection = {
    version: packageVersion(readFileSync),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    devices,
  }
  const chosen = forced ?? first?.name
  if (chosen !== undefined) result.chosen = chosen
  if (devices.some((device) => device.name === 'cpu' && device.available)) {
    const { isas, kernels } = loadAddon()
    const device = openCpu()
    result.cpu = { isas, isa: device.name.slice('cpu:'.length), threads: device.threads, kernels: kernels.length }
    device.dispose()
  }
  return result
}

/** The version in package.json, wherever the library runs from. */
export const packageVersion = (readFileSync: typeof import('node:fs').readFileSync): string => {
  for (const up of ['../package.json', '../../package.json']) {
    try {
      return JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')).version
    } catch {}
  }
  return 'unknown'
}
