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

export const CONSTRUCTORS = {
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

const TypedArray = Object.getPrototypeOf(Uint8Array.prototype)
const nameOf = Object.getOwnPropertyDescriptor(TypedArray, Symbol.toStringTag)!.get!

/**
 * 'Float32Array' and so on, read from the array's own slot: subclasses and arrays of other realms (`vm`, Jest) say what they
 * hold, and nothing else can pretend to. undefined: no typed array.
 */
export const arrayName = (value: unknown): string | undefined => nameOf.call(value)

const DTYPES: Readonly<Record<string, Dtype>> = { Float32Array: 'f32', Int32Array: 'i32', Uint8Array: 'u8' }

/** Element type of a typed array; undefined for `Uint16Array` (bf16 or f16?) and for arrays that no op takes. */
export const dtypeOf = (array: unknown): Dtype | undefined => DTYPES[arrayName(array) ?? '']

export const holds = (array: unknown, dtype: Dtype): boolean => arrayName(array) === CONSTRUCTORS[dtype]?.name

/** Was its memory transferred away, or shrunk below it? Such an array looks like an empty one, but cannot be walked. */
export const isDead = (array: ArrayBufferView & { length: number }): boolean => {
  if (array.length !== 0) return false
  try {
    TypedArray.values.call(array)
    return false
  } catch {
    return true
  }
}

export const isShared = (buffer: ArrayBufferLike): boolean =>
  !(buffer instanceof ArrayBuffer) && buffer[Symbol.toStringTag] === 'SharedArrayBuffer'

export const product = (shape: readonly number[]): number => {
  let size = 1
  for (let d = 0; d < shape.length; d++) size *= shape[d]
  return size
}
