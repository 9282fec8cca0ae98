/** Inputs that are drawn once for a block, and repeat. */
import type { Device } from '../../lib/device.ts'
import { BYTES, type Dtype, product } from '../../lib/dtype.ts'
import type { Tensor } from '../../lib/tensor.ts'
import { flags, integers, narrowed, normals } from '../data.ts'
import type { Operand } from '../types.ts'
import type { Input } from './types.ts'

/** A prime: rows of any length begin at ever other places of the block. */
const BLOCK = 4_194_301

const blockLength = (shape: readonly number[]): number => Math.min(BLOCK, product(shape))

/** Normal numbers in an element type; the conversion is done by the cpu device. */
export const normalInput = (
  cpu: Device,
  shape: readonly number[],
  { seed, deviation = 1, mean = 0, dtype = 'f32' }: { seed: number; deviation?: number; mean?: number; dtype?: Dtype },
): Input => {
  const length = blockLength(shape)
  const drawn: Operand = { data: normals(length, seed, deviation, mean), shape: [length], dtype: 'f32' }
  return { dtype, shape, block: narrowed(cpu, drawn, dtype).data }
}

/** Squares of normal numbers, for what is never negative. */
export const squareInput = (shape: readonly number[], seed: number, deviation: number): Input => {
  const block = normals(blockLength(shape), seed, deviation).map((x) => x * x)
  return { dtype: 'f32', shape, block }
}

export const integerInput = (shape: readonly number[], seed: number, below: number): Input => ({
  dtype: 'i32',
  shape,
  block: integers(blockLength(shape), seed, below),
})

/** Ones with probability `share`, else zeros. */
export const flagInput = (shape: readonly number[], seed: number, share: number): Input => ({
  dtype: 'u8',
  shape,
  block: flags(blockLength(shape), seed, share),
})

export const givenInput = (block: Operand['data'], dtype: Dtype): Input => ({ dtype, shape: [block.length], block })

export const inputBytes = ({ shape, dtype }: Input): number => product(shape) * BYTES[dtype]

/** The input as a tensor of the device. */
export const upload = (device: Device, { shape, dtype, block }: Input): Tensor => {
  const tensor = device.empty(shape, dtype)
  for (let at = 0; at < tensor.size; at += block.length) {
    const count = Math.min(block.length, tensor.size - at)
    using part = tensor.view(at, [count])
    part.write(block.subarray(0, count) as Float32Array<ArrayBuffer>)
  }
  return tensor
}

/** Some rows of an input, along its first axis. */
export const rowsOf = ({ shape, dtype, block }: Input, rows: readonly number[]): Operand => {
  const width = product(shape.slice(1))
  const data = new (block.constructor as Float32ArrayConstructor)(rows.length * width)
  rows.forEach((row, i) => {
    for (let j = 0; j < width; j++) data[i * width + j] = block[(row * width + j) % block.length]
  })
  return { data, shape: [rows.length, ...shape.slice(1)], dtype }
}

/** All of an input. */
export const wholeOf = (input: Input): Operand => {
  const { shape, dtype } = input
  const flat = rowsOf({ ...input, shape: [1, product(shape)] }, [0])
  return { data: flat.data, shape, dtype }
}
