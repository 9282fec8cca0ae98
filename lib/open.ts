/** Opening devices: which there are, which is chosen, and why not the others. */
import { type CpuOptions, loadAddon, openCpu } from './backends/native.ts'
import { Device } from './device.ts'
import { PrefgradError } from './errors.ts'
import { refuse } from './refuse.ts'

export type DeviceName = 'cpu' | 'cuda' | 'webgpu' | 'auto'
export type DeviceOptions = CpuOptions

/** One candidate of the selection list, in order of preference. */
interface Candidate {
  name: Exclude<DeviceName, 'auto'>
  /** undefined: it can be opened; else why not. */
  missing(): string | undefined
  open(options: DeviceOptions): Device
}

const notYet = (name: 'cuda' | 'webgpu'): Candidate => ({
  name,
  missing: () => `this version has no ${name} kernels`,
  open: () =>
    refuse('ERR_NO_DEVICE', `this version has no ${name} kernels.`, {
      arg: 'device',
      value: name,
      fix: "Use openDevice('cpu').",
    }),
})

const candidates: readonly Candidate[] = [
  notYet('cuda'),
  notYet('webgpu'),
  {
    name: 'cpu',
    missing: () => {
      try {
        loadAddon()
        return undefined
      } catch (error) {
        return (error as Error).message
      }
    },
    open: (options) => new Device(openCpu(options)),
  },
]

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
    const found = candidates.find((candidate) => candidate.missing() === undefined)
    if (found !== undefined) return found.open(options)
    throw new PrefgradError(
      'ERR_NO_DEVICE',
      `no device: ${candidates.map((c) => `${c.name} (${c.missing()})`).join('; ')}.`,
    )
  }
  const chosen = candidates.find((candidate) => candidate.name === wanted)
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
export const defaultDevice = (): Device => {
  shared ??= new Device(openCpu())
  return shared
}

/** Says which devices were found, which would be chosen, and why the others were not. */
export const inspect = async (): Promise<Inspection> => {
  const { readFileSync } = await import('node:fs')
  const devices = candidates.map((candidate) => {
    const why = candidate.missing()
    return why === undefined
      ? { name: candidate.name, available: true }
      : { name: candidate.name, available: false, why }
  })
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
