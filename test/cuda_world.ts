/** What the cuda suites share: the emulator, under a schedule, and the GPU of this machine where there is one. */
import { type Device, type DeviceOptions, inspect, openDevice } from '../lib/index.ts'

/** Orders in which the emulator lets threads go on. Results must not depend on it. Slow builds of it try fewer. */
export const SCHEDULES = (process.env.PREFGRAD_SCHEDULES ?? 'forward reversed random:1 random:2').split(' ')

/** The emulator reads its environment at every launch. */
export const withSchedule = async <T>(schedule: string, body: () => Promise<T>): Promise<T> => {
  process.env.PREFGRAD_EMULATOR_SCHEDULE = schedule
  try {
    return await body()
  } finally {
    delete process.env.PREFGRAD_EMULATOR_SCHEDULE
  }
}

const opened = new Map<string, Promise<Device>>()

/** A device, opened once for every way to open it. */
export const cudaDevice = (name: 'cuda' | 'cuda:emulated', options: DeviceOptions = {}): Promise<Device> => {
  const key = `${name} ${JSON.stringify(options)}`
  if (!opened.has(key)) opened.set(key, openDevice(name, options))
  return opened.get(key)!
}

/** The CUDA devices that can be opened here: a GPU first. */
export const cudaDevices = async (): Promise<('cuda' | 'cuda:emulated')[]> => {
  const { devices } = await inspect()
  const there = devices.some(({ name, available }) => name === 'cuda' && available)
  const emulated = await cudaDevice('cuda:emulated').then(
    () => true,
    () => false,
  )
  return [...(there ? (['cuda'] as const) : []), ...(emulated ? (['cuda:emulated'] as const) : [])]
}
