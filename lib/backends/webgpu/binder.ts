/**
 * From a launch to what is dispatched: where each tensor lies in which binding, which pipelines read it so, and their bind
 * groups. A buffer is bound once however many tensors lie in it, over several bindings when it is larger than one may be, and
 * through a staging buffer when there are more of them than a pass may bind.
 */
import { plans } from '../../../kernels/plans.ts'
import type { Launch } from '../../backend.ts'
import { BYTES } from '../../dtype.ts'
import { PrefgradError } from '../../errors.ts'
import { table } from '../../spec/index.ts'
import type { OpSpec } from '../../spec/schema.ts'
import { ArgumentBlock } from './arguments.ts'
import { type BufferPool, type GpuStorage, STORAGE_USAGE, up } from './memory.ts'
import { FIRST_MEMORY, type ModuleShape } from './module.ts'
import { type Pipeline, Pipelines } from './pipelines.ts'
import type { WebgpuPass } from './plan.ts'

/** Offsets of bindings are multiples of this. */
export const ALIGNMENT = 256
const MOST_BIND_GROUPS = 4096

/** A call whose tensors have their places. */
export interface Bound {
  block: ArgumentBlock
  places: readonly number[]
  dispatches: { pipeline: Pipeline; group: GPUBindGroup; groups: number }[]
  staged: readonly Staged[]
  /** Of the call's memories. */
  buffers: readonly number[]
}

/** A buffer that takes part through a copy, because a pass may not bind so many. */
export interface Staged {
  stage: GPUBuffer
  buffer: GPUBuffer
  from: number
  at: number
  bytes: number
  written: boolean
}

/** A buffer of a call and the part of it that the call uses. */
interface Memory {
  storage: GpuStorage
  first: number
  end: number
  written: boolean
}

interface CallMemories {
  memories: readonly Memory[]
  /** Of each slot; -1: it is not there. */
  ordinalOf: readonly number[]
}

const blocks = new Map<string, ArgumentBlock>()
const ordinals = new Map(Object.keys(table).map((op, i) => [op, i + 1]))

const blockOf = (op: string, spec: OpSpec): ArgumentBlock => {
  let block = blocks.get(op)
  if (block === undefined) {
    block = new ArgumentBlock(spec, ordinals.get(op)!)
    blocks.set(op, block)
  }
  return block
}

export interface BinderOptions {
  gpu: GPUDevice
  pool: BufferPool
  uniforms: GPUBuffer
  fault: GPUBuffer
  subgroups: boolean
}

export class Binder {
  readonly #gpu: GPUDevice
  readonly #pool: BufferPool
  readonly #pipelines: Pipelines
  readonly #uniforms: GPUBuffer
  readonly #fault: GPUBuffer
  readonly #windowBytes: number
  readonly #mostBindings: number
  readonly #groups = new Map<string, GPUBindGroup>()
  #scratch: GPUBuffer | undefined
  #stage: GPUBuffer | undefined

  constructor({ gpu, pool, uniforms, fault, subgroups }: BinderOptions) {
    const { maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage } = gpu.limits
    this.#gpu = gpu
    this.#pool = pool
    this.#uniforms = uniforms
    this.#fault = fault
    this.#windowBytes = Math.floor(Math.min(maxStorageBufferBindingSize, 2 ** 31) / ALIGNMENT) * ALIGNMENT
    this.#mostBindings = maxStorageBuffersPerShaderStage
    this.#pipelines = new Pipelines(gpu, this.#windowBytes / 4, subgroups)
  }

  /** Finds the memory, pipelines and bind groups of a launch. */
  bind(launch: Launch): Bound {
    const { op, spec, call } = launch
    const plan = plans[op]
    if (plan === undefined) {
      throw new PrefgradError('ERR_NO_DEVICE', 'there is no WGSL kernel for this op.', {
        op,
        fix: 'Use the cpu device.',
      })
    }
    const block = blockOf(op, spec)
    this.#reserveScratch(4 * (plan.workspace?.(call) ?? 0))
    const found = memoriesOf(launch)
    const passes = plan.passes.filter(({ when }) => when === undefined || when(call))
    let staged: ReadonlyMap<Memory, Staged> = new Map()
    let placed = this.#place(launch, found, staged)
    const isTooMany = ({ entry }: WebgpuPass): boolean =>
      this.#pipelines.reached(op, spec, block, placed.shape, entry).filter((b) => b > 0).length > this.#mostBindings
    // Only what may be too much is looked at closely.
    if (placed.bindings.length + FIRST_MEMORY - 1 > this.#mostBindings && passes.some(isTooMany)) {
      staged = this.#stageSome(found.memories)
      placed = this.#place(launch, found, staged)
    }
    const buffers = found.memories.map(({ storage }) => storage.id)
    const dispatches = passes.map(({ entry, groups }) => {
      const pipeline = this.#pipelines.get(op, spec, block, placed.shape, entry)
      return { pipeline, group: this.#groupOf(pipeline, block, placed.bindings), groups: groups(call) }
    })
    return { block, places: placed.places, dispatches, staged: [...staged.values()], buffers }
  }

  /** The smallest memories go through one staging buffer, until the others can be bound. */
  #stageSome(memories: readonly Memory[]): Map<Memory, Staged> {
    // fault, scratch and the staging buffer itself.
    const room = this.#mostBindings - FIRST_MEMORY
    const places: [Memory, { from: number; at: number; bytes: number }][] = []
    let direct = memories.reduce((sum, memory) => sum + this.#windowsOf(memory).count, 0)
    let end = 0
    for (const memory of [...memories].sort((a, b) => a.end - a.first - (b.end - b.first))) {
      if (direct <= room) break
      const from = memory.first - (memory.first % 4)
      const bytes = up(memory.end - from, 4)
      places.push([memory, { from, at: end, bytes }])
      end = up(end + bytes, 16)
      direct -= this.#windowsOf(memory).count
    }
    if (this.#stage === undefined || this.#stage.size < end) {
      this.#stage = this.#gpu.createBuffer({
        size: Math.min(this.#windowBytes, up(2 * end, ALIGNMENT)),
        usage: STORAGE_USAGE,
      })
    }
    const stage = this.#stage
    return new Map(
      places.map(([memory, place]) => [
        memory,
        { ...place, stage, buffer: memory.storage.gpu, written: memory.written },
      ]),
    )
  }

