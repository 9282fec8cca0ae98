import type { Device } from '../device.ts'
import type { Dtype } from '../dtype.ts'
import { BYTES, product } from '../dtype.ts'
import { Tensor } from '../tensor.ts'

/**
 * Named memory that is used again every step. Fresh memory costs a page fault every 4 KiB, which is more than most of
 * the model's ops themselves; a name keeps the largest size it ever had.
 */
export class Arena {
  readonly device: Device
  readonly #slabs = new Map<string, Tensor<'u8'>>()

  constructor(device: Device) {
    this.device = device
  }

  /** Memory for `shape` under `name`; what it holds is whatever the last user left. */
  take<D extends Dtype = 'f32'>(name: string, shape: readonly number[], dtype: D = 'f32' as D): Tensor<D> {
    const bytes = product(shape) * BYTES[dtype]
    let slab = this.#slabs.get(name)
    if (slab === undefined || slab.size < bytes) {
      slab?.dispose()
      slab = this.device.empty([Math.ceil((bytes * 1.1) / 64) * 64], 'u8')
      this.#slabs.set(name, slab)
    }
    return new Tensor(this.device, slab.storage, dtype, shape)
  }

  /** Bytes held. */
  get bytes(): number {
    let total = 0
    for (const slab of this.#slabs.values()) total += slab.size
    return total
  }

  dispose(): void {
    for (const slab of this.#slabs.values()) slab.dispose()
    this.#slabs.clear()
  }
}
