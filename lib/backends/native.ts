/** The cpu device, through the addon. Generic over the op table: it packs one block per call and mentions no op. */
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Backend, BoundLaunch, FaultRecord, Launch, Storage } from '../backend.ts'
import { PrefgradError } from '../errors.ts'
import { compareWithTable, indexKernels, type KernelIndex, type NativeKernel } from '../handshake.ts'
import { describe, refuse, unknownName } from '../refuse.ts'
import type { CudaAddon } from './cuda/addon.ts'

interface Addon {
  info(): { isas: string[]; kernels: NativeKernel[] }
  open(isa: string, threads: number, grain: number): { handle: unknown; threads: number } | null
  run(handle: unknown, block: ArrayBuffer, ...buffers: ArrayBuffer[]): number
  hugePages(buffer: ArrayBuffer): void
  cuda: CudaAddon
}

// The block, in 8-byte words; native/addon.cc has the same numbers.
const PASS_COUNT = 0
const WORDS = 1
const POINTERS = 2
const WORKSPACE_BYTES = 3
const PROBLEM = 4
const PROBLEM_INDEX = 5
const PASSES = 8
const TABLE = 32
const ARGS = 96
const MAX_WORDS = 64
const REBUILD = 'Run `npm run build` in the package (needs Python 3 and a C++17 compiler).'
const STATUS = { ok: 0, fault: 1, detached: 2, outOfMemory: 3 } as const

interface Loaded {
  addon: Addon
  isas: readonly string[]
  kernels: readonly NativeKernel[]
  index: KernelIndex
  cuda: CudaAddon
}

let loaded: Loaded | undefined

/** Memory that is worth pages of megabytes, in bytes: two of them. */
const HUGE = 4 * 2 ** 20

/** A second thread costs more than it saves below about this many elements. */
const GRAIN = 16384

/**
 * Where the addon lies: beside the compiled library (dist/lib/backends) or beside its sources (lib/backends). PREFGRAD_ADDON
 * names another build of it.
 */
const addonPaths = (): string[] => {
  if (process.env.PREFGRAD_ADDON !== undefined) return [resolve(process.env.PREFGRAD_ADDON)]
  const here = dirname(fileURLToPath(import.meta.url))
  return [join(here, '../../../build/Release/prefgrad.node'), join(here, '../../build/Release/prefgrad.node')]
}

/** Loads the addon once, and makes sure that it and the op table speak of the same kernels. */
export const loadAddon = (): Loaded => {
  if (loaded !== undefined) return loaded
  const require = createRequire(import.meta.url)
  const tried: string[] = []
  for (const path of addonPaths()) {
    let addon: Addon
    try {
      addon = require(path)
    } catch (cause) {
      tried.push(`${path}: ${(cause as Error).message.split('\n')[0]}`)
      continue
    }
    const { isas, kernels } = addon.info()
    const differences = compareWithTable(kernels)
    if (differences.length > 0) {
      throw new PrefgradError('ERR_ADDON', `${path} is not of this version: ${differences.join('; ')}.`, {
        fix: REBUILD,
      })
    }
    loaded = { addon, isas, kernels, index: indexKernels(kernels), cuda: addon.cuda }
    return loaded
  }
  throw new PrefgradError('ERR_ADDON', `the native addon could not be loaded (${tried.join('; ')}).`, { fix: REBUILD })
}

export interface CpuOptions {
  /** Threads that one call may use, the caller's included; default: the cores this process may use. */
  threads?: number
  /** Instruction set: 'avx512', 'avx2' or 'baseline'; default: PREFGRAD_ISA, else the best that is there. */
  isa?: string
  /** Elements below which work is not split among threads; default 16384. Results do not depend on it. */
  grain?: number
}

export const CPU_OPTIONS: readonly string[] = ['threads', 'isa', 'grain'] satisfies (keyof CpuOptions)[]

/** A launch as the addon reads it, and the buffers that it lies in. */
class Block {
  readonly buffers: ArrayBuffer[] = []
  readonly bytes = new ArrayBuffer(8 * (ARGS + MAX_WORDS))
  readonly words = new Float64Array(this.bytes)
  readonly #args = new Uint32Array(this.bytes, 8 * ARGS)

  fill(launch: Launch, index: KernelIndex): void {
    const { words, buffers } = this
    const { passes, slots } = launch
    const kernels = index.get(launch.op)?.get(launch.dtype)
    words[PASS_COUNT] = passes.length
    words[WORDS] = launch.words.length / 2
    words[POINTERS] = slots.length
    words[WORKSPACE_BYTES] = launch.workspaceBytes
    for (let i = 0; i < passes.length; i++) {
      const { ordinal, items, work } = passes[i]
      words[PASSES + 3 * i] = kernels![ordinal]
      words[PASSES + 3 * i + 1] = items
      words[PASSES + 3 * i + 2] = work
    }
    for (let p = 0; p < slots.length; p++) {
      const slot = slots[p]
      if (slot === undefined) {
        words[TABLE + 3 * p] = -1
        continue
      }
      const buffer = slot.storage.buffer!
      let ordinal = buffers.indexOf(buffer)
      if (ordinal < 0) ordinal = buffers.push(buffer) - 1
      words[TABLE + 3 * p] = ordinal
      words[TABLE + 3 * p + 1] = slot.byteOffset
      words[TABLE + 3 * p + 2] = slot.byteLength
    }
  }

