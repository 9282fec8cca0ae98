/** The cpu device, through the addon. Generic over the op table: it packs one block per call and mentions no op. */
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Backend, BoundLaunch, FaultRecord, Launch, Storage } from '../backend.ts'
import { PrefgradError } from '../errors.ts'

interface NativeKernel {
  op: string
  pass: string
  dtype: string
  words: number
  pointers: number
}

interface Addon {
  info(): { isas: string[]; kernels: NativeKernel[] }
  open(isa: string, threads: number): { handle: unknown; threads: number } | null
  run(handle: unknown, block: ArrayBuffer, ...buffers: ArrayBuffer[]): number
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
const STATUS = { ok: 0, fault: 1, detached: 2, outOfMemory: 3 } as const

let loaded:
  | { addon: Addon; isas: readonly string[]; kernels: readonly NativeKernel[]; indexOf: Map<string, number> }
  | undefined

/** Where the addon lies: beside the compiled library (dist/lib/backends) or beside its sources (lib/backends). */
const addonPaths = (): string[] => {
  const here = dirname(fileURLToPath(import.meta.url))
  return [join(here, '../../../build/Release/prefgrad.node'), join(here, '../../build/Release/prefgrad.node')]
}

/** Loads the addon once. */
export const loadAddon = (): NonNullable<typeof loaded> => {
  if (loaded !== undefined) return loaded
  const require = createRequire(import.meta.url)
  const tried: string[] = []
  for (const path of addonPaths()) {
    try {
      const addon = require(path) as Addon
      const { isas, kernels } = addon.info()
      loaded = { addon, isas, kernels, indexOf: new Map(kernels.map((k, i) => [`${k.op}.${k.pass}.${k.dtype}`, i])) }
      return loaded
    } catch (cause) {
      tried.push(`${path}: ${(cause as Error).message.split('\n')[0]}`)
    }
  }
  throw new PrefgradError('ERR_ADDON', `the native addon could not be loaded (${tried.join('; ')}).`, {
    fix: 'Run `npm run build` in the package (needs Python 3 and a C++17 compiler).',
  })
}

export interface CpuOptions {
  /** Threads that one call may use, the caller's included; default: the cores this process may use. */
  threads?: number
  /** Instruction set: 'avx512', 'avx2' or 'baseline'; default: PREFGRAD_ISA, else the best that is there. */
  isa?: string
}

class CpuBackend implements Backend {
  readonly kind = 'cpu'
  readonly name: string
  readonly threads: number
  #handle: unknown

  constructor(isa: string, handle: unknown, threads: number) {
    this.name = `cpu:${isa}`
    this.threads = threads
    this.#handle = handle
  }

  alloc(bytes: number): Storage {
    try {
      return { bytes, buffer: new ArrayBuffer(bytes) }
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

  bind(launch: Launch): BoundLaunch {
    const { addon, indexOf } = loadAddon()
    const block = new ArrayBuffer(8 * (ARGS + MAX_WORDS))
    const words = new Float64Array(block)
    const buffers: ArrayBuffer[] = []
    const bytes = new Uint8Array(block, 8 * ARGS, 8 * launch.wordCount)
    const source = new Uint8Array(launch.words, 0, 8 * launch.wordCount)
    words[PASS_COUNT] = launch.passes.length
    words[WORDS] = launch.wordCount
    words[POINTERS] = launch.slots.length
    words[WORKSPACE_BYTES] = launch.workspaceBytes
    for (let i = 0; i < launch.passes.length; i++) {
      const { pass, items, work } = launch.passes[i]
      const index = indexOf.get(`${launch.op}.${pass.name}.${launch.dtype}`)
      if (index === undefined) {
        throw new PrefgradError('ERR_ADDON', `the addon has no kernel ${launch.op}.${pass.name}.${launch.dtype}.`, {
          op: launch.op,
          fix: 'Rebuild it: npm run build.',
        })
      }
      words[PASSES + 3 * i] = index
      words[PASSES + 3 * i + 1] = items
      words[PASSES + 3 * i + 2] = work
    }
    for (let p = 0; p < launch.slots.length; p++) {
      const slot = launch.slots[p]
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
    return {
      run: () => {
        if (this.#handle === undefined)
          throw new PrefgradError('ERR_DISPOSED', 'this device was disposed.', { op: launch.op })
        bytes.set(source)
        const status = addon.run(this.#handle, block, ...buffers)
        return status === STATUS.ok ? undefined : problem(launch, status, words)
      },
    }
  }

  dispose(): void {
    this.#handle = undefined
  }
}

const problem = (launch: Launch, status: number, words: Float64Array): FaultRecord => {
  if (status === STATUS.fault) return { input: words[PROBLEM], index: words[PROBLEM_INDEX] }
  if (status === STATUS.detached) {
    const names = [...Object.keys(launch.spec.inputs), ...Object.keys(launch.spec.outputs)]
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
    fix: 'Rebuild it: npm run build.',
  })
}

/** Opens the cpu with an instruction set that this machine has. */
export const openCpu = (options: CpuOptions = {}): Backend => {
  const { addon, isas } = loadAddon()
  const isa = options.isa ?? process.env.PREFGRAD_ISA ?? isas[0]
  if (!isas.includes(isa)) {
    throw new PrefgradError(
      'ERR_NO_DEVICE',
      `instruction set '${isa}' is not there; this machine has ${isas.join(', ')}.`,
      {
        arg: 'isa',
        value: isa,
        fix: `Set PREFGRAD_ISA to one of ${isas.join(', ')}, or leave it out.`,
      },
    )
  }
  const threads = options.threads ?? availableParallelism()
  if (!Number.isSafeInteger(threads) || threads < 1 || threads > 256) {
    throw new PrefgradError('ERR_OPTION', `threads must be a whole number from 1 to 256, and is ${threads}.`, {
      arg: 'threads',
      value: threads,
    })
  }
  const opened = addon.open(isa, threads)
  if (opened === null) throw new PrefgradError('ERR_OUT_OF_MEMORY', 'no memory to open the cpu device.')
  return new CpuBackend(isa, opened.handle, opened.threads)
}
