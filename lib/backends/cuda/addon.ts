/** The CUDA half of the addon, as native/cuda_addon.cc has it. Calls return the driver's number, 0 for success. */

/** What the driver said when something failed. */
export interface DriverError {
  code: number
  name: string
  text: string
  call: string
  wantedBytes: number
  freeBytes?: number
  totalBytes?: number
}

export interface Opened {
  handle: unknown
  name: string
  capability: number
  multiprocessors: number
  /** Where the ops' fault words lie. */
  faults: number
}

export interface CudaAddon {
  readonly ops: readonly { op: string; words: number; pointers: number }[]
  probe(library: string): { why?: string; version?: number; devices?: string[] }
  open(
    library: string,
    index: number,
    fatbin: Uint8Array,
    poison: boolean,
    fastMatmul: boolean,
  ): Opened | { error: DriverError } | null
  close(handle: unknown): void
  error(handle: unknown): DriverError | null
  alloc(handle: unknown, bytes: number): number
  free(handle: unknown, pointer: number): number
  memory(handle: unknown): [free: number, total: number] | undefined
  write(handle: unknown, pointer: number, data: Uint8Array): number
  fill(handle: unknown, pointer: number, byte: number, bytes: number): number
  synchronize(handle: unknown): number
  mark(handle: unknown): number
  elapsed(handle: unknown): number
  stream(handle: unknown): bigint
  readSync(handle: unknown, spans: Float64Array, target: ArrayBuffer): number
  read(handle: unknown, spans: Float64Array, target: ArrayBuffer): Promise<number>
  run(handle: unknown, op: number, element: number, block: Uint8Array): number
  capture(handle: unknown, ops: number[], elements: number[], blocks: Uint8Array[]): unknown
  replay(graph: unknown, words: Uint8Array): number
  discard(graph: unknown): void
}

// CUresult, as in native/cuda_driver.h.
const OUT_OF_MEMORY = 2
const TOO_OLD = [209, 222, 803]
/** The context is gone or can do no more: ECC and bus errors, illegal addresses, failed or endless launches. */
const isFatal = (code: number): boolean =>
  [4, 201, 214, 219, 220, 700, 702, 999].includes(code) || (code >= 708 && code <= 720)

export type Trouble = 'memory' | 'driver' | 'lost' | 'other'

export const troubleOf = (code: number): Trouble => {
  if (code === OUT_OF_MEMORY) return 'memory'
  if (TOO_OLD.includes(code)) return 'driver'
  return isFatal(code) ? 'lost' : 'other'
}
