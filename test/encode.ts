/** Float64 values as the typed arrays that ops take, and back. */
import { BYTES } from '../lib/dtype.ts'
import { round } from './reference/numbers.ts'
import type { Dtype, Values } from './reference/types.ts'

const word = new DataView(new ArrayBuffer(4))

/** Bits of a number that the element type can hold. */
const toBits = (x: number, dtype: 'bf16' | 'f16'): number => {
  if (dtype === 'bf16') {
    word.setFloat32(0, x)
    return word.getUint16(0)
  }
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0
  const size = Math.abs(x)
  if (Number.isNaN(x)) return 0x7e00
  if (size === Number.POSITIVE_INFINITY) return sign | 0x7c00
  if (size < 2 ** -14) return sign | (size / 2 ** -24)
  word.setFloat32(0, size)
  const exponent = (word.getUint16(0) >>> 7) - 127
  return sign | ((exponent + 15) << 10) | ((size / 2 ** exponent - 1) * 1024)
}

const fromBits = (bits: number, dtype: 'bf16' | 'f16'): number => {
  if (dtype === 'bf16') {
    word.setUint16(0, bits)
    word.setUint16(2, 0)
    return word.getFloat32(0)
  }
  const sign = bits & 0x8000 ? -1 : 1
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023]
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
}

type Plain = Float32Array | Int32Array | Uint8Array | Uint16Array

const CONSTRUCTORS = {
  f32: Float32Array,
  bf16: Uint16Array,
  f16: Uint16Array,
  i32: Int32Array,
  u8: Uint8Array,
} as const

/** Bytes around every array that must stay as they are. */
export const GUARD_BYTES = 64
export const GUARD = 0xab

/** An array of `length` at an odd place in a larger buffer whose every other byte is {@link GUARD}. */
export const guarded = (dtype: Dtype, length: number): Plain => {
  const bytes = length * BYTES[dtype]
  const start = GUARD_BYTES + BYTES[dtype]
  const buffer = new ArrayBuffer(start + bytes + GUARD_BYTES)
  new Uint8Array(buffer).fill(GUARD)
  return new CONSTRUCTORS[dtype](buffer, start, length)
}

/** Whether nothing around a {@link guarded} array was written. */
export const guardsHold = (array: Plain): boolean => {
  const all = new Uint8Array(array.buffer)
  const [start, end] = [array.byteOffset, array.byteOffset + array.byteLength]
  return all.every((byte, i) => (i >= start && i < end) || byte === GUARD)
}

/** Values rounded to their element type, as both sides see them. */
export const rounded = (values: Values): Values => ({
  ...values,
  data: Float64Array.from(values.data, (x) => round(x, values.dtype ?? 'f32')),
})

export const encode = (values: Values): { data: Plain; shape: readonly number[]; dtype: Dtype } => {
  const { dtype = 'f32', shape } = values
  const data = guarded(dtype, values.data.length)
  for (let i = 0; i < values.data.length; i++) {
    data[i] = dtype === 'bf16' || dtype === 'f16' ? toBits(values.data[i], dtype) : values.data[i]
  }
  return { data, shape, dtype }
}

export const decode = (data: ArrayLike<number>, dtype: Dtype): ArrayLike<number> =>
  dtype === 'bf16' || dtype === 'f16' ? Float64Array.from(data, (bits) => fromBits(bits, dtype)) : data