  /** Bindings that a memory takes: whole, or those of the fixed windows that the call uses. */
  #windowsOf({ storage, first, end }: Memory): { low: number; count: number } {
    const window = this.#windowBytes
    if (storage.gpu.size <= window) return { low: 0, count: 1 }
    const low = Math.floor(first / window)
    return { low, count: Math.max(1, Math.ceil(end / window) - low) }
  }

  #place(
    { slots, accumulate }: Launch,
    { memories, ordinalOf }: CallMemories,
    staged: ReadonlyMap<Memory, Staged>,
  ): { shape: ModuleShape; places: number[]; bindings: GPUBufferBinding[] } {
    const shapes: { windows: number; written: boolean }[] = []
    const bindings: GPUBufferBinding[] = []
    /** Of each memory: its ordinal among those that are bound, and the byte of its buffer where the first binding begins. */
    const where: { ordinal: number; begin: number }[] = []
    let stageOrdinal = -1
    for (const memory of memories) {
      const { storage, written } = memory
      const copy = staged.get(memory)
      if (copy !== undefined) {
        if (stageOrdinal < 0) {
          stageOrdinal = shapes.push({ windows: 1, written: false }) - 1
          bindings.push({ buffer: copy.stage })
        }
        shapes[stageOrdinal].written ||= written
        where.push({ ordinal: stageOrdinal, begin: copy.from - copy.at })
        continue
      }
      const window = this.#windowBytes
      const { low, count } = this.#windowsOf(memory)
      for (let w = low; w < low + count; w++) {
        const offset = w * window
        bindings.push({ buffer: storage.gpu, offset, size: Math.min(window, storage.gpu.size - offset) })
      }
      where.push({ ordinal: shapes.push({ windows: count, written }) - 1, begin: low * window })
    }
    const places: number[] = []
    const tensors = slots.map((slot, s) => {
      if (slot === undefined) {
        places.push(0)
        return undefined
      }
      const { ordinal, begin } = where[ordinalOf[s]]
      places.push((slot.byteOffset - begin) / BYTES[slot.dtype])
      return { dtype: slot.dtype, memory: ordinal }
    })
    return { shape: { tensors, memories: shapes, accumulate }, places, bindings }
  }

  #groupOf(pipeline: Pipeline, block: ArgumentBlock, bindings: readonly GPUBufferBinding[]): GPUBindGroup {
    const entries = pipeline.bindings.map((binding): GPUBindGroupEntry => {
      const fixed: (GPUBufferBinding | undefined)[] = [
        { buffer: this.#uniforms, size: block.bytes },
        { buffer: this.#fault },
        this.#scratch && { buffer: this.#scratch },
      ]
      return { binding, resource: binding < FIRST_MEMORY ? fixed[binding]! : bindings[binding - FIRST_MEMORY] }
    })
    const key = `${pipeline.id}:${entries
      .map(({ resource }) => {
        const { buffer, offset = 0 } = resource as GPUBufferBinding
        return `${this.#pool.idOf(buffer)}.${offset}`
      })
      .join(',')}`
    let group = this.#groups.get(key)
    if (group === undefined) {
      if (this.#groups.size >= MOST_BIND_GROUPS) this.#groups.clear()
      group = this.#gpu.createBindGroup({ layout: pipeline.layout, entries })
      this.#groups.set(key, group)
    }
    return group
  }

  #reserveScratch(bytes: number): void {
    const size = up(Math.max(bytes, 4 * ALIGNMENT), ALIGNMENT)
    if (this.#scratch !== undefined && this.#scratch.size >= size) return
    if (size > this.#windowBytes) {
      throw new PrefgradError('ERR_OUT_OF_MEMORY', `${size} bytes of scratch are more than this device can bind.`, {
        value: size,
        fix: 'Use smaller batches.',
      })
    }
    this.#scratch = this.#gpu.createBuffer({
      size: Math.min(this.#windowBytes, up(size + size / 2, ALIGNMENT)),
      usage: STORAGE_USAGE,
    })
  }

  dispose(): void {
    this.#scratch?.destroy()
    this.#stage?.destroy()
  }
}

/** The distinct buffers of a call, with what it uses of each, and which of them each slot lies in. */
const memoriesOf = ({ spec, slots }: Launch): CallMemories => {
  const inputs = Object.values(spec.inputs)
  const memories: Memory[] = []
  const ordinalOf: number[] = []
  slots.forEach((slot, s) => {
    if (slot === undefined) {
      ordinalOf.push(-1)
      return
    }
    const storage = slot.storage as GpuStorage
    const written = s >= inputs.length || inputs[s].updated === true
    const end = slot.byteOffset + slot.byteLength
    const known = memories.findIndex((memory) => memory.storage.gpu === storage.gpu)
    if (known < 0) ordinalOf.push(memories.push({ storage, first: slot.byteOffset, end, written }) - 1)
    else {
      const memory = memories[known]
      memory.first = Math.min(memory.first, slot.byteOffset)
      memory.end = Math.max(memory.end, end)
      memory.written ||= written
      ordinalOf.push(known)
    }
  })
  return { memories, ordinalOf }
}
