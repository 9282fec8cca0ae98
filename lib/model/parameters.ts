import type { Device } from '../device.ts'
import { product } from '../dtype.ts'
import { copy } from '../index.ts'
import type { Random } from '../random.ts'
import type { Tensor } from '../tensor.ts'

/** One named tensor of a model: where it starts in the flat tensor, and how it begins. */
export interface ParameterSpec {
  name: string
  shape: readonly number[]
  /** Standard deviation of the normal start; 'ones' for norm gains, 0 for zeros. */
  init: number | 'ones'
  /** Weight decay applies (matrices, not gains). */
  decays: boolean
}

/** Views start at multiples of this many f32 (256 bytes), as GPU bindings want. */
const ALIGNMENT = 64

/**
 * All parameters of a model in one flat f32 tensor, with a named view for each, so that the optimizer, the norm and a
 * checkpoint are one op, one op and one file entry.
 */
export class Parameters {
  readonly device: Device
  readonly specs: readonly ParameterSpec[]
  readonly flat: Tensor<'f32'>
  /** (offset, length) per tensor, for `adamw`. */
  readonly segments: Tensor<'i32'>
  readonly #views = new Map<string, Tensor<'f32'>>()
  readonly #offsets: readonly number[]

  constructor(device: Device, specs: readonly ParameterSpec[]) {
    this.device = device
    this.specs = specs
    const offsets: number[] = []
    let end = 0
    for (const spec of specs) {
      offsets.push(end)
      end = Math.ceil((end + product(spec.shape)) / ALIGNMENT) * ALIGNMENT
    }
    this.#offsets = offsets
    this.flat = device.zeros([end])
    const segments = new Int32Array(2 * specs.length)
    specs.forEach((spec, i) => {
      segments[2 * i] = offsets[i]
      segments[2 * i + 1] = product(spec.shape)
      this.#views.set(spec.name, this.flat.view(offsets[i], spec.shape))
    })
    this.segments = device.tensor(segments, [specs.length, 2])
  }

  /** Number of parameters, padding not counted. */
  get count(): number {
    return this.specs.reduce((sum, spec) => sum + product(spec.shape), 0)
  }

  get(name: string): Tensor<'f32'> {
    const view = this.#views.get(name)
    if (view === undefined) throw new RangeError(`no parameter ${name}`)
    return view
  }

  has(name: string): boolean {
    return this.#views.has(name)
  }

  /** A view of `name` within another flat tensor of the same layout (gradients, moments). */
  within(flat: Tensor<'f32'>, name: string): Tensor<'f32'> {
    const index = this.specs.findIndex((spec) => spec.name === name)
    return flat.view(this.#offsets[index], this.specs[index].shape)
  }

  /** Decay per segment: `weightDecay` where it applies, else 0. */
  decay(weightDecay: number): Tensor<'f32'> {
    return this.device.tensor(new Float32Array(this.specs.map((spec) => (spec.decays ? weightDecay : 0))))
  }

  /** Starts every parameter from a seeded generator, in order of the specs. */
  initialize(random: Random): void {
    for (const spec of this.specs) {
      const data = new Float32Array(product(spec.shape))
      if (spec.init === 'ones') data.fill(1)
      else if (spec.init > 0) for (let i = 0; i < data.length; i++) data[i] = spec.init * random.normal()
      this.get(spec.name).write(data)
    }
  }

  /** Takes over the values of the parameters that have the same names in another model on the same device. */
  copyFrom(other: Parameters): void {
    for (const { name } of this.specs) {
      if (other.has(name)) copy({ x: other.get(name) }, {}, { out: { y: this.get(name) } })
    }
  }

  dispose(): void {
    for (const view of this.#views.values()) view.dispose()
    this.flat.dispose()
    this.segments.dispose()
  }
}