  run(addon: Addon, handle: unknown, launch: Launch): FaultRecord | undefined {
    if (handle === undefined)
      refuse('ERR_DISPOSED', 'this device was disposed.', { op: launch.op, fix: 'Open a new one with openDevice().' })
    this.#args.set(launch.words)
    const status = addon.run(handle, this.bytes, ...this.buffers)
    return status === STATUS.ok ? undefined : problem(launch, status, this.words)
  }
}

/** Memory for tensors of the cpu: zeros, where there is much of it in pages of megabytes. */
export const hostMemory = (bytes: number): ArrayBuffer => {
  const buffer = new ArrayBuffer(bytes)
  if (bytes >= HUGE) loadAddon().addon.hugePages(buffer)
  return buffer
}

class CpuBackend implements Backend {
  readonly kind = 'cpu'
  readonly name: string
  readonly threads: number
  readonly #eager = new Block()
  #handle: unknown

  constructor(isa: string, handle: unknown, threads: number) {
    this.name = `cpu:${isa}`
    this.threads = threads
    this.#handle = handle
  }

  alloc(bytes: number): Storage {
    try {
      return { bytes, buffer: hostMemory(bytes) }
    } catch (cause) {
      throw new PrefgradError('ERR_OUT_OF_MEMORY', `no memory for ${bytes} bytes.`, {
        value: bytes,
        cause,
        fix: 'Use smaller batches.',
      })
    }
  }

  free(): void {}

  write(storage: Storage, byteOffset: number, data: Uint8Array): void {
    new Uint8Array(storage.buffer!, byteOffset, data.byteLength).set(data)
  }

  async read(storage: Storage, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    return this.readSync(storage, byteOffset, byteLength)
  }

  readSync(storage: Storage, byteOffset: number, byteLength: number): ArrayBuffer {
    return storage.buffer!.slice(byteOffset, byteOffset + byteLength)
  }

  run(launch: Launch): FaultRecord | undefined {
    const { addon, index } = loadAddon()
    const block = this.#eager
    try {
      block.fill(launch, index)
      return block.run(addon, this.#handle, launch)
    } finally {
      // The block outlives the call; the caller's memory must not live on with it.
      block.buffers.length = 0
    }
  }

  bind(launch: Launch): BoundLaunch {
    const { addon, index } = loadAddon()
    const block = new Block()
    block.fill(launch, index)
    return { run: () => block.run(addon, this.#handle, launch) }
  }

  dispose(): void {
    this.#handle = undefined
  }
}

const problem = (launch: Launch, status: number, words: Float64Array): FaultRecord => {
  if (status === STATUS.fault) return { input: words[PROBLEM], index: words[PROBLEM_INDEX] }
  if (status === STATUS.detached) {
    const outputs = Object.keys(launch.spec.outputs).map((name) => `out.${name}`)
    const names = [...Object.keys(launch.spec.inputs), ...outputs]
    const arg = names[words[PROBLEM]]
    throw new PrefgradError('ERR_DETACHED', `the memory of ${arg} was detached or shrunk.`, {
      op: launch.op,
      arg,
      fix: 'Do not transfer or resize a buffer while tensors use it.',
    })
  }
  if (status === STATUS.outOfMemory) {
    throw new PrefgradError('ERR_OUT_OF_MEMORY', `no memory for ${launch.workspaceBytes} bytes of workspace.`, {
      op: launch.op,
      value: launch.workspaceBytes,
      fix: 'Use smaller batches.',
    })
  }
  throw new PrefgradError('ERR_ADDON', 'the addon and the op table disagree about this call.', {
    op: launch.op,
    fix: REBUILD,
  })
}

/** Opens the cpu with an instruction set that this machine has. */
export const openCpu = (options: CpuOptions = {}): Backend => {
  if (typeof options !== 'object' || options === null) {
    refuse('ERR_OPTION', `device options must be an object, not ${describe(options)}.`)
  }
  for (const name in options) {
    if (!CPU_OPTIONS.includes(name)) unknownName(undefined, 'device option', name, CPU_OPTIONS)
  }
  const { addon, isas } = loadAddon()
  const { isa = process.env.PREFGRAD_ISA ?? isas[0], threads = availableParallelism(), grain = GRAIN } = options
  if (!isas.includes(isa)) {
    const [says, fix] = [`this machine has ${isas.join(', ')}.`, 'Set PREFGRAD_ISA to one of them, or leave it out.']
    refuse('ERR_NO_DEVICE', `instruction set ${describe(isa)} is not there; ${says}`, { arg: 'isa', value: isa, fix })
  }
  checkCount('threads', threads, 256)
  checkCount('grain', grain, Number.MAX_SAFE_INTEGER)
  const opened = addon.open(isa, threads, grain)
  if (opened === null) return refuse('ERR_OUT_OF_MEMORY', 'no memory to open the cpu device.')
  return new CpuBackend(isa, opened.handle, opened.threads)
}

const checkCount = (arg: string, value: number, most: number): void => {
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return
  refuse('ERR_OPTION', `${arg} must be a whole number from 1 to ${most}, and is ${describe(value)}.`, { arg, value })
}
