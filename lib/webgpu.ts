/**
 * prefgrad for browsers and for whoever wants WebGPU alone: the same ops on a GPUDevice, and nothing of Node.
 *
 * ```js
 * import { openDevice, bradleyTerryLoss } from 'prefgrad/webgpu'
 * const device = await openDevice()
 * const { loss, gradChosen } = bradleyTerryLoss({ chosen: device.tensor(a), rejected: device.tensor(b) })
 * console.log(await loss.read())
 * ```
 *
 * @module
 */
import { type FindGpu, openWebgpu, type WebgpuOptions } from './backends/webgpu/open.ts'
import { Device } from './device.ts'
import { refuse } from './refuse.ts'

export type { WebgpuOptions } from './backends/webgpu/open.ts'
export type { WebgpuCounters } from './backends/webgpu.ts'
export { Device } from './device.ts'
export type { Dtype } from './dtype.ts'
export { type ErrorCode, type ErrorDetails, PrefgradError } from './errors.ts'
export type { Op, PreparedCall } from './op.ts'
export * from './ops.ts'
export { type Preset, type PresetName, preset } from './presets.ts'
export { type Sequence, sequence } from './sequence.ts'
export { type OpName, type OpTable, table } from './spec/index.ts'
export { mergeStats, readStats, statsOf } from './stats.ts'
export { Tensor } from './tensor.ts'
export type { InputsOf, OptionsOf, OutputsOf, TensorLike } from './types.ts'

const findGpu: FindGpu = async () => {
  const gpu = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu
  return gpu === undefined
    ? {
        why: 'navigator.gpu is not there',
        fix: 'Use a browser with WebGPU, over https or on localhost; in Node give { gpu }.',
      }
    : { gpu }
}

/**
 * Opens WebGPU: the caller's own device, or the platform's best adapter. In a browser a software adapter is taken too, unless
 * `software: false` says otherwise: there is nothing else to fall back to.
 *
 * @throws PrefgradError `ERR_NO_DEVICE`, `ERR_OPTION`
 */
export const openDevice = async (name: 'webgpu' | 'auto' = 'auto', options: WebgpuOptions = {}): Promise<Device> => {
  if (name !== 'webgpu' && name !== 'auto') {
    refuse('ERR_NO_DEVICE', `there is no device '${name}' in prefgrad/webgpu.`, {
      arg: 'device',
      value: name,
      fix: "Use openDevice('webgpu'), or import from 'prefgrad'.",
    })
  }
  return new Device(await openWebgpu({ software: true, ...options }, findGpu))
}
