/** Element types: sizes, the typed arrays that hold them, and the rows' words for them. */
import type { Dtype } from './spec/schema.ts'

export type { Dtype } from './spec/schema.ts'

/** The typed array that holds an element type; bf16 and f16 are bit patterns in a `Uint16Array`. */
export interface ArrayOf {
  f32: Float32Array
  bf16: Uint16Array
  f16: Uint16Array
  i32: Int32Array
  u8: Uint8Array
}

export const BYTES: Readonly<Record<Dtype, number>> = { f32: 4, bf16: 2, f16: 2, i32: 4, u8: 1 }

const CONSTRUCTORS = {
  f32: Float32Array,
  bf16: Uint16Array,
  f16: Uint16Array,
  i32: Int32Array,
  u8: Uint8Array,
} as const

export const viewOf = <D extends Dtype>(
  dtype: D,
  buffer: ArrayBuffer,
  byteOffset: number,
  length: number,
): ArrayOf[D] => new CONSTRUCTORS[dtype](buffer, byteOffset, length) as ArrayOf[D]

/** Element type of a typed array; undefined for `Uint16Array` (bf16 or f16?) and for arrays that no op takes. */
export const dtypeOf = (array: ArrayBufferView): Dtype | undefined =>
  array instanceof Float32Array
    ? 'f32'
    : array instanceof Int32Array
      ? 'i32'
      : array instanceof Uint8Array
        ? 'u8'
        : undefined

export const holds = (array: ArrayBufferView, dtype: Dtype): boolean => array instanceof CONSTRUCTORS[dtype]

export const product = (shape: readonly number[]): number => {
  let size = 1
  for (const n of shape) size *= n
  return size
}
