/**
 * The contract of a backend: memory, and running the passes of a call in order. A backend knows no op: everything it needs
 * of one is in the {@link Launch}.
 */
import type { CallShape, Dtype, OpSpec } from './spec/schema.ts'

/** A piece of a backend's memory. On cpu that is an ArrayBuffer of JavaScript's own. */
export interface Storage {
  readonly bytes: number
  /** Tensors that were not disposed, where memory is given back by hand. */
  users?: number
  /** cpu only. */
  readonly buffer?: ArrayBuffer
  /** cuda only: the address on the device. */
  readonly pointer?: number
}

/** Part of a piece of memory. */
export interface Place {
  storage: Storage
  byteOffset: number
  byteLength: number
}

/** Where one tensor of a call lies; undefined: an optional input that was not given, an output that is not wanted. */
export interface Slot extends Place {
  dtype: Dtype
}

/** One op call, ready to run: kernels, items, tensors, and the words of the argument struct. */
export interface Launch {
  op: string
  spec: OpSpec
  /** Sizes and settings. */
  call: CallShape
  /** Bits of the outputs that are added to. */
  accumulate: number
  /** Element type that picks the kernels. */
  dtype: string
  /** In order; `ordinal` is the pass's place in the row. */
  passes: readonly { ordinal: number; items: number; work: number }[]
  /** Inputs then outputs, in row order. */
  slots: readonly (Slot | undefined)[]
  /** present, dims, options, derived, accumulate: 8-byte words, little-endian, two numbers for each. */
  words: Uint32Array
  workspaceBytes: number
}

/** What a kernel found wrong: the place of the input in the row, and the flat index of the value. */
export interface FaultRecord {
  input: number
  index: number
}

/** A launch that was bound to kernels and memory once, and can run many times. */
export interface BoundLaunch {
  run(): FaultRecord | undefined
}

/** Several launches as one. */
export interface CapturedLaunches {
  run(): void
  dispose(): void
}

export interface Backend {
  readonly kind: 'cpu' | 'cuda' | 'webgpu'
  /** What runs, for people: `cpu:avx512`. */
  readonly name: string
  /** Worker threads, for workspaces per thread; 1 where that means nothing. */
  readonly threads: number
  alloc(bytes: number): Storage
  free(storage: Storage): void
  write(storage: Storage, byteOffset: number, data: Uint8Array): void
  /** Copies out; the one place that waits. */
  read(storage: Storage, byteOffset: number, byteLength: number): Promise<ArrayBuffer>
  /** The same for several places with one wait; absent where nothing waits. */
  readMany?(places: readonly Place[]): Promise<ArrayBuffer[]>
  readSync(storage: Storage, byteOffset: number, byteLength: number): ArrayBuffer
  /** Runs the passes of a launch once; on cpu it computes before it returns, and says what it met. Throws for dead memory. */
  run(launch: Launch): FaultRecord | undefined
  /** The same for a launch that runs many times; its words may change in between. */
  bind(launch: Launch): BoundLaunch
  /** Records launches as one that runs them all in order; their words may change in between. Absent: they run one by one. */
  capture?(launches: readonly Launch[]): CapturedLaunches
  /** Waits for everything, and rejects with what a kernel met; absent where calls have computed when they return. */
  check?(): Promise<void>
  /** Submits what was encoded; absent where nothing is. */
  flush?(): void
  /** The caller's own buffer; webgpu only. */
  wrap?(buffer: GPUBuffer): Storage
  /** The caller's own memory on the device; cuda only. */
  wrapPointer?(pointer: bigint): Storage
  /** The queue that calls are put into; cuda only. */
  readonly stream?: bigint
  dispose(): void
}
