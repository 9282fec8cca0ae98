/** Opening a WebGPU device: the caller's own, or one of the platform's adapters. */
import { PrefgradError } from '../../errors.ts'
import { describe, refuse, unknownName } from '../../refuse.ts'
import { WebgpuBackend } from '../webgpu.ts'

export interface WebgpuOptions {
  /** The caller's own device: its buffers can be wrapped, and it is not destroyed on `dispose()`. */
  device?: GPUDevice
  /** Where to ask for an adapter; default: `navigator.gpu`, in Node the optional package `webgpu`. */
  gpu?: GPU
  /** Take a software adapter if there is no other; default: the environment variable PREFGRAD_SOFTWARE_GPU is set. */
  software?: boolean
  /** 'adapter' (the default) asks for all that the adapter allows; 'default' stays within what every device has. */
  limits?: 'adapter' | 'default'
  /** Use subgroups where the device has them; default true. */
  subgroups?: boolean
}

export const WEBGPU_OPTIONS: readonly string[] = [
  'device',
  'gpu',
  'software',
  'limits',
  'subgroups',
] satisfies (keyof WebgpuOptions)[]

/** How a platform finds its GPU object; undefined: it has none, and `why` it could not. */
export type FindGpu = () => Promise<{ gpu?: GPU; why?: string; fix?: string }>

/** Limits that grow with what the adapter has. */
const WANTED = [
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
] as const
const FEATURES = ['subgroups', 'shader-f16'] as const satisfies readonly GPUFeatureName[]

const isSoftware = (info: GPUAdapterInfo): boolean =>
  info.isFallbackAdapter === true ||
  /swiftshader|llvmpipe|lavapipe|softpipe|warp/i.test(`${info.device} ${info.description}`)

const nameOf = (info: GPUAdapterInfo | undefined): string =>
  [info?.description, info?.device, info?.vendor].find((text) => text !== undefined && text !== '') ?? 'unknown adapter'

/** An adapter, or why there is none that may be used. */
export const findAdapter = async (
  options: WebgpuOptions,
  find: FindGpu,
): Promise<{ adapter: GPUAdapter; gpu: GPU } | { why: string; fix: string }> => {
  const found = options.gpu === undefined ? await find() : { gpu: options.gpu }
  if (found.gpu === undefined) {
    return { why: found.why ?? 'this platform has no WebGPU', fix: found.fix ?? "Use openDevice('cpu')." }
  }
  const adapter = await found.gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (adapter === null)
    return { why: 'no WebGPU adapter was found', fix: "Install a GPU driver, or use openDevice('cpu')." }
  const allowed = options.software ?? globalThis.process?.env?.PREFGRAD_SOFTWARE_GPU !== undefined
  if (isSoftware(adapter.info) && !allowed) {
    return {
      why: `the only adapter is ${nameOf(adapter.info)}, which computes in software`,
      fix: 'Ask for it: software: true, or PREFGRAD_SOFTWARE_GPU=1; the cpu device is faster.',
    }
  }
  return { adapter, gpu: found.gpu }
}

/**
 * Opens WebGPU.
 *
 * @throws PrefgradError `ERR_NO_DEVICE`, `ERR_OPTION`
 */
export const openWebgpu = async (options: WebgpuOptions, find: FindGpu): Promise<WebgpuBackend> => {
  if (typeof options !== 'object' || options === null) {
    refuse('ERR_OPTION', `device options must be an object, not ${describe(options)}.`)
  }
  for (const name in options)
    if (!WEBGPU_OPTIONS.includes(name)) {
      unknownName(undefined, 'device option', name, WEBGPU_OPTIONS)
    }
  const { device, subgroups, limits = 'adapter' } = options
  if (limits !== 'adapter' && limits !== 'default') {
    refuse('ERR_OPTION', `limits must be 'adapter' or 'default', and is ${describe(limits)}.`, { arg: 'limits' })
  }
  const more = subgroups === undefined ? {} : { subgroups }
  if (device !== undefined) {
    if (typeof device?.createBuffer !== 'function') {
      refuse('ERR_OPTION', `device must be a GPUDevice, and is ${describe(device)}.`, { arg: 'device' })
    }
    return new WebgpuBackend({ device, name: nameOf(device.adapterInfo), foreign: true, keep: options.gpu, ...more })
  }
  const found = await findAdapter(options, find)
  if ('why' in found) {
    throw new PrefgradError('ERR_NO_DEVICE', `${found.why}.`, { arg: 'device', value: 'webgpu', fix: found.fix })
  }
  const { adapter, gpu } = found
  const own = await adapter.requestDevice({
    requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)),
    requiredLimits: limits === 'default' ? {} : Object.fromEntries(WANTED.map((name) => [name, adapter.limits[name]])),
  })
  return new WebgpuBackend({ device: own, name: nameOf(adapter.info), foreign: false, keep: [gpu, adapter], ...more })
}
