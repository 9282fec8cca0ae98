/**
 * The codes of {@link PrefgradError}. A code never changes its meaning; new ones may be added.
 *
 * | code | when |
 * | --- | --- |
 * | `ERR_ARGUMENT` | a required input or option is missing, or has a name that the op does not know |
 * | `ERR_OPTION` | an option has the wrong type or lies outside its range |
 * | `ERR_SHAPE` | two shapes disagree, or a shape has the wrong number of dimensions |
 * | `ERR_SIZE` | a size is too large to compute or to address |
 * | `ERR_DTYPE` | an array holds another element type than the op takes |
 * | `ERR_ALIAS` | an output overlaps an input or another output where that is not allowed |
 * | `ERR_DETACHED` | an ArrayBuffer was detached (transferred) or shrunk below the tensor |
 * | `ERR_SHARED_BUFFER` | a SharedArrayBuffer was given where the op writes |
 * | `ERR_DISPOSED` | a tensor, device or prepared call was used after `dispose()` |
 * | `ERR_DEVICE_MISMATCH` | tensors of different devices met in one call |
 * | `ERR_NO_DEVICE` | the wanted device is not there |
 * | `ERR_DRIVER_TOO_OLD` | the GPU's driver is older than this version of the library needs |
 * | `ERR_DEVICE_LOST` | the device stopped working; open a new one |
 * | `ERR_OUT_OF_MEMORY` | the device or the process has no memory left for this |
 * | `ERR_ADDON` | the native addon is missing or does not fit this version of the library |
 * | `ERR_ID_RANGE` | a token id or index lies outside the vocabulary or table |
 * | `ERR_OFFSETS` | packed `offsets` do not start at 0, fall, or do not end at N |
 * | `ERR_BAD_VALUE` | another value that only the kernel could see is not allowed |
 * | `ERR_DATA` | a line of a data file cannot be used |
 * | `ERR_FILE` | a file is missing, truncated, or not what its name says |
 * | `ERR_CHECKPOINT` | no checkpoint could be verified, or it belongs to another configuration |
 * | `ERR_CONFIG` | settings contradict each other |
 * | `ERR_USAGE` | the command line could not be understood |
 * | `ERR_ABORTED` | the caller's `AbortSignal` (or Ctrl-C) stopped the run |
 */
export type ErrorCode =
  | 'ERR_ARGUMENT'
  | 'ERR_OPTION'
  | 'ERR_SHAPE'
  | 'ERR_SIZE'
  | 'ERR_DTYPE'
  | 'ERR_ALIAS'
  | 'ERR_DETACHED'
  | 'ERR_SHARED_BUFFER'
  | 'ERR_DISPOSED'
  | 'ERR_DEVICE_MISMATCH'
  | 'ERR_NO_DEVICE'
  | 'ERR_DRIVER_TOO_OLD'
  | 'ERR_DEVICE_LOST'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_ADDON'
  | 'ERR_ID_RANGE'
  | 'ERR_OFFSETS'
  | 'ERR_BAD_VALUE'
  | 'ERR_DATA'
  | 'ERR_FILE'
  | 'ERR_CHECKPOINT'
  | 'ERR_CONFIG'
  | 'ERR_USAGE'
  | 'ERR_ABORTED'

/** What an error can say beside its code and message. */
export interface ErrorDetails {
  /** The op or command that refused. */
  op?: string
  /** The argument, option, file or field at fault. */
  arg?: string
  /** First offending flat index (tensors) or line number (files). */
  index?: number
  /** The offending value. */
  value?: unknown
  /** What to do about it, as one sentence. */
  fix?: string
  cause?: unknown
}

/**
 * The one error class of the library. The message ends with the fix, so that printing it is enough; programs
 * should look at `code`.
 */
export class PrefgradError extends Error {
  override readonly name = 'PrefgradError'
  readonly code: ErrorCode
  readonly op?: string
  readonly arg?: string
  readonly index?: number
  readonly value?: unknown
  readonly fix?: string

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    const subject = details.op === undefined ? '' : `${details.op}: `
    const advice = details.fix === undefined ? '' : ` ${details.fix}`
    super(`${subject}${message}${advice}`, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.op = details.op
    this.arg = details.arg
    this.index = details.index
    this.value = details.value
    this.fix = details.fix
  }
}
