/** prefgrad's ways to compute a case, on the CUDA device. */
import type { CudaBackend } from '../../lib/backends/cuda.ts'
import type { Device } from '../../lib/device.ts'
import { BYTES, product } from '../../lib/dtype.ts'
import { copy, fill, gradNorm, sequence } from '../../lib/index.ts'
import type { Tensor } from '../../lib/tensor.ts'
import { widened } from '../data.ts'
import { opNamed } from '../prefgrad.ts'
import { inputBytes, normalInput, upload } from './data.ts'
import { judgedRows } from './judge.ts'
import type { Ceiling, Measure, Subject, Tensors, Work } from './types.ts'

/** Bytes that are written and then read to leave nothing of a case in the L2 cache, which is 50 to 130 MB large. */
const FLUSH = { full: 2 ** 30, tiny: 2 ** 12 }
/** Results that fit the L2 cache twice are also timed warm. */
const CACHED = 256e6
const CEILING_SAMPLES = 20
/** Above this a call that allocates its outputs says nothing more than one that does not. */
const SMALL = 64e6

/** What a variant does on each call. */
interface Calls {
  run(): void
  /** Before each sample, not timed. */
  before?: () => void
  /** Where its results are, if they are to be judged. */
  outputs?: Tensors
}

/** Keeps a device and times calls on it. */
export class Own {
  readonly #device: Device
  readonly #cpu: Device
  /** What flushes the cache: nothing of a case is left there once this was written and read. */
  readonly #flushed: Tensor<'f32'>
  readonly #flushing: { run(): unknown }[]
  #tensors: Tensors = {}
  #made: { dispose(): void }[] = []

  constructor(device: Device, cpu: Device, tiny: boolean) {
    this.#device = device
    this.#cpu = cpu
    this.#flushed = device.empty([(tiny ? FLUSH.tiny : FLUSH.full) / BYTES.f32])
    // Lines that were written would be written back at the cost of the next call: the read does it before.
    this.#flushing = [fill.prepare({ x: this.#flushed }, { value: 1.5 }), gradNorm.prepare({ grad: this.#flushed })]
  }

