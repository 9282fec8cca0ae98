/** Memory of a CUDA device: taken from the driver in sizes that repeat, and used again as soon as nobody holds it. */
import type { Storage } from '../../backend.ts'
import { FreeList, sizeClass } from '../free_list.ts'

export interface CudaStorage extends Storage {
  readonly pointer: number
  /** The caller's own memory: never given back. */
  readonly foreign: boolean
  users: number
}

interface Piece {
  pointer: number
  size: number
}

export class CudaPool {
  readonly #alloc: (bytes: number) => number
  readonly #exact: boolean
  readonly #free: FreeList<Piece>
  readonly #pieces = new WeakMap<CudaStorage, Piece>()
  /** Tensors that were never disposed give their memory back when they are collected. */
  readonly #collected: FinalizationRegistry<Piece>
  readonly #drop: (pointer: number) => void
  /** Held by tensors. */
  readonly #live = new Set<Piece>()
  #usedBytes = 0

  /**
   * @param alloc the pointer, or below 0 when the driver refuses
   * @param drop gives memory back to the driver
   * @param exact pieces are as large as was asked for and never used again, so that a step beyond one shows
   */
  constructor(alloc: (bytes: number) => number, drop: (pointer: number) => void, exact: boolean) {
    this.#alloc = alloc
    this.#drop = drop
    this.#exact = exact
    this.#free = new FreeList((piece) => drop(piece.pointer), exact ? 0 : undefined)
    this.#collected = new FinalizationRegistry((piece) => this.#giveBack(piece))
  }

  /** Bytes that tensors hold. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** A piece of memory, or the driver's number, below 0. */
  take(bytes: number): CudaStorage | number {
    const size = this.#exact ? Math.max(bytes, 1) : sizeClass(bytes)
    let piece = this.#free.take(size)
    if (piece === undefined) {
      let pointer = this.#alloc(size)
      if (pointer < 0 && this.#free.bytes > 0) {
        // What is kept for later may be just what is missing now.
        this.#free.clear()
        pointer = this.#alloc(size)
      }
      if (pointer < 0) return pointer
      piece = { pointer, size }
    }
    this.#usedBytes += size
    this.#live.add(piece)
    const storage: CudaStorage = { bytes, pointer: piece.pointer, foreign: false, users: 0 }
    this.#collected.register(storage, piece, storage)
    this.#pieces.set(storage, piece)
    return storage
  }

  wrap(pointer: number): CudaStorage {
    return { bytes: Number.POSITIVE_INFINITY, pointer, foreign: true, users: 0 }
  }

  give(storage: CudaStorage): void {
    const piece = this.#pieces.get(storage)
    if (piece === undefined) return
    this.#pieces.delete(storage)
    this.#collected.unregister(storage)
    this.#giveBack(piece)
  }

  /** Gives everything back to the driver, what tensors hold included. */
  dispose(): void {
    this.#free.clear()
    for (const piece of this.#live) this.#drop(piece.pointer)
    this.#live.clear()
    this.#usedBytes = 0
  }

  #giveBack(piece: Piece): void {
    if (!this.#live.delete(piece)) return
    this.#usedBytes -= piece.size
    this.#free.keep(piece.size, piece)
  }
}
