/** How matrix products are dealt to threads; kernels/common/gemm.h fills one tile of the result. */
import { blocks } from './schema.ts'

/** As kGemmTerms, kGemmGroup: terms that are packed at a time, and columns of the right operand. */
const TERMS = 512
const GROUP = 128
/** Numbers of the left operand that are packed at a time: each group of columns reads them once, from the third-level cache. */
const PACKED_ROWS_FLOATS = 196608
/** Rows are whole panels of the micro-kernels, 14 rows (AVX-512) and 6 (AVX2). */
const ROW_STEP = 84
const MOST_ROWS = 12 * ROW_STEP
const MOST_COLUMNS = 1024
/** Multiply-adds below which dividing a tile further costs more than another thread brings. */
const LEAST_WORK = 1 << 20
/** Multiply-adds for each packed number that tiles must be left with where every thread has one already. */
const LEAST_REUSE = 96

export interface Tile {
  rows: number
  columns: number
}

/**
 * The tile of a [rows, columns] product of so many terms. Results do not depend on it, only speed does: large tiles repeat
 * less packing, small ones occupy more threads.
 */
export const gemmTile = (rows: number, columns: number, terms: number, threads: number): Tile => {
  const fitting = PACKED_ROWS_FLOATS / Math.min(Math.max(terms, 1), TERMS)
  const most = Math.min(MOST_ROWS, Math.floor(fitting / ROW_STEP) * ROW_STEP)
  let down = blocks(Math.max(rows, 1), most)
  let across = blocks(Math.max(columns, 1), MOST_COLUMNS)
  const height = () => blocks(rows, down)
  const width = () => blocks(columns, across)
  // A few tiles for each thread even out what else the machine does, as long as they are not packed for too little.
  while (threads > 1 && down * across < 4 * threads && height() * width() * terms >= LEAST_WORK) {
    const wide = width() >= Math.max(height(), 64)
    if (!wide && height() < 28) break
    const [h, w] = wide ? [height(), width() / 2] : [height() / 2, width()]
    if (down * across >= threads && h * w < LEAST_REUSE * (h + w)) break
    if (wide) across *= 2
    else down *= 2
  }
  // An odd tile out would keep one thread busy alone.
  if (down > 1 && (down * across) % threads !== 0) {
    const even = blocks(down, threads) * threads
    if (rows / even >= 14) down = even
  }
  return { rows: Math.max(1, height()), columns: Math.max(1, blocks(width(), 32) * 32) }
}

export const gemmGrid = (rows: number, columns: number, tile: Tile): number =>
  blocks(rows, tile.rows) * blocks(columns, tile.columns)

/** f32 words of scratch that one thread needs: a block of terms of both operands packed, and the sums of cut chains. */
export const gemmScratch = (tile: Tile): number =>
  (2 * tile.rows + 32 + GROUP) * (TERMS + 16) + tile.rows * (tile.columns + 16)

/** In the elements that thread pools count: sixteen multiply-adds cost about as much as one element of a simple op. */
export const gemmWork = (tile: Tile, terms: number): number => (tile.rows * tile.columns * terms) / 16
