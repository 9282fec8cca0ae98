/** What a user hands to an op, as memory: tensors, typed arrays, and typed arrays with a shape. */
import type { Slot } from './backend.ts'
import type { Device } from './device.ts'
import { arrayName, BYTES, CONSTRUCTORS, type Dtype, dtypeOf, holds, isDead, isShared, product } from './dtype.ts'
import { describe, refuse } from './refuse.ts'
import { readShape } from './shape.ts'
import { Tensor } from './tensor.ts'

/** An argument whose element type and place are known. A {@link Tensor} is one as it stands. */
export interface Argument extends Slot {
  readonly shape: readonly number[]
  readonly dtype: Dtype
  /** undefined: a plain array, which every cpu device can use. */
  readonly device: Device | undefined
}

type AnyTypedArray = ArrayBufferView & { readonly length: number; readonly constructor: { name: string } }

const examples = (allowed: readonly Dtype[]): string =>
  allowed
    .map((dtype) =>
      CONSTRUCTORS[dtype] === Uint16Array
        ? `{ data: Uint16Array, shape, dtype: '${dtype}' }`
        : `${dtype === 'i32' ? 'an' : 'a'} ${CONSTRUCTORS[dtype].name}`,
    )
    .join(' or ')

/** i64 and u32 ids as i32, which is what kernels read: each is checked, none is cut off. */
const narrowIds = (data: Uint32Array | BigInt64Array, op: string, arg: string): Int32Array => {
  const ids = new Int32Array(data.length)
  for (let i = 0; i < data.length; i++) {
    const value = data[i]
    if (value < -2147483648 || value > 2147483647) {
      refuse('ERR_ID_RANGE', `${arg}[${i}] = ${value} does not fit an i32 id.`, { op, arg, index: i, value })
    }
    ids[i] = Number(value)
  }
  return ids
}

const resolveTensor = (tensor: Tensor, allowed: readonly Dtype[], op: string, arg: string): Argument => {
  if (tensor.dtype !== allowed[0] && !allowed.includes(tensor.dtype)) {
    refuse('ERR_DTYPE', `${arg} holds ${tensor.dtype}, and must hold ${allowed.join(' or ')}.`, {
      op,
      arg,
      value: tensor.dtype,
    })
  }
  if (tensor.disposed) {
    refuse('ERR_DISPOSED', `${arg} was disposed.`, { op, arg, fix: 'Keep a tensor until its last use.' })
  }
  return tensor
}

/** `{ data, shape, dtype? }`, each read once: what a getter or proxy says later does not matter. */
const unwrap = (value: unknown, allowed: readonly Dtype[], op: string, arg: string) => {
  const { data, shape, dtype } = (typeof value === 'object' && value !== null ? value : {}) as {
    data?: unknown
    shape?: unknown
    dtype?: Dtype
  }
  if (arrayName(data) === undefined) {
    refuse('ERR_DTYPE', `${arg} must be a tensor or a typed array, and is ${describe(value)}.`, {
      op,
      arg,
      value,
      fix: `Give ${examples(allowed)}.`,
    })
  }
  if (!Array.isArray(shape)) {
    refuse('ERR_SHAPE', `${arg} has no shape.`, { op, arg, fix: 'Give { data, shape: [..] }.' })
  }
  return { data: data as AnyTypedArray, shape: readShape(shape, arg, op), dtype }
}

/**
 * Finds the memory of an argument.
 *
 * @param allowed element types that the row takes
 * @param writes the op writes here: no copy may stand in for the user's memory
 * @throws PrefgradError `ERR_DTYPE`, `ERR_SHAPE`, `ERR_DISPOSED`, `ERR_DETACHED`, `ERR_SHARED_BUFFER`, `ERR_ID_RANGE`
 */
export const resolve = (
  value: unknown,
  allowed: readonly Dtype[],
  writes: boolean,
  op: string,
  arg: string,
): Argument => {
  if (value instanceof Tensor) return resolveTensor(value, allowed, op, arg)
  const given =
    arrayName(value) === undefined
      ? unwrap(value, allowed, op, arg)
      : { data: value as AnyTypedArray, shape: undefined, dtype: undefined }
  let { data } = given
  if (isDead(data)) {
    refuse('ERR_DETACHED', `the memory of ${arg} was detached or shrunk.`, {
      op,
      arg,
      fix: 'Do not transfer or resize a buffer that is still used.',
    })
  }
  const name = arrayName(data)!
  const widerIds = (name === 'BigInt64Array' || name === 'Uint32Array') && allowed.includes('i32') && !writes
  if (widerIds) data = narrowIds(data as unknown as Uint32Array | BigInt64Array, op, arg)
  const dtype = given.dtype ?? dtypeOf(data)
  if (dtype === undefined || !allowed.includes(dtype) || !holds(data, dtype)) {
    const claim = given.dtype === undefined ? '' : ` with dtype ${describe(given.dtype)}`
    return refuse('ERR_DTYPE', `${arg} is a ${name}${claim}, and must hold ${allowed.join(' or ')}.`, {
      op,
      arg,
      value: name,
      fix:
        name === 'Uint16Array' ? "Say which: { data, shape, dtype: 'bf16' } or 'f16'." : `Give ${examples(allowed)}.`,
    })
  }
  const { length } = data
  if (given.shape !== undefined && product(given.shape) !== length) {
    refuse('ERR_SHAPE', `${arg} has shape [${given.shape}] but ${length} elements.`, { op, arg, value: given.shape })
  }
  if (isShared(data.buffer)) {
    if (writes) {
      refuse('ERR_SHARED_BUFFER', `${arg} is written and lies in a SharedArrayBuffer.`, {
        op,
        arg,
        fix: 'Give memory that no other thread can change.',
      })
    }
    // Another thread could change ids after they were checked: work on a copy.
    data = new CONSTRUCTORS[dtype](data as unknown as ArrayLike<number>)
  }
  const buffer = data.buffer as ArrayBuffer
  return {
    storage: { bytes: buffer.byteLength, buffer },
    byteOffset: data.byteOffset,
    byteLength: length * BYTES[dtype],
    shape: given.shape ?? [length],
    dtype,
    device: undefined,
  }
}

export type Meeting = 'apart' | 'same' | 'overlapping'

/** How two arguments lie to each other in memory; what is empty or not there meets nothing. */
export const meet = (a: Argument, b: Argument | undefined): Meeting => {
  if (b === undefined) return 'apart'
  const [mine, theirs] = [a.storage, b.storage]
  if (mine !== theirs && (mine.buffer === undefined || mine.buffer !== theirs.buffer)) return 'apart'
  const [aEnd, bEnd] = [a.byteOffset + a.byteLength, b.byteOffset + b.byteLength]
  if (a.byteOffset >= bEnd || b.byteOffset >= aEnd || a.byteLength === 0 || b.byteLength === 0) return 'apart'
  return a.byteOffset === b.byteOffset && aEnd === bEnd ? 'same' : 'overlapping'
}
