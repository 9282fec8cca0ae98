/** A row of the op table with what every call of it needs to know, derived once and in one form for every op. */
import type { Argument } from './arguments.ts'
import { BYTES, type Dtype } from './dtype.ts'
import type { OptionValues } from './options.ts'
import type { Bound } from './shapes.ts'
import type { CallShape, OpSpec, StatsSpec } from './spec/schema.ts'

/** The arguments of a call in row order. */
export type Arguments = (Argument | undefined)[]

interface Input {
  readonly name: string
  readonly dtypes: readonly Dtype[]
  readonly optional: boolean
  readonly updated: boolean
  readonly doc: string
}

interface Output {
  readonly name: string
  /** Its element type where the row fixes it, as a list of one. */
  readonly dtypes: readonly Dtype[] | undefined
  /** Ordinals of the inputs in whose place it may be written. */
  readonly replaces: readonly number[]
  readonly stats: StatsSpec | undefined
}

export interface Pass {
  readonly ordinal: number
  readonly when: ((call: CallShape) => boolean) | undefined
  readonly grid: (call: CallShape) => number
  readonly work: (call: CallShape) => number
}

const ONLY: Readonly<Record<Dtype, readonly Dtype[]>> = {
  f32: ['f32'],
  bf16: ['bf16'],
  f16: ['f16'],
  i32: ['i32'],
  u8: ['u8'],
}

export class Row {
  readonly op: string
  readonly spec: OpSpec
  readonly inputs: readonly Input[]
  readonly outputs: readonly Output[]
  readonly passes: readonly Pass[]
  readonly inputOrdinal: ReadonlyMap<string, number>
  readonly outputOrdinal: ReadonlyMap<string, number>
  /** Outputs that may be added to. */
  readonly gradients: readonly string[]
  /** Ordinals of the inputs that the op writes. */
  readonly updated: readonly number[]
  readonly check: OpSpec['check']
  readonly workspace: OpSpec['workspace']
  /** The input whose element type picks the kernels; -1: all are f32. */
  readonly #typedInput: number
  /** The usual answer of `wanted`; undefined: it depends on the call. */
  readonly #allWanted: readonly boolean[] | undefined

  constructor(op: string, spec: OpSpec) {
    this.op = op
    this.spec = spec
    this.inputs = Object.entries(spec.inputs).map(([name, input]) => ({
      name,
      dtypes: input.dtypes ?? ONLY.f32,
      optional: input.optional === true,
      updated: input.updated === true,
      doc: input.doc,
    }))
    const names = Object.keys(spec.inputs)
    this.outputs = Object.entries(spec.outputs).map(([name, { dtype = 'f32', inPlaceOf = [], stats }]) => ({
      name,
      dtypes: typeof dtype === 'string' ? ONLY[dtype] : undefined,
      replaces: inPlaceOf.map((input) => names.indexOf(input)),
      stats,
    }))
    this.passes = spec.passes.map(({ when, grid, work }, ordinal) => ({ ordinal, when, grid, work }))
    this.inputOrdinal = new Map(this.inputs.map(({ name }, i) => [name, i]))
    this.outputOrdinal = new Map(this.outputs.map(({ name }, o) => [name, o]))
    this.gradients = Object.keys(spec.outputs).filter((name) => spec.outputs[name].gradient === true)
    this.updated = [...this.inputs.keys()].filter((i) => this.inputs[i].updated)
    this.check = spec.check
    this.workspace = spec.workspace
    this.#typedInput = this.inputs.findIndex(({ dtypes }) => dtypes.length > 1)
    const always = Object.values(spec.outputs).every((output) => output.when === undefined)
    this.#allWanted = always ? this.outputs.map(() => true) : undefined
  }

  /** Which outputs does this call make? */
  wanted(values: OptionValues, args: Arguments): readonly boolean[] {
    if (this.#allWanted !== undefined) return this.#allWanted
    return Object.values(this.spec.outputs).map(({ when }) => {
      if (when === undefined) return true
      if (this.inputOrdinal.has(when)) return this.argument(when, args) !== undefined
      return values[when] !== undefined && values[when] !== false
    })
  }

  /** The argument of this name; undefined: not given, or no such input. */
  argument(name: string, args: Arguments): Argument | undefined {
    const i = this.inputOrdinal.get(name)
    return i === undefined ? undefined : args[i]
  }

  /** Element type that picks the kernels. */
  kernelDtype(args: Arguments): Dtype {
    return this.#typedInput < 0 ? 'f32' : (args[this.#typedInput]?.dtype ?? 'f32')
  }

  /** Element type of output number `o` in this call, as a list of one. */
  outputDtypes(o: number, values: OptionValues, args: Arguments): readonly Dtype[] {
    const { name, dtypes } = this.outputs[o]
    if (dtypes !== undefined) return dtypes
    const rule = this.spec.outputs[name].dtype as { as: string } | { option: string }
    return ONLY['as' in rule ? (this.argument(rule.as, args)?.dtype ?? 'f32') : (values[rule.option] as Dtype)]
  }

  /** The name of an argument of a launch, inputs before outputs. */
  nameOf(slot: number): string {
    return slot < this.inputs.length ? this.inputs[slot].name : `out.${this.outputs[slot - this.inputs.length].name}`
  }
}

/** Sizes and settings of one call: what a row's passes, derived words and checks may look at. */
export class Call implements CallShape {
  readonly dims: Record<string, number>
  readonly flat: boolean
  options: OptionValues
  threads = 1
  readonly #row: Row
  readonly #args: Arguments
  readonly #wanted: readonly boolean[]

  constructor(row: Row, bound: Bound, options: OptionValues, args: Arguments, wanted: readonly boolean[]) {
    this.dims = bound.dims
    this.flat = bound.flat
    this.options = options
    this.#row = row
    this.#args = args
    this.#wanted = wanted
  }

  has(name: string): boolean {
    const input = this.#row.inputOrdinal.get(name)
    if (input !== undefined) return this.#args[input] !== undefined
    const output = this.#row.outputOrdinal.get(name)
    return output !== undefined && this.#wanted[output]
  }

  elementBytes(name: string): number {
    const arg = this.#row.argument(name, this.#args)
    return arg === undefined ? 0 : BYTES[arg.dtype]
  }
}
