/** Shapes that people use, cut down to what this machine's memory and a minute of time allow. */
import { totalmem } from 'node:os'
import { BYTES, type Dtype } from '../../lib/dtype.ts'
import { type FamilyCase, shapeText } from './family.ts'

/** A tensor that no cache holds, and that all implementations go through in about a second. */
const MOST_BYTES = 2 ** 28
/** Every implementation has copies of the largest tensor, in processes of their own. */
const MEMORY_SHARE = 1 / 64

/** Of the machine, or of the container that this runs in. */
const memoryHere = (): number => Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)

/** Most bytes of one tensor of a case. */
const limit = (most: number, memory: number): number => Math.min(most, memory * MEMORY_SHARE)

/**
 * The shape with as many rows as fit, rounded down to a power of two, and a note that says what it stands for. Narrow elements get
 * more rows: as many bytes as others, so that no larger part of them is still in a cache. `memory`: of the machine, in bytes.
 */
export const scaledRows = (
  [N, V]: readonly [number, number],
  dtype: Dtype = 'f32',
  memory = memoryHere(),
): FamilyCase => {
  const fitting = limit(MOST_BYTES, memory) / (BYTES[dtype] * V)
  if (N <= fitting) return { shape: [N, V] }
  const rows = 2 ** Math.floor(Math.log2(fitting))
  return { shape: [rows, V], note: `${shapeText([N, V])} scaled to ${rows} rows` }
}

/** A flat tensor as long as fits, rounded down to a million. Up to `mostBytes` where there is memory for it. */
export const scaledLength = (length: number, mostBytes: number, memory = memoryHere()): FamilyCase => {
  const million = 1_000_000
  const fitting = Math.floor(limit(mostBytes, memory) / 4 / million) * million
  return length <= fitting ? { shape: [length] } : { shape: [fitting], note: `${length} scaled to ${fitting} elements` }
}
