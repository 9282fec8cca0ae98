/** What the webgpu suites share: devices on a software adapter. */
import type { WebgpuOptions } from '../lib/backends/webgpu/open.ts'
import { type Device, openDevice } from '../lib/index.ts'
import { softwareAdapters } from './software_gpu.ts'

const opened = new Map<string, Promise<Device>>()

/** A device on a software adapter, opened once. */
export const webgpuDevice = (adapter: string, gpu: GPU, options: WebgpuOptions = {}): Promise<Device> => {
  const key = `${adapter} ${JSON.stringify(options)}`
  if (!opened.has(key)) opened.set(key, openDevice('webgpu', { gpu, software: true, ...options }))
  return opened.get(key)!
}

/** Ways to open a device that must all conform: with all that the adapter has, and with what every device has. */
export const variants: Readonly<Record<string, WebgpuOptions>> = {
  subgroups: {},
  'no subgroups, default limits': { subgroups: false, limits: 'default' },
}

export const adapters = await softwareAdapters()