  get #backend(): CudaBackend {
    return this.#device.backend as CudaBackend
  }

  /** Fills the tensors of a case and returns the ways to compute it; the first two are the same, for the noise. */
  async load(work: Work): Promise<Subject[]> {
    for (const [name, input] of Object.entries(work.inputs)) this.#tensors[name] = upload(this.#device, input)
    const total = Object.values(work.inputs).reduce((sum, input) => sum + inputBytes(input), 0)
    const measures: Measure[] = total < CACHED ? ['cold', 'warm', 'full', 'enqueue'] : ['cold', 'full', 'enqueue']
    const subjects: Subject[] = []
    for (const [name, calls] of this.#variants(work)) {
      calls.before?.()
      calls.run()
      const judged = calls.outputs === undefined ? {} : await this.#judged(work, calls.outputs)
      subjects.push({
        name,
        peer: 'prefgrad',
        measures: calls.before === undefined ? measures : measures.filter((measure) => measure !== 'warm'),
        sample: async (measure, count, inARow) => this.#sample(calls, measure, count, inARow),
        outputs: async () => judged,
      })
    }
    const [first] = subjects
    return [first, { ...first, name: 'prefgrad, again' }, ...subjects.slice(1)]
  }

  /** What prefgrad's own copy and sum reach: all there is where no peer measures them, and now and then the best. */
  ceilings(): Ceiling[] {
    const shape = this.#flushed.shape
    const x = upload(this.#device, normalInput(this.#cpu, shape, { seed: 99 })) as Tensor<'f32'>
    const y = this.#device.empty(shape)
    const calls = [
      { name: 'copy', bytes: 2 * x.byteLength, source: 'prefgrad copy', call: copy.prepare({ x }, {}, { out: { y } }) },
      { name: 'read', bytes: x.byteLength, source: 'prefgrad gradNorm', call: gradNorm.prepare({ grad: x }) },
    ] as const
    const found = calls.map(({ name, bytes, source, call }): Ceiling => {
      const best = Math.min(...this.#sample({ run: () => void call.run() }, 'cold', CEILING_SAMPLES))
      return { name, rate: (bytes / best) * 1e-6, unit: 'GB/s', source }
    })
    for (const one of [x, y, ...calls.map(({ call }) => call)]) one.dispose()
    return found
  }

  /** Lets go of the tensors and calls of a case. */
  unload(): void {
    for (const one of this.#made) one.dispose()
    for (const tensor of Object.values(this.#tensors)) tensor.dispose()
    this.#made = []
    this.#tensors = {}
  }

  #keep<T extends { dispose(): void }>(one: T): T {
    this.#made.push(one)
    return one
  }

  #variants(work: Work): [string, Calls][] {
    const before = this.#restore(work.restored ?? [])
    if (work.step !== undefined) {
      const { calls, outputs } = work.step(this.#device, this.#tensors)
      for (const call of calls) this.#keep(call)
      for (const output of Object.values(outputs)) this.#keep(output)
      const whole = this.#keep(sequence(calls))
      return [
        ['prefgrad', { run: () => whole.run(), before, outputs }],
        ['prefgrad, op by op', { run: () => calls.forEach((call) => void call.run()), before }],
      ]
    }
    const op = opNamed(work.op)
    const prepared = this.#keep(op.prepare(this.#tensors, work.options))
    for (const output of Object.values(prepared.outputs)) this.#keep(output)
    const variants: [string, Calls][] = [
      ['prefgrad', { run: () => void prepared.run(), before, outputs: prepared.outputs }],
    ]
    if (work.bytes <= SMALL) {
      const run = (): void => {
        for (const output of Object.values(op(this.#tensors, work.options))) output.dispose()
      }
      // The same kernels: there is nothing more to judge.
      variants.push(['prefgrad, plain call', { run, before }])
    }
    if (work.inPlace !== undefined) {
      const { output, input } = work.inPlace
      // What it overwrites is its own, so that the other variants still have their input.
      const own = this.#keep(upload(this.#device, work.inputs[input]))
      const out = { [output]: own }
      const inPlace = this.#keep(op.prepare({ ...this.#tensors, [input]: own }, work.options, { out }))
      const restore = this.#copier(this.#tensors[input], own)
      variants.push(['prefgrad, in place', { run: () => void inPlace.run(), before: restore, outputs: out }])
    }
    return variants
  }

  /** Puts inputs back that a run overwrites; undefined: there are none. */
  #restore(names: readonly string[]): (() => void) | undefined {
    if (names.length === 0) return undefined
    const copies = names.map((name) => {
      const tensor = this.#tensors[name]
      const kept = this.#keep(this.#device.empty(tensor.shape, tensor.dtype))
      this.#copier(tensor, kept)()
      return this.#copier(kept, tensor)
    })
    return () => {
      for (const one of copies) one()
    }
  }

  /** Copies all bytes of a tensor, whatever its element type, as f32: as many bytes as that divides. */
  #copier(from: Tensor, to: Tensor): () => void {
    const elements = Math.floor((product(from.shape) * BYTES[from.dtype]) / BYTES.f32)
    const words = (tensor: Tensor): Tensor<'f32'> =>
      this.#keep(this.#device.wrapPointer(tensor.devicePointer, [elements], 'f32'))
    const call = this.#keep(copy.prepare({ x: words(from) }, {}, { out: { y: words(to) } }))
    return () => void call.run()
  }

  async #judged(work: Work, outputs: Tensors): Promise<Record<string, ArrayLike<number>>> {
    const found: Record<string, ArrayLike<number>> = {}
    for (const name of work.judged) {
      const tensor = outputs[name] ?? this.#tensors[name]
      const width = product(tensor.shape.slice(1))
      const parts = judgedRows(work, name)?.map((row) => tensor.view(row * width, [width])) ?? [
        tensor.view(0, [tensor.size]),
      ]
      const read = await this.#device.read(parts)
      for (const part of parts) part.dispose()
      const total = read.reduce((sum, part) => sum + part.length, 0)
      const data = new (read[0].constructor as Float32ArrayConstructor)(total)
      let at = 0
      for (const part of read) {
        data.set(part as Float32Array, at)
        at += part.length
      }
      found[name] = widened(this.#cpu, { data, shape: [total], dtype: tensor.dtype })
    }
    return found
  }

  #sample(calls: Calls, measure: Measure, count: number, inARow = 1): number[] {
    const backend = this.#backend
    return Array.from({ length: count }, () => {
      calls.before?.()
      if (measure === 'cold' || measure === 'warm') {
        // Also keeps the device busy until everything that is timed is enqueued.
        for (const call of this.#flushing) call.run()
        if (measure === 'warm') calls.run()
        return this.#deviceTime(calls.run)
      }
      const many = calls.before === undefined ? inARow : 1
      backend.synchronize()
      const start = performance.now()
      for (let i = 0; i < many; i++) calls.run()
      if (measure === 'enqueue') {
        const end = performance.now()
        backend.synchronize()
        return (end - start) / many
      }
      backend.synchronize()
      return performance.now() - start
    })
  }

  /** The emulator has no clock of its own. */
  #deviceTime(run: () => void): number {
    if (this.#device.name !== 'cuda:emulated') return this.#backend.time(run)
    const start = performance.now()
    run()
    this.#backend.synchronize()
    return performance.now() - start
  }
}
