/**
 * The webgpu device: the .wgsl files on a GPUDevice, in Node and in browsers. Generic over the op table; mentions no op.
 *
 * Calls are encoded as they come and submitted together: at the next read or write, after {@link MOST_CALLS}, or at the end of
 * the current run of JavaScript. The queue works in order, so that memory may be used again as soon as it is given back.
 */
import type { Backend, BoundLaunch, FaultRecord, Launch, Place, Storage } from '../backend.ts'
import { PrefgradError } from '../errors.ts'
import { table } from '../spec/index.ts'
import type { OpSpec } from '../spec/schema.ts'
import { ALIGNMENT, Binder, type Bound, type Staged } from './webgpu/binder.ts'
import { BufferPool, type GpuStorage, STORAGE_USAGE, up } from './webgpu/memory.ts'
import { Patcher } from './webgpu/patch.ts'

/** Calls after which the encoded ones are submitted. */
const MOST_CALLS = 1024
const MOST_GROUPS = 65535
const FAULT_WORDS = 64
const UNIFORM_BYTES = 1 << 19
const USAGE = { mapRead: 0x01, copySource: 0x04, copyTarget: 0x08, uniform: 0x40 } as const

/** What was done since the device was opened. */
export interface WebgpuCounters {
  calls: number
  dispatches: number
  submits: number
  readbacks: number
}

export interface WebgpuBackendOptions {
  device: GPUDevice
  name: string
  /** Kept referenced as long as the device: without it some implementations end the process. */
  keep?: unknown
  /** The device is the caller's: it is not destroyed, and its errors are the caller's to hear. */
  foreign: boolean
  /** Use subgroups where the device has them; default true. */
  subgroups?: boolean
}

export class WebgpuBackend implements Backend {
  readonly kind = 'webgpu'
  readonly name: string
  readonly threads = 1
  readonly counters: WebgpuCounters = { calls: 0, dispatches: 0, submits: 0, readbacks: 0 }
  readonly gpu: GPUDevice
  /** Kept from being collected. */
  readonly keep: unknown
  readonly #foreign: boolean
  readonly #pool: BufferPool
  readonly #patcher: Patcher
  readonly #binder: Binder
  readonly #uniforms: GPUBuffer
  readonly #words = new Uint32Array(UNIFORM_BYTES / 4)
  readonly #fault: GPUBuffer
  #encoder: GPUCommandEncoder | undefined
  #pass: GPUComputePassEncoder | undefined
  #uniformEnd = 0
  #pending = 0
  /** Buffers that encoded and not yet submitted calls use. */
  readonly #touched = new Set<number>()
  #call = 0
  #lost: string | undefined
  #wrong: PrefgradError | undefined
  #open = true

