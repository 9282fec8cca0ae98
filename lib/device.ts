import type { Backend, Storage } from './backend.ts'
import {
  type ArrayOf,
  arrayName,
  BYTES,
  type Dtype,
  dtypeOf,
  holds,
  isDead,
  isShared,
  product,
  viewOf,
} from './dtype.ts'
import { PrefgradError } from './errors.ts'
import { describe, refuse } from './refuse.ts'
import { readShape } from './shape.ts'
import { Tensor } from './tensor.ts'

/** One opened device. Make it with {@link openDevice}. */
export class Device {
  /** @internal */
  readonly backend: Backend
  #open = true

  /** @internal */
  constructor(backend: Backend) {
    this.backend = backend
  }

  get kind(): Backend['kind'] {
    return this.backend.kind
  }

  /** What runs: `cpu:avx512`, `cuda:NVIDIA H200`, ... */
  get name(): string {
    return this.backend.name
  }

  /**
   * A tensor from a typed array. On cpu it wraps the array's memory without a copy. A `Uint16Array` needs `dtype` 'bf16' or
   * 'f16'. `shape` defaults to one dimension.
   */
  tensor<A extends Float32Array | Int32Array | Uint8Array | Uint16Array>(
    data: A,
    shape?: readonly number[],
    dtype?: Dtype,
  ): Tensor<
    A extends Float32Array ? 'f32' : A extends Int32Array ? 'i32' : A extends Uint8Array ? 'u8' : 'bf16' | 'f16'
  > {
    this.#check()
    const type = dtype ?? dtypeOf(data)
    if (type === undefined || !holds(data, type)) {
      const what = arrayName(data) ?? describe(data)
      refuse('ERR_DTYPE', `a tensor cannot be made of ${what}${dtype === undefined ? '' : ` as ${describe(dtype)}`}.`, {
        arg: 'data',
        value: what,
        fix: "Use Float32Array, Int32Array or Uint8Array, or a Uint16Array with dtype 'bf16' or 'f16'.",
      })
    }
    if (isDead(data)) {
      const fix = 'Do not transfer or resize a buffer that is still used.'
      refuse('ERR_DETACHED', 'the memory of data was detached or shrunk.', { arg: 'data', fix })
    }
    const sizes = readShape(shape ?? [data.length], 'shape')
    if (product(sizes) !== data.length) {
      refuse('ERR_SHAPE', `shape [${sizes}] does not fit an array of ${data.length} elements.`, {
        arg: 'shape',
        value: sizes,
      })
    }
    if (isShared(data.buffer)) {
      const fix = 'Copy it: array.slice().'
      refuse('ERR_SHARED_BUFFER', 'a tensor cannot live in a SharedArrayBuffer.', { arg: 'data', fix })
    }
    type Made = ReturnType<typeof this.tensor<A>>
    if (this.kind === 'cpu') {
      const buffer = data.buffer as ArrayBuffer
      const storage: Storage = { bytes: buffer.byteLength, buffer }
      return new Tensor(this, storage, type as Dtype, sizes, data.byteOffset) as unknown as Made
    }
    const tensor = this.empty(sizes, type as Dtype)
    tensor.write(data as ArrayOf[Dtype])
    return tensor as unknown as Made
  }

  /** A tensor whose elements are not set to anything in particular. */
  empty(shape: readonly number[]): Tensor<'f32'>
  empty<D extends Dtype>(shape: readonly number[], dtype: D): Tensor<D>
  empty(shape: readonly number[], dtype: Dtype = 'f32'): Tensor {
    this.#check()
    if (!Object.hasOwn(BYTES, dtype)) {
      const fix = `Use one of ${Object.keys(BYTES).join(', ')}.`
      refuse('ERR_DTYPE', `there is no element type ${describe(dtype)}.`, { arg: 'dtype', value: dtype, fix })
    }
    const sizes = readShape(shape, 'shape')
    return new Tensor(this, this.backend.alloc(product(sizes) * BYTES[dtype]), dtype, sizes)
  }

  /**
   * A tensor in the caller's own GPUBuffer, without a copy: webgpu only. The buffer needs the usages STORAGE, COPY_SRC and
   * COPY_DST, and stays the caller's: `dispose()` lets go of it. Commands of the caller's on it must be submitted before calls that
   * use it; {@link Device.flush} submits what this device has encoded.
   */
  wrap<D extends Dtype>(buffer: GPUBuffer, shape: readonly number[], dtype: D, byteOffset = 0): Tensor<D> {
    this.#check()
    const { wrap } = this.backend
    if (wrap === undefined) {
      const fix = "Use device.tensor(typedArray), or openDevice('webgpu', { device })."
      return refuse('ERR_DEVICE_MISMATCH', `${this.name} has no GPU buffers to wrap.`, { fix })
    }
    const sizes = readShape(shape, 'shape')
    const bytes = product(sizes) * BYTES[dtype]
    if (!Number.isSafeInteger(byteOffset) || byteOffset < 0 || byteOffset % BYTES[dtype] !== 0) {
      refuse('ERR_SHAPE', `byteOffset must be a multiple of ${BYTES[dtype]}, and is ${describe(byteOffset)}.`)
    }
    if (byteOffset + bytes > buffer.size) {
      refuse('ERR_SHAPE', `[${sizes}] ${dtype} at byte ${byteOffset} does not fit a buffer of ${buffer.size} bytes.`)
    }
    return new Tensor(this, wrap.call(this.backend, buffer), dtype, sizes, byteOffset)
  }

