/**
 * The cuda device, through the addon: the driver is found at run time, and the kernels are in one fatbin. Generic over the op
 * table; mentions no op. Calls are enqueued on one stream and return at once; reading waits.
 */
import type { Backend, BoundLaunch, CapturedLaunches, FaultRecord, Launch, Place, Storage } from '../backend.ts'
import { PrefgradError } from '../errors.ts'
import { table } from '../spec/index.ts'
import type { OpSpec } from '../spec/schema.ts'
import { type CudaAddon, type Opened, troubleOf } from './cuda/addon.ts'
import { Block } from './cuda/block.ts'
import { CudaPool, type CudaStorage } from './cuda/memory.ts'

/** Both halves of a fault word where there was none. */
const NO_FAULT = 0xffffffff

export interface CudaBackendOptions {
  addon: CudaAddon
  opened: Opened
  /** Memory is exactly as large as asked for, and never used twice. */
  exact: boolean
}

export class CudaBackend implements Backend {
  readonly kind = 'cuda'
  readonly name: string
  readonly threads = 1
  readonly capability: number
  readonly multiprocessors: number
  readonly stream: bigint
  readonly #addon: CudaAddon
  readonly #handle: unknown
  readonly #faults: number
  readonly #pool: CudaPool
  readonly #blocks = new Map<string, Block>()
  readonly #graphs = new Set<unknown>()
  #lost: string | undefined
  #open = true

