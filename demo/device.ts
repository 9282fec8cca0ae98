/** Where the demo runs, and how much of it. */
import { type Device, type DeviceName, openDevice } from '../lib/index.ts'
import { useSoftwareGpu } from '../test/software_gpu.ts'
import { FULL, type Size, SMALL, TINY } from './settings.ts'

/**
 * The device of `--device`. For webgpu, PREFGRAD_SOFTWARE_GPU takes the software adapter that comes with the tests, so that no driver
 * needs to be installed.
 */
export const openDemoDevice = (name: string): Promise<Device> => {
  if (name === 'webgpu' && process.env.PREFGRAD_SOFTWARE_GPU !== undefined) useSoftwareGpu()
  return openDevice(name as DeviceName)
}

/** A GPU in software computes a hundred times slower than the cpu device: it gets a smaller size unasked. */
export const sizeFor = ({ kind, name }: Device, { small, tiny }: { small: boolean; tiny: boolean }): Size => {
  if (tiny || name === 'cuda:emulated') return TINY
  const isSoftware = kind === 'webgpu' && /swiftshader|llvmpipe|lavapipe|softpipe|warp/i.test(name)
  return small || isSoftware ? SMALL : FULL
}
