/** Element types of the safetensors format that this library reads and writes, and the arrays that hold them. */
export const SAFETENSORS_DTYPES = {
  F64: { bytes: 8, array: Float64Array },
  I64: { bytes: 8, array: BigInt64Array },
  F32: { bytes: 4, array: Float32Array },
  I32: { bytes: 4, array: Int32Array },
  BF16: { bytes: 2, array: Uint16Array },
  F16: { bytes: 2, array: Uint16Array },
  U8: { bytes: 1, array: Uint8Array },
} as const

export type SafetensorsDtype = keyof typeof SAFETENSORS_DTYPES

/** A tensor that was read, row-major; `BF16` and `F16` are bit patterns in a `Uint16Array`. */
export type SafetensorsTensor = {
  [D in SafetensorsDtype]: {
    readonly dtype: D
    readonly shape: readonly number[]
    readonly data: InstanceType<(typeof SAFETENSORS_DTYPES)[D]['array']>
  }
}[SafetensorsDtype]

/** A tensor to be written; that `data` has the array type of `dtype` is checked. */
export interface SafetensorsInput {
  readonly dtype: SafetensorsDtype
  readonly shape: readonly number[]
  readonly data: ArrayBufferView
}

/** Sizes and offsets up to here are exact as JavaScript numbers. */
export const MAX_SIZE = Number.MAX_SAFE_INTEGER

/** The most bytes that a header may have, as in the reference implementation. */
export const MAX_HEADER_SIZE = 100_000_000
