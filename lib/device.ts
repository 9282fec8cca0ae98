import type { Backend, Storage } from './backend.ts'
import { type ArrayOf, BYTES, type Dtype, dtypeOf, holds, product } from './dtype.ts'
import { PrefgradError } from './errors.ts'
import { Tensor } from './tensor.ts'

/** Shapes are plain non-negative integers whose product can be addressed. */
export const checkShape = (shape: readonly number[], arg: string, op?: string): number => {
  for (const n of shape) {
    if (!Number.isSafeInteger(n) || n < 0) {
      throw new PrefgradError('ERR_SHAPE', `${arg} has shape [${shape}], and ${n} is not a size.`, {
        op,
        arg,
        value: n,
      })
    }
  }
  const size = product(shape)
  if (!Number.isSafeInteger(size * 8)) {
    throw new PrefgradError('ERR_SIZE', `${arg} with shape [${shape}] has more elements than can be addressed.`, {
      op,
      arg,
      value: shape,
    })
  }
  return size
}

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
    shape: readonly number[] = [data.length],
    dtype?: Dtype,
  ): Tensor<
    A extends Float32Array ? 'f32' : A extends Int32Array ? 'i32' : A extends Uint8Array ? 'u8' : 'bf16' | 'f16'
  > {
    this.#check()
    const type = dtype ?? dtypeOf(data)
    if (type === undefined || !holds(data, type)) {
      throw new PrefgradError(
        'ERR_DTYPE',
        `a ${data?.constructor?.name ?? typeof data} cannot hold ${type ?? 'an element type of its own'}.`,
        {
          fix: "Use Float32Array, Int32Array or Uint8Array, or a Uint16Array with dtype 'bf16' or 'f16'.",
        },
      )
    }
    if (checkShape(shape, 'shape') !== data.length) {
      throw new PrefgradError(
        'ERR_SHAPE',
        `shape [${shape}] has ${product(shape)} elements, and the array has ${data.length}.`,
      )
    }
    type Made = ReturnType<typeof this.tensor<A>>
    if (this.kind === 'cpu') {
      if (!(data.buffer instanceof ArrayBuffer)) {
        throw new PrefgradError('ERR_SHARED_BUFFER', 'a tensor cannot live in a SharedArrayBuffer.', {
          fix: 'Copy it: array.slice().',
        })
      }
      const storage: Storage = { bytes: data.buffer.byteLength, buffer: data.buffer }
      return new Tensor(this, storage, type, [...shape], data.byteOffset) as unknown as Made
    }
    const tensor = this.empty(shape, type)
    tensor.write(data as ArrayOf[typeof type])
    return tensor as unknown as Made
  }

  /** A tensor whose elements are not set to anything in particular. */
  empty<D extends Dtype = 'f32'>(shape: readonly number[], dtype: D = 'f32' as D): Tensor<D> {
    this.#check()
    const bytes = checkShape(shape, 'shape') * BYTES[dtype]
    return new Tensor(this, this.backend.alloc(bytes), dtype, [...shape])
  }

  /** A tensor of zeros. */
  zeros<D extends Dtype = 'f32'>(shape: readonly number[], dtype: D = 'f32' as D): Tensor<D> {
    const tensor = this.empty(shape, dtype)
    if (tensor.storage.buffer !== undefined) tensor.data.fill(0)
    else this.backend.write(tensor.storage, 0, new Uint8Array(tensor.byteLength))
    return tensor
  }

  /** Rejects with the first bad value that a kernel met since the last check; nothing to wait for on cpu. */
  async check(): Promise<void> {
    this.#check()
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
