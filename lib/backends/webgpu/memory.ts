/** GPU buffers: made in sizes that repeat, and used again as soon as nobody holds them. */
import type { Storage } from '../../backend.ts'

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

const SMALLEST = 256
/** Four sizes to each power of two: at most a quarter is wasted. */
const classOf = (bytes: number): number => {
  if (bytes <= SMALLEST) return SMALLEST
  const step = 2 ** (Math.ceil(Math.log2(bytes)) - 3)
  return Math.ceil(bytes / step) * step
}

/** Free bytes above which buffers are destroyed rather than kept. */
const MOST_FREE = 512 * 2 ** 20

export class BufferPool {
  readonly #device: GPUDevice
  readonly #free = new Map<number, GPUBuffer[]>()
  /** Tensors that were never disposed give their memory back when they are collected. */
  readonly #collected = new FinalizationRegistry<GPUBuffer>((buffer) => this.#keep(buffer))
  readonly #ids = new WeakMap<GPUBuffer, number>()
  #freeBytes = 0
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
    const size = Math.min(classOf(bytes), Math.max(this.#device.limits.maxBufferSize, 4 * Math.ceil(bytes / 4)))
    const gpu = this.#free.get(size)?.pop() ?? this.#device.createBuffer({ size, usage: STORAGE_USAGE })
    this.#freeBytes -= this.#known(gpu) ? size : 0
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
    this.#keep(storage.gpu)
  }

  #known(buffer: GPUBuffer): boolean {
    return this.#ids.has(buffer)
  }

  #keep(buffer: GPUBuffer): void {
    if (this.#freeBytes + buffer.size > MOST_FREE) {
      buffer.destroy()
      return
    }
    this.#freeBytes += buffer.size
    const list = this.#free.get(buffer.size)
    if (list === undefined) this.#free.set(buffer.size, [buffer])
    else list.push(buffer)
  }
}