  constructor({ addon, opened, exact }: CudaBackendOptions) {
    this.#addon = addon
    this.#handle = opened.handle
    this.#faults = opened.faults
    this.name = `cuda:${opened.name}`
    this.capability = opened.capability
    this.multiprocessors = opened.multiprocessors
    this.stream = addon.stream(opened.handle)
    this.#pool = new CudaPool(
      (bytes) => addon.alloc(opened.handle, bytes),
      (pointer) => {
        addon.free(opened.handle, pointer)
      },
      exact,
    )
  }

  /** Bytes that tensors hold. */
  get usedBytes(): number {
    return this.#pool.usedBytes
  }

  /** Bytes of the device: free, and in all. */
  get memory(): { free: number; total: number } {
    const [free, total] = this.#addon.memory(this.#handle) ?? [0, 0]
    return { free, total }
  }

  alloc(bytes: number): Storage {
    this.#check()
    const storage = this.#pool.take(bytes)
    if (typeof storage === 'number') throw this.#error(-storage)
    return storage
  }

  free(storage: Storage): void {
    this.#pool.give(storage as CudaStorage)
  }

  wrapPointer(pointer: bigint): Storage {
    return this.#pool.wrap(Number(pointer))
  }

  write(storage: Storage, byteOffset: number, data: Uint8Array): void {
    this.#check()
    this.#must(this.#addon.write(this.#handle, (storage as CudaStorage).pointer + byteOffset, data))
  }

  read(storage: Storage, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    return this.readMany([{ storage, byteOffset, byteLength }]).then(([bytes]) => bytes)
  }

  /** Several places, and what kernels met, in one readback. */
  async readMany(places: readonly Place[]): Promise<ArrayBuffer[]> {
    this.#check()
    const { spans, target } = this.#readback(places)
    this.#must(await this.#addon.read(this.#handle, spans, target))
    return this.#parts(places, target)
  }

  readSync(storage: Storage, byteOffset: number, byteLength: number): ArrayBuffer {
    this.#check()
    const places = [{ storage, byteOffset, byteLength }]
    const { spans, target } = this.#readback(places)
    this.#must(this.#addon.readSync(this.#handle, spans, target))
    return this.#parts(places, target)[0]
  }

  /** Waits for everything, and rejects with the first bad value that a kernel met. */
  async check(): Promise<void> {
    await this.readMany([])
  }

  run(launch: Launch): FaultRecord | undefined {
    this.#check()
    let block = this.#blocks.get(launch.op)
    if (block === undefined) {
      block = new Block(this.#addon, launch.op)
      this.#blocks.set(launch.op, block)
    }
    this.#enqueue(block, launch)
    return undefined
  }

  bind(launch: Launch): BoundLaunch {
    this.#check()
    const block = new Block(this.#addon, launch.op)
    block.setPointers(launch)
    return {
      run: () => {
        this.#check()
        block.setWords(launch)
        this.#must(this.#addon.run(this.#handle, block.ordinal, block.element, block.bytes), launch.op)
        return undefined
      },
    }
  }

  capture(launches: readonly Launch[]): CapturedLaunches {
    this.#check()
    const blocks = launches.map((launch) => new Block(this.#addon, launch.op).fill(launch))
    const graph = this.#addon.capture(
      this.#handle,
      blocks.map(({ ordinal }) => ordinal),
      blocks.map(({ element }) => element),
      blocks.map(({ bytes }) => bytes),
    )
    if (typeof graph === 'number') throw this.#error(graph)
    this.#graphs.add(graph)
    const words = new Uint32Array(launches.reduce((sum, launch) => sum + launch.words.length, 0))
    const bytes = new Uint8Array(words.buffer)
    return {
      run: () => {
        this.#check()
        let at = 0
        for (const launch of launches) {
          words.set(launch.words, at)
          at += launch.words.length
        }
        this.#must(this.#addon.replay(graph, bytes))
      },
      dispose: () => {
        this.#graphs.delete(graph)
        this.#addon.discard(graph)
      },
    }
  }

  /** Waits for everything that was enqueued. */
  synchronize(): void {
    this.#check()
    this.#must(this.#addon.synchronize(this.#handle))
  }

  /** Milliseconds that the device was busy with what `work` enqueued; waits for it. */
  time(work: () => void): number {
    this.#check()
    this.#must(this.#addon.mark(this.#handle))
    work()
    const milliseconds = this.#addon.elapsed(this.#handle)
    if (milliseconds < 0) throw this.#error(-milliseconds)
    return milliseconds
  }

  dispose(): void {
    if (!this.#open) return
    this.#open = false
    // A lost device refuses all of it, and its context takes everything along.
    for (const graph of this.#graphs) this.#addon.discard(graph)
    this.#pool.dispose()
    this.#addon.close(this.#handle)
  }

  #enqueue(block: Block, launch: Launch): void {
    block.fill(launch)
    this.#must(this.#addon.run(this.#handle, block.ordinal, block.element, block.bytes), launch.op)
  }

  /** Where the bytes of a readback come from, the fault words last, and the memory that they go to. */
  #readback(places: readonly Place[]): { spans: Float64Array; target: ArrayBuffer } {
    const faultBytes = 8 * this.#addon.ops.length
    const spans = new Float64Array(2 * places.length + 2)
    let total = faultBytes
    places.forEach(({ storage, byteOffset, byteLength }, i) => {
      spans[2 * i] = (storage as CudaStorage).pointer + byteOffset
      spans[2 * i + 1] = byteLength
      total += byteLength
    })
    spans[2 * places.length] = this.#faults
    spans[2 * places.length + 1] = faultBytes
    return { spans, target: new ArrayBuffer(total) }
  }

  #parts(places: readonly Place[], target: ArrayBuffer): ArrayBuffer[] {
    let at = 0
    const parts = places.map(({ byteLength }) => {
      at += byteLength
      return target.slice(at - byteLength, at)
    })
    this.#raise(new Uint32Array(target.slice(at)))
    return parts
  }

  /** A fault word has the input's place in its upper 16 bits and the index below; all ones where there was none. */
  #raise(words: Uint32Array): void {
    for (const [ordinal, { op }] of this.#addon.ops.entries()) {
      const [low, high] = [words[2 * ordinal], words[2 * ordinal + 1]]
      if (low === NO_FAULT && high === NO_FAULT) continue
      // Said once.
      this.#addon.fill(this.#handle, this.#faults, 0xff, words.byteLength)
      const spec: OpSpec = table[op as keyof typeof table]
      const arg = Object.keys(spec.inputs)[high >>> 16]
      const index = (high & 0xffff) * 2 ** 32 + low
      const fault = spec.inputs[arg]?.fault
      throw new PrefgradError(fault?.code ?? 'ERR_BAD_VALUE', `${arg}[${index}] ${fault?.says ?? 'cannot be used'}.`, {
        op,
        arg,
        index,
        fix: fault?.fix,
      })
    }
  }

  #check(): void {
    if (!this.#open) {
      throw new PrefgradError('ERR_DISPOSED', 'this device was disposed.', { fix: 'Open a new one with openDevice().' })
    }
    if (this.#lost !== undefined) throw this.#lostError()
  }

  #lostError(op?: string): PrefgradError {
    return new PrefgradError('ERR_DEVICE_LOST', `${this.name} was lost (${this.#lost}).`, {
      op,
      fix: 'Open a new device; what was only on this one is gone.',
    })
  }

  #must(code: number, op?: string): void {
    if (code !== 0) throw this.#error(code, op)
  }

  #error(code: number, op?: string): PrefgradError {
    const said = this.#addon.error(this.#handle)
    const words = said === null ? `error ${code}` : `${said.call}: ${said.text} (${said.name}, ${said.code})`
    const trouble = troubleOf(code)
    if (trouble === 'lost') {
      this.#lost = words
      return this.#lostError(op)
    }
    if (trouble === 'memory') {
      const { wantedBytes = 0, freeBytes, totalBytes } = said ?? {}
      const there = freeBytes === undefined ? '' : `; ${freeBytes} of ${totalBytes} are free`
      return new PrefgradError('ERR_OUT_OF_MEMORY', `${this.name} has no memory for ${wantedBytes} bytes${there}.`, {
        op,
        value: wantedBytes,
        fix: 'Dispose of tensors that are no longer needed, or use smaller batches.',
      })
    }
    return new PrefgradError('ERR_ADDON', `${this.name} refused a command (${words}).`, {
      op,
      fix: 'This is a fault of the library or of the driver: please report it.',
    })
  }
}
