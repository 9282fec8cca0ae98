/** A WebGPU device whose queue can be asked for the time, and its clock. */
import { findNodeGpu } from '../lib/backends/webgpu/node_gpu.ts'
import type { WebgpuBackend } from '../lib/backends/webgpu.ts'
import type { Device } from '../lib/device.ts'
import { openDevice } from '../lib/index.ts'
import { softwareGpu } from '../test/software_gpu.ts'

const FEATURE = 'timestamp-query'
const USAGE = { mapRead: 0x01, copySource: 0x04, copyTarget: 0x08, queryResolve: 0x200 } as const
const QUERY_BYTES = 16

/** The same GPU, whose adapters give devices that have timestamps, where they can. */
const withTimestamps = (gpu: GPU): GPU =>
  ({
    requestAdapter: async (options?: GPURequestAdapterOptions) => {
      const adapter = await gpu.requestAdapter(options)
      if (adapter?.features.has(FEATURE)) {
        const request = adapter.requestDevice.bind(adapter)
        adapter.requestDevice = (wanted) =>
          request({ ...wanted, requiredFeatures: [...(wanted?.requiredFeatures ?? []), FEATURE] })
      }
      return adapter
    },
  }) as GPU

/**
 * Opens the webgpu device. `software`: the one that the tests use, which computes on the CPU.
 *
 * @throws PrefgradError `ERR_NO_DEVICE` with what would help
 */
export const openTimed = async (software: boolean): Promise<Device> => {
  const gpu = software ? await softwareGpu() : (await findNodeGpu()).gpu
  // Without a GPU object, opening says what is missing.
  if (gpu === undefined) return openDevice('webgpu')
  const device = await openDevice('webgpu', { gpu: withTimestamps(gpu), ...(software ? { software } : {}) })
  // Some implementations end the process once their GPU object is collected.
  kept.push(gpu)
  return device
}
const kept: GPU[] = []

/** Times what the queue does between two moments. */
export class QueueClock {
  readonly #gpu: GPUDevice
  readonly #queries: GPUQuerySet
  readonly #resolved: GPUBuffer

  /** undefined: the device has no timestamps. */
  static of(device: Device): QueueClock | undefined {
    const { gpu } = device.backend as WebgpuBackend
    return gpu.features.has(FEATURE) ? new QueueClock(gpu) : undefined
  }

  private constructor(gpu: GPUDevice) {
    this.#gpu = gpu
    this.#queries = gpu.createQuerySet({ type: 'timestamp', count: 2 })
    this.#resolved = gpu.createBuffer({ size: QUERY_BYTES, usage: USAGE.queryResolve | USAGE.copySource })
  }

  /** Milliseconds on the device of what `submit` submits. */
  async time(submit: () => void): Promise<number> {
    const read = this.#gpu.createBuffer({ size: QUERY_BYTES, usage: USAGE.mapRead | USAGE.copyTarget })
    try {
      this.#stamp(0)
      submit()
      this.#stamp(1, (encoder) => {
        encoder.resolveQuerySet(this.#queries, 0, 2, this.#resolved, 0)
        encoder.copyBufferToBuffer(this.#resolved, 0, read, 0, QUERY_BYTES)
      })
      await read.mapAsync(1)
      const [begin, end] = new BigUint64Array(read.getMappedRange())
      return Number(end - begin) / 1e6
    } finally {
      read.destroy()
    }
  }

  dispose(): void {
    this.#queries.destroy()
    this.#resolved.destroy()
  }

  /** A pass with nothing in it: its end comes after everything that was submitted before. */
  #stamp(endOfPassWriteIndex: number, then?: (encoder: GPUCommandEncoder) => void): void {
    const encoder = this.#gpu.createCommandEncoder()
    encoder.beginComputePass({ timestampWrites: { querySet: this.#queries, endOfPassWriteIndex } }).end()
    then?.(encoder)
    this.#gpu.queue.submit([encoder.finish()])
  }
}