  /**
   * A tensor in memory of this GPU that another addon made, without a copy: cuda only. Unsafe: nothing can check that `pointer`
   * is the address of as many bytes, that they stay there as long as the tensor is used, or that other streams are done with
   * them. The memory stays the caller's: `dispose()` lets go of it.
   */
  wrapPointer<D extends Dtype>(pointer: bigint, shape: readonly number[], dtype: D): Tensor<D> {
    this.#check()
    const { backend } = this
    if (backend.wrapPointer === undefined) {
      return refuse('ERR_DEVICE_MISMATCH', `${this.name} has no device pointers to wrap.`, {
        fix: 'Use device.tensor(typedArray).',
      })
    }
    if (!Object.hasOwn(BYTES, dtype)) {
      const fix = `Use one of ${Object.keys(BYTES).join(', ')}.`
      refuse('ERR_DTYPE', `there is no element type ${describe(dtype)}.`, { arg: 'dtype', value: dtype, fix })
    }
    if (typeof pointer !== 'bigint' || pointer <= 0n || pointer > BigInt(Number.MAX_SAFE_INTEGER)) {
      refuse('ERR_ARGUMENT', `pointer must be a device address as a bigint, and is ${describe(pointer)}.`, {
        arg: 'pointer',
        value: pointer,
      })
    }
    if (Number(pointer) % BYTES[dtype] !== 0) {
      refuse('ERR_ARGUMENT', `pointer must be a multiple of ${BYTES[dtype]}, the size of ${dtype}.`, { arg: 'pointer' })
    }
    return new Tensor(this, backend.wrapPointer(pointer), dtype, readShape(shape, 'shape'))
  }

  /** The CUstream that calls are enqueued on, for other addons: cuda only. */
  get stream(): bigint {
    this.#check()
    const { stream } = this.backend
    if (stream === undefined) return refuse('ERR_DEVICE_MISMATCH', `${this.name} has no CUDA stream.`)
    return stream
  }

  /**
   * The elements of several tensors with one wait for the device: copies, but on cpu, where nothing is waited for, the tensors' own
   * memory.
   */
  async read<D extends Dtype>(tensors: readonly Tensor<D>[]): Promise<ArrayOf[D][]> {
    this.#check()
    const stranger = tensors.find((tensor) => tensor.device !== this)
    if (stranger !== undefined) {
      refuse('ERR_DEVICE_MISMATCH', `a tensor is on ${stranger.device.name}, and not on ${this.name}.`)
    }
    const { backend } = this
    if (backend.readMany === undefined) return tensors.map((tensor) => tensor.data)
    const bytes = await backend.readMany(tensors)
    return tensors.map(({ dtype, size }, i) => viewOf(dtype, bytes[i], 0, size))
  }

  /** Submits what was encoded, so that the caller's own commands can follow; nothing to do on cpu. */
  flush(): void {
    this.#check()
    this.backend.flush?.()
  }

  /** A tensor of zeros. */
  zeros(shape: readonly number[]): Tensor<'f32'>
  zeros<D extends Dtype>(shape: readonly number[], dtype: D): Tensor<D>
  zeros(shape: readonly number[], dtype: Dtype = 'f32'): Tensor {
    const tensor = this.empty(shape, dtype)
    if (tensor.storage.buffer !== undefined) tensor.data.fill(0)
    else this.backend.write(tensor.storage, 0, new Uint8Array(tensor.byteLength))
    return tensor
  }

  /** Rejects with the first bad value that a kernel met since the last check; nothing to wait for on cpu. */
  async check(): Promise<void> {
    this.#check()
    await this.backend.check?.()
  }

  /** @internal */
  release(storage: Storage): void {
    if (this.#open) this.backend.free(storage)
  }

  get disposed(): boolean {
    return !this.#open
  }

  /** Closes the device; its tensors can no longer be used in calls. */
  dispose(): void {
    if (this.#open) {
      this.#open = false
      this.backend.dispose()
    }
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #check(): void {
    if (!this.#open)
      throw new PrefgradError('ERR_DISPOSED', 'this device was disposed.', { fix: 'Open a new one with openDevice().' })
  }
}
