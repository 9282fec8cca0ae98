import type { Storage } from './backend.ts'
import type { Device } from './device.ts'
import { type ArrayOf, arrayName, BYTES, type Dtype, holds, isDead, product, viewOf } from './dtype.ts'
import { PrefgradError } from './errors.ts'
import { describe } from './refuse.ts'
import { readShape } from './shape.ts'
import type { StatsSpec } from './spec/schema.ts'

/**
 * A shape, an element type, and memory on a device. Tensors are made by `device.tensor(...)`, by ops, or with `view`.
 * Several tensors may share one memory (the outputs of a call lie in one slab).
 */
export class Tensor<D extends Dtype = Dtype> {
  readonly device: Device
  readonly dtype: D
  readonly shape: readonly number[]
  /** Number of elements. */
  readonly size: number
  readonly byteOffset: number
  /** What the slots of a `stats` output mean, said by the op that writes them; see {@link readStats}. */
  statistics?: StatsSpec
  #storage: Storage | undefined
  #data: ArrayOf[D] | undefined

  /** @internal */
  constructor(
    device: Device,
    storage: Storage,
    dtype: D,
    shape: readonly number[],
    byteOffset = 0,
    statistics?: StatsSpec,
  ) {
    this.device = device
    this.dtype = dtype
    this.shape = Object.freeze(shape)
    this.size = product(shape)
    this.byteOffset = byteOffset
    this.statistics = statistics
    this.#storage = storage
    if (storage.users !== undefined) storage.users++
  }

  get byteLength(): number {
    return product(this.shape) * BYTES[this.dtype]
  }

  /** @internal */
  get storage(): Storage {
    if (this.#storage === undefined) {
      throw new PrefgradError('ERR_DISPOSED', 'this tensor was disposed.', { fix: 'Keep it until its last use.' })
    }
    return this.#storage
  }

  get disposed(): boolean {
    return this.#storage === undefined
  }

  /** The elements themselves, without a copy: cpu only; elsewhere use {@link Tensor.read}. */
  get data(): ArrayOf[D] {
    const { buffer } = this.storage
    if (buffer === undefined) {
      throw new PrefgradError(
        'ERR_DEVICE_MISMATCH',
        `.data is only there on cpu; this tensor is on ${this.device.name}.`,
        {
          fix: 'Use await tensor.read().',
        },
      )
    }
    this.#data ??= viewOf(this.dtype, buffer, this.byteOffset, this.size)
    return this.#data
  }

  /**
   * The address on the GPU, for other addons: cuda only. Unsafe: it is good as long as this tensor is, and what calls wrote there
   * has arrived only for work that follows on `device.stream`.
   */
  get devicePointer(): bigint {
    const { pointer } = this.storage
    if (pointer === undefined) {
      throw new PrefgradError('ERR_DEVICE_MISMATCH', `${this.device.name} has no device pointers.`)
    }
    return BigInt(pointer + this.byteOffset)
  }

  /** A copy of the elements; waits for the device. */
  async read(): Promise<ArrayOf[D]> {
    const bytes = await this.device.backend.read(this.storage, this.byteOffset, this.byteLength)
    return viewOf(this.dtype, bytes, 0, this.size)
  }

  /** A copy of the elements, at once (cpu and cuda). */
  readSync(): ArrayOf[D] {
    return viewOf(
      this.dtype,
      this.device.backend.readSync(this.storage, this.byteOffset, this.byteLength),
      0,
      this.size,
    )
  }

  /** The only element of a tensor of size 1 (cpu and cuda). */
  item(): number {
    if (this.size !== 1) {
      throw new PrefgradError('ERR_SHAPE', `item() needs one element, and this tensor has ${this.size}.`)
    }
    return this.storage.buffer === undefined ? Number(this.readSync()[0]) : Number(this.data[0])
  }

  /** Overwrites the elements. */
  write(data: ArrayOf[D]): void {
    if (!holds(data, this.dtype)) {
      throw new PrefgradError(
        'ERR_DTYPE',
        `write() needs ${this.dtype} elements and got ${arrayName(data) ?? describe(data)}.`,
      )
    }
    if (isDead(data)) throw new PrefgradError('ERR_DETACHED', 'the memory of what write() was given is detached.')
    if (data.length !== this.size) {
      throw new PrefgradError('ERR_SHAPE', `write() needs ${this.size} elements and got ${data.length}.`)
    }
    this.device.backend.write(
      this.storage,
      this.byteOffset,
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    )
  }

  /** Part of the same memory: `offset` in elements from the start of this tensor. */
  view(offset: number, shape: readonly number[]): Tensor<D> {
    const sizes = readShape(shape, 'view')
    const size = product(sizes)
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + size > this.size) {
      throw new PrefgradError(
        'ERR_SHAPE',
        `view of ${size} elements at ${describe(offset)} does not fit a tensor of ${this.size}.`,
      )
    }
    return new Tensor(this.device, this.storage, this.dtype, sizes, this.byteOffset + offset * BYTES[this.dtype])
  }

  /** The same elements in another shape. */
  reshape(shape: readonly number[]): Tensor<D> {
    const sizes = readShape(shape, 'reshape')
    if (product(sizes) !== this.size) {
      throw new PrefgradError('ERR_SHAPE', `reshape from [${this.shape}] to [${sizes}] changes the number of elements.`)
    }
    return new Tensor(this.device, this.storage, this.dtype, sizes, this.byteOffset, this.statistics)
  }

  /** Lets the memory go; harmless when called again. The memory itself goes with the last tensor that shares it. */
  dispose(): void {
    if (this.#storage !== undefined) {
      const storage = this.#storage
      if (storage.users === undefined || --storage.users === 0) this.device.release(storage)
      this.#storage = undefined
      this.#data = undefined
    }
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
