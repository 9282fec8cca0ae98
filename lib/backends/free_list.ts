/** Device memory that was given back and can be used again: pieces come in sizes that repeat. */

/** Four sizes to each power of two: at most a quarter is wasted. */
export const sizeClass = (bytes: number, smallest = 256): number => {
  if (bytes <= smallest) return smallest
  const step = 2 ** (Math.ceil(Math.log2(bytes)) - 3)
  return Math.ceil(bytes / step) * step
}

/** Free bytes above which pieces are let go rather than kept. */
const MOST_FREE = 512 * 2 ** 20

export class FreeList<Piece> {
  readonly #pieces = new Map<number, Piece[]>()
  readonly #drop: (piece: Piece) => void
  readonly #most: number
  #bytes = 0

  /** @param drop gives a piece back for good */
  constructor(drop: (piece: Piece) => void, most = MOST_FREE) {
    this.#drop = drop
    this.#most = most
  }

  /** Bytes that nobody uses. */
  get bytes(): number {
    return this.#bytes
  }

  take(size: number): Piece | undefined {
    const piece = this.#pieces.get(size)?.pop()
    if (piece !== undefined) this.#bytes -= size
    return piece
  }

  keep(size: number, piece: Piece): void {
    if (this.#bytes + size > this.#most) {
      this.#drop(piece)
      return
    }
    this.#bytes += size
    const list = this.#pieces.get(size)
    if (list === undefined) this.#pieces.set(size, [piece])
    else list.push(piece)
  }

  /** Lets everything go. */
  clear(): void {
    for (const list of this.#pieces.values()) for (const piece of list) this.#drop(piece)
    this.#pieces.clear()
    this.#bytes = 0
  }
}
