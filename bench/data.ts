/** Inputs of the cases: random, never zeros, the same every time, and made fast enough for a quarter of a gigabyte. */
import { hostMemory } from '../lib/backends/native.ts'
import type { Device } from '../lib/device.ts'
import type { Dtype } from '../lib/dtype.ts'
import { cast } from '../lib/index.ts'
import { Random } from '../lib/random.ts'
import type { Operand } from './types.ts'

const TABLE_BITS = 16
let table: Float32Array | undefined

/** Zeros in memory such as tensors have: NumPy, which reads the inputs of PyTorch, asks the system for the same kind of pages. */
export const zeros = (count: number): Float32Array<ArrayBuffer> => new Float32Array(hostMemory(4 * count))

/** Normal numbers: xorshift32 picks from a table of 65,536 draws. */
export const normals = (count: number, seed: number, deviation = 1, mean = 0): Float32Array<ArrayBuffer> => {
  if (table === undefined) {
    const random = new Random(1)
    table = Float32Array.from({ length: 1 << TABLE_BITS }, () => random.normal())
  }
  const out = zeros(count)
  let bits = Math.imul(seed + 1, 0x9e3779b1) | 1
  for (let i = 0; i < count; i++) {
    bits ^= bits << 13
    bits ^= bits >>> 17
    bits ^= bits << 5
    out[i] = mean + deviation * table[bits >>> (32 - TABLE_BITS)]
  }
  return out
}

export const integers = (count: number, seed: number, below: number): Int32Array<ArrayBuffer> => {
  const random = new Random(seed)
  return Int32Array.from({ length: count }, () => random.integer(below))
}

/** Ones with probability `share`, else zeros. */
export const flags = (count: number, seed: number, share: number): Uint8Array<ArrayBuffer> => {
  const random = new Random(seed)
  return Uint8Array.from({ length: count }, () => (random.next() < share ? 1 : 0))
}

export const f32 = (
  data: Float32Array<ArrayBuffer>,
  shape: readonly number[] = [data.length],
): Operand & { data: Float32Array<ArrayBuffer> } => ({ data, shape, dtype: 'f32' })
export const i32 = (data: Int32Array<ArrayBuffer>, shape: readonly number[] = [data.length]): Operand => ({
  data,
  shape,
  dtype: 'i32',
})
export const u8 = (data: Uint8Array<ArrayBuffer>, shape: readonly number[] = [data.length]): Operand => ({
  data,
  shape,
  dtype: 'u8',
})

/** The same numbers in another element type. */
export const narrowed = (device: Device, operand: Operand, dtype: Dtype): Operand => {
  if (dtype === operand.dtype) return operand
  const x = device.tensor(operand.data as Float32Array<ArrayBuffer>, operand.shape)
  const { y } = cast({ x }, { dtype: dtype as 'bf16' | 'f16' })
  return { data: y.data as Uint16Array<ArrayBuffer>, shape: operand.shape, dtype }
}

/** Any element type as plain numbers. */
export const widened = (device: Device, operand: Operand): ArrayLike<number> => {
  if (operand.dtype !== 'bf16' && operand.dtype !== 'f16') return operand.data
  const x = device.tensor(operand.data as Uint16Array<ArrayBuffer>, operand.shape, operand.dtype)
  return cast({ x }, { dtype: 'f32' }).y.data
}

/** Some rows along the first axis. */
export const pickRows = (operand: Operand, rows: readonly number[]): Operand => {
  const width = operand.shape.slice(1).reduce((a, b) => a * b, 1)
  const data = new (operand.data.constructor as Float32ArrayConstructor)(rows.length * width)
  rows.forEach((row, i) => {
    data.set(operand.data.subarray(row * width, (row + 1) * width) as Float32Array, i * width)
  })
  return { data, shape: [rows.length, ...operand.shape.slice(1)], dtype: operand.dtype }
}