  constructor({ device, name, keep, foreign, subgroups = true }: WebgpuBackendOptions) {
    this.gpu = device
    this.name = `webgpu:${name}`
    this.keep = keep
    this.#foreign = foreign
    this.#pool = new BufferPool(device)
    this.#patcher = new Patcher(device)
    this.#uniforms = device.createBuffer({ size: UNIFORM_BYTES, usage: USAGE.uniform | USAGE.copyTarget })
    this.#fault = device.createBuffer({ size: 4 * FAULT_WORDS, usage: STORAGE_USAGE })
    this.#binder = new Binder({
      gpu: device,
      pool: this.#pool,
      uniforms: this.#uniforms,
      fault: this.#fault,
      subgroups: subgroups && device.features.has('subgroups'),
    })
    device.lost.then((info) => {
      if (this.#open) this.#lost = info.message === '' ? info.reason : info.message
    })
    if (!foreign) device.addEventListener('uncapturederror', (event) => this.#onError(event as GPUUncapturedErrorEvent))
  }

  alloc(bytes: number): Storage {
    this.#check()
    if (bytes > this.gpu.limits.maxBufferSize) {
      throw new PrefgradError('ERR_OUT_OF_MEMORY', `${bytes} bytes are more than one buffer of this device may have.`, {
        value: bytes,
        fix: `Use smaller batches: a tensor may have ${this.gpu.limits.maxBufferSize} bytes.`,
      })
    }
    return this.#pool.take(bytes)
  }

  /** The caller's own buffer. */
  wrap(buffer: GPUBuffer): Storage {
    return this.#pool.wrap(buffer)
  }

  free(storage: Storage): void {
    this.#pool.give(storage as GpuStorage)
  }

  write(storage: Storage, byteOffset: number, data: Uint8Array): void {
    this.#check()
    const { gpu, id } = storage as GpuStorage
    // A write to the queue would overtake what is encoded and not yet submitted.
    if (this.#touched.has(id)) this.flush()
    const { queue } = this.gpu
    const head = Math.min(data.byteLength, (4 - (byteOffset % 4)) % 4)
    const whole = data.byteLength - head - ((data.byteLength - head) % 4)
    if (whole > 0) queue.writeBuffer(gpu, byteOffset + head, data as Uint8Array<ArrayBuffer>, head, whole)
    if (head > 0) this.#patcher.write(gpu, byteOffset, data.subarray(0, head))
    const tail = data.subarray(head + whole)
    if (tail.length > 0) this.#patcher.write(gpu, byteOffset + head + whole, tail)
  }

  read(storage: Storage, byteOffset: number, byteLength: number): Promise<ArrayBuffer> {
    return this.readMany([{ storage, byteOffset, byteLength }]).then(([bytes]) => bytes)
  }

  /** Several places in one readback. */
  async readMany(places: readonly Place[]): Promise<ArrayBuffer[]> {
    this.#check()
    const spans = places.map(({ storage, byteOffset, byteLength }) => {
      const begin = byteOffset - (byteOffset % 4)
      return { storage: storage as GpuStorage, begin, skip: byteOffset - begin, byteLength }
    })
    const sizes = spans.map(({ skip, byteLength }) => up(skip + byteLength, 4))
    const total = sizes.reduce((sum, size) => sum + size, 0)
    const target = this.gpu.createBuffer({ size: total + 4 * FAULT_WORDS, usage: USAGE.mapRead | USAGE.copyTarget })
    try {
      const encoder = this.#outsidePass()
      let at = 0
      spans.forEach(({ storage, begin }, i) => {
        if (sizes[i] > 0) encoder.copyBufferToBuffer(storage.gpu, begin, target, at, sizes[i])
        at += sizes[i]
      })
      encoder.copyBufferToBuffer(this.#fault, 0, target, total, 4 * FAULT_WORDS)
      // Said once, and later calls start clean, whenever this readback arrives.
      encoder.clearBuffer(this.#fault)
      this.flush()
      this.counters.readbacks++
      await this.#map(target)
      const bytes = target.getMappedRange()
      this.#raise(new Uint32Array(bytes, total, FAULT_WORDS))
      at = 0
      return spans.map(({ skip, byteLength }, i) => {
        const copy = bytes.slice(at + skip, at + skip + byteLength)
        at += sizes[i]
        return copy
      })
    } finally {
      target.destroy()
    }
  }

  readSync(): ArrayBuffer {
    throw new PrefgradError('ERR_DEVICE_MISMATCH', `${this.name} cannot wait: there is no readSync().`, {
      fix: 'Use await tensor.read().',
    })
  }

  /** Waits for everything, and rejects with the first bad value that a kernel met. */
  async check(): Promise<void> {
    await this.readMany([])
  }

  async #map(buffer: GPUBuffer): Promise<void> {
    try {
      await buffer.mapAsync(1)
    } catch (cause) {
      this.#check()
      throw new PrefgradError('ERR_DEVICE_LOST', `${this.name} could not be read.`, {
        cause,
        fix: 'Open a new device.',
      })
    }
    this.#check()
  }

  run(launch: Launch): FaultRecord | undefined {
    this.#check()
    this.#encode(launch, this.#binder.bind(launch))
    return undefined
  }

  bind(launch: Launch): BoundLaunch {
    this.#check()
    const bound = this.#binder.bind(launch)
    return {
      run: () => {
        this.#encode(launch, bound)
        return undefined
      },
    }
  }

  /** Submits what was encoded. */
  flush(): void {
    if (this.#encoder === undefined) return
    this.#endPass()
    const { queue } = this.gpu
    if (this.#uniformEnd > 0) queue.writeBuffer(this.#uniforms, 0, this.#words, 0, this.#uniformEnd)
    queue.submit([this.#encoder.finish()])
    this.counters.submits++
    this.#encoder = undefined
    this.#uniformEnd = 0
    this.#pending = 0
    this.#touched.clear()
  }

  dispose(): void {
    if (!this.#open) return
    this.flush()
    this.#open = false
    this.#binder.dispose()
    for (const buffer of [this.#uniforms, this.#fault]) buffer.destroy()
    if (!this.#foreign) this.gpu.destroy()
  }

  #check(): void {
    if (!this.#open) {
      throw new PrefgradError('ERR_DISPOSED', 'this device was disposed.', { fix: 'Open a new one with openDevice().' })
    }
    if (this.#lost !== undefined) {
      throw new PrefgradError('ERR_DEVICE_LOST', `${this.name} was lost (${this.#lost}).`, {
        fix: 'Open a new device; what was only on this one is gone.',
      })
    }
    if (this.#wrong !== undefined) {
      const error = this.#wrong
      this.#wrong = undefined
      throw error
    }
  }

  #onError({ error }: GPUUncapturedErrorEvent): void {
    const isMemory = error.constructor.name === 'GPUOutOfMemoryError'
    this.#wrong ??= isMemory
      ? new PrefgradError('ERR_OUT_OF_MEMORY', `${this.name} has no memory left.`, { fix: 'Use smaller batches.' })
      : new PrefgradError('ERR_ADDON', `${this.name} refused a command: ${error.message}`, {
          fix: 'This is a fault of the library: please report it.',
        })
  }

  #outsidePass(): GPUCommandEncoder {
    this.#endPass()
    this.#encoder ??= this.#begin()
    return this.#encoder
  }

  #begin(): GPUCommandEncoder {
    queueMicrotask(() => {
      if (this.#open && this.#lost === undefined) this.flush()
    })
    return this.gpu.createCommandEncoder()
  }

  #endPass(): void {
    this.#pass?.end()
    this.#pass = undefined
  }

  #encode(launch: Launch, { block, places, dispatches, staged, buffers }: Bound): void {
    this.#check()
    const bytes = up(block.bytes, ALIGNMENT)
    if (this.#uniformEnd + bytes > 4 * this.#words.length || this.#pending >= MOST_CALLS) this.flush()
    this.#encoder ??= this.#begin()
    const offset = this.#uniformEnd
    this.#call = this.#call === 0xffffffff ? 1 : this.#call + 1
    block.fill(launch.words, places, this.#call, this.#words, offset / 4)
    this.#uniformEnd += bytes
    this.#pending++
    this.counters.calls++
    for (const id of buffers) this.#touched.add(id)
    this.#copy(staged, 'in')
    this.#pass ??= this.#encoder.beginComputePass()
    for (const { pipeline, group, groups } of dispatches) {
      if (groups === 0) continue
      this.#pass.setPipeline(pipeline.pipeline)
      this.#pass.setBindGroup(0, group, pipeline.bindings[0] === 0 ? [offset] : [])
      this.#pass.dispatchWorkgroups(Math.min(groups, MOST_GROUPS), Math.ceil(groups / MOST_GROUPS))
      this.counters.dispatches++
    }
    this.#copy(staged, 'out')
  }

  #copy(staged: readonly Staged[], way: 'in' | 'out'): void {
    for (const { stage, buffer, from, at, bytes, written } of staged) {
      if (way === 'out' && !written) continue
      const encoder = this.#outsidePass()
      if (way === 'in') encoder.copyBufferToBuffer(buffer, from, stage, at, bytes)
      else encoder.copyBufferToBuffer(stage, at, buffer, from, bytes)
    }
  }

  #raise(words: Uint32Array): void {
    if (words[0] === 0) return
    const [op, spec] = Object.entries<OpSpec>(table)[words[1] - 1]
    const names = Object.keys(spec.inputs)
    const input = names.findIndex((_, i) => words[2 + i] !== 0)
    const arg = names[input]
    // Kernels keep the lowest index as the highest complement, so that 0 stands for none.
    const index = 0xffffffff - words[2 + input]
    const fault = spec.inputs[arg]?.fault
    throw new PrefgradError(fault?.code ?? 'ERR_BAD_VALUE', `${arg}[${index}] ${fault?.says ?? 'cannot be used'}.`, {
      op,
      arg,
      index,
      fix: fault?.fix,
    })
  }
}
