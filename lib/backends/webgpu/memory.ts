/** GPU buffers: made in sizes that repeat, and used again as soon as nobody holds them. */
import type { Storage } from '../../backend.ts'
import { FreeList, sizeClass } from '../free_list.ts'

export interface GpuStorage extends Storage {
  readonly gpu: GPUBuffer
  /** Tells buffers apart in the keys of bind groups. */
  readonly id: number
  /** The caller's own buffer: never reused, never destroyed. */
  readonly foreign: boolean
  users: number
}

export const STORAGE_USAGE = 0x80 | 0x08 | 0x04 // STORAGE | COPY_DST | COPY_SRC
/** Rounds up to a multiple. */
export const up = (bytes: number, to: number): number => Math.ceil(bytes / to) * to

export class BufferPool {
  readonly #device: GPUDevice
  readonly #free = new FreeList<GPUBuffer>((buffer) => buffer.destroy())
  /** Tensors that were never disposed give their memory back when they are collected. */
  readonly #collected = new FinalizationRegistry<GPUBuffer>((buffer) => this.#free.keep(buffer.size, buffer))
  readonly #ids = new WeakMap<GPUBuffer, number>()
  #nextId = 0

  constructor(device: GPUDevice) {
    this.#device = device
  }

  idOf(buffer: GPUBuffer): number {
    const known = this.#ids.get(buffer)
    if (known !== undefined) return known
    this.#ids.set(buffer, this.#nextId)
    return this.#nextId++
  }

  take(bytes: number): GpuStorage {
    const size = Math.min(sizeClass(bytes), Math.max(this.#device.limits.maxBufferSize, 4 * Math.ceil(bytes / 4)))
    const gpu = this.#free.take(size) ?? this.#device.createBuffer({ size, usage: STORAGE_USAGE })
    const storage: GpuStorage = { bytes, gpu, id: this.idOf(gpu), foreign: false, users: 0 }
    this.#collected.register(storage, gpu, storage)
    return storage
  }

  wrap(gpu: GPUBuffer): GpuStorage {
    return { bytes: gpu.size, gpu, id: this.idOf(gpu), foreign: true, users: 0 }
  }

  give(storage: GpuStorage): void {
    if (storage.foreign) return
    this.#collected.unregister(storage)
    this.#free.keep(storage.gpu.size, storage.gpu)
  }
}
