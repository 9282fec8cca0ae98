import type { Device } from '../device.ts'
import type { Dtype } from '../dtype.ts'
import { BYTES, product } from '../dtype.ts'
import { Tensor } from '../tensor.ts'

/** Tensors of different shapes that are kept for a name; the one that was not taken for the longest time goes. */
const MOST_SHAPES = 4

/** Memory of a name, and the tensors in it, the last taken first. */
interface Slab {
  memory: Tensor<'u8'>
  tensors: Tensor[]
}

const isLike = (tensor: Tensor, shape: readonly number[], dtype: Dtype): boolean => {
  if (tensor.dtype !== dtype || tensor.shape.length !== shape.length) return false
  for (let d = 0; d < shape.length; d++) if (tensor.shape[d] !== shape[d]) return false
  return true
}

/**
 * Named memory that is used again every step. Fresh memory costs a page fault every 4 KiB, which is more than most of
 * the model's ops themselves; a name keeps the largest size it ever had.
 */
export class Arena {
  readonly device: Device
  readonly #slabs = new Map<string, Slab>()

  constructor(device: Device) {
    this.device = device
  }

  /**
   * Memory for `shape` under `name`; what it holds is whatever the last user left. All shapes of a name lie in the same memory,
   * and the arena lets go of their tensors itself.
   */
  take<D extends Dtype = 'f32'>(name: string, shape: readonly number[], dtype: D = 'f32' as D): Tensor<D> {
    const slab = this.#reserve(name, product(shape) * BYTES[dtype])
    const { tensors } = slab
    const known = tensors.findIndex((tensor) => isLike(tensor, shape, dtype))
    if (known === 0) return tensors[0] as Tensor<D>
    const tensor = known > 0 ? tensors.splice(known, 1)[0] : new Tensor(this.device, slab.memory.storage, dtype, shape)
    if (tensors.unshift(tensor) > MOST_SHAPES) tensors.pop()!.dispose()
    return tensor as Tensor<D>
  }

  #reserve(name: string, bytes: number): Slab {
    const old = this.#slabs.get(name)
    if (old !== undefined && old.memory.size >= bytes) return old
    if (old !== undefined) release(old)
    const slab = { memory: this.device.empty([Math.ceil((bytes * 1.1) / 64) * 64], 'u8'), tensors: [] }
    this.#slabs.set(name, slab)
    return slab
  }

  /** Bytes held. */
  get bytes(): number {
    let total = 0
    for (const { memory } of this.#slabs.values()) total += memory.size
    return total
  }

  dispose(): void {
    for (const slab of this.#slabs.values()) release(slab)
    this.#slabs.clear()
  }
}

const release = ({ memory, tensors }: Slab): void => {
  for (const tensor of tensors) tensor.dispose()
  memory.dispose()
}
