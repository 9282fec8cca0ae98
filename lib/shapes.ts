/** Shapes: letters of the row bound to sizes on first sight, and compared ever after. */
import type { Argument } from './arguments.ts'
import { product } from './dtype.ts'
import type { OptionValues } from './options.ts'
import { refuse } from './refuse.ts'
import type { Dim, OpSpec } from './spec/schema.ts'

export interface Bound {
  dims: Record<string, number>
  /** Leading dimensions behind '*N', by letter. */
  lead: Record<string, readonly number[]>
  /** Token tensors came as a flat [N] without offsets. */
  flat: boolean
}

/** A row's shape taken apart once: `['*N', 'B+1', 2]` is a lead N, then B plus 1, then a fixed 2. */
interface Pattern {
  text: string
  /** The shape itself, where no letter stands in it. */
  fixed: readonly number[] | undefined
  lead: string | undefined
  rest: readonly { letter: string | undefined; amount: number }[]
}

const patternOf = (shape: readonly Dim[]): Pattern => {
  const lead = typeof shape[0] === 'string' && shape[0].startsWith('*') ? shape[0].slice(1) : undefined
  const rest = (lead === undefined ? shape : shape.slice(1)).map((dim) =>
    typeof dim === 'number'
      ? { letter: undefined, amount: dim }
      : { letter: dim.replace('+1', ''), amount: dim.endsWith('+1') ? 1 : 0 },
  )
  const text = `[${shape.map((dim) => String(dim).replace('*', '…')).join(', ')}]`
  const fixed = shape.every((dim) => typeof dim === 'number') ? Object.freeze([...shape]) : undefined
  return { text, fixed, lead, rest }
}

/** Letters in the order of the argument struct: N, B, T first where the op has sequences, then as the shapes name them. */
export const lettersOf = (spec: OpSpec): string[] => {
  const letters = new Set<string>(spec.sequences === undefined ? [] : ['N', 'B', 'T'])
  for (const { shape } of [...Object.values(spec.inputs), ...Object.values(spec.outputs)]) {
    const { lead, rest } = patternOf(shape)
    if (lead !== undefined) letters.add(lead)
    for (const { letter } of rest) if (letter !== undefined) letters.add(letter)
  }
  return [...letters]
}

/** No letter is bound yet. */
const UNBOUND = -1

export class ShapeBinder {
  readonly letters: readonly string[]
  readonly #op: string
  readonly #spec: OpSpec
  readonly #names: readonly string[]
  readonly #inputs: readonly Pattern[]
  readonly #outputs: readonly Pattern[]
  /** Inputs with a lead. */
  readonly #leading: readonly number[]
  /** `[letter, option]` of dimensions that an option fixes. */
  readonly #fromOptions: readonly (readonly [string, string])[]
  readonly #offsets: number
  readonly #unbound: Readonly<Record<string, number>>

  constructor(op: string, spec: OpSpec) {
    this.#op = op
    this.#spec = spec
    this.#names = Object.keys(spec.inputs)
    this.#inputs = Object.values(spec.inputs).map((input) => patternOf(input.shape))
    this.#outputs = Object.values(spec.outputs).map((output) => patternOf(output.shape))
    this.#leading = [...this.#inputs.keys()].filter((i) => this.#inputs[i].lead !== undefined)
    this.#fromOptions = Object.entries(spec.dimsFrom ?? {})
    this.#offsets = this.#names.indexOf('offsets')
    this.letters = lettersOf(spec)
    this.#unbound = Object.fromEntries(this.letters.map((letter) => [letter, UNBOUND]))
  }

  bind(args: readonly (Argument | undefined)[], options: OptionValues): Bound {
    const bound: Bound = { dims: { ...this.#unbound }, lead: {}, flat: false }
    for (const [letter, option] of this.#fromOptions) bound.dims[letter] = Number(options[option])
    for (const i of this.#leading) {
      const arg = args[i]
      if (arg !== undefined) this.#bindLead(i, arg.shape, bound, args)
    }
    if (this.#spec.sequences !== undefined) this.#bindSequences(args, bound)
    for (let i = 0; i < args.length; i++) {
      const arg = args[i]
      if (arg !== undefined) this.#bindRest(i, arg.shape, bound, args)
    }
    for (const letter of this.letters) if (bound.dims[letter] === UNBOUND) bound.dims[letter] = 0
    return bound
  }

  /** The shape of the row's output number `o`. */
  outputShape(o: number, { dims, lead }: Bound): readonly number[] {
    const pattern = this.#outputs[o]
    if (pattern.fixed !== undefined) return pattern.fixed
    if (pattern.lead !== undefined && pattern.rest.length === 0) return lead[pattern.lead]
    const shape = pattern.lead === undefined ? [] : [...lead[pattern.lead]]
    for (const { letter, amount } of pattern.rest) shape.push(letter === undefined ? amount : dims[letter] + amount)
    return shape
  }

  #bindLead(i: number, shape: readonly number[], bound: Bound, args: readonly (Argument | undefined)[]): void {
    const { rest } = this.#inputs[i]
    const letter = this.#inputs[i].lead!
    const extra = shape.length - rest.length
    if (extra < 1) this.#refuseShape(i, shape)
    const mine = rest.length === 0 ? shape : shape.slice(0, extra)
    const first = bound.lead[letter]
    if (first === undefined) {
      bound.lead[letter] = mine
      bound.dims[letter] = product(mine)
      return
    }
    let same = first.length === mine.length
    for (let d = 0; same && d < mine.length; d++) same = first[d] === mine[d]
    if (!same) {
      const other = this.#names[this.#inputs.findIndex((input, j) => input.lead === letter && args[j] !== undefined)]
      refuse('ERR_SHAPE', `${this.#names[i]} has [${mine}] where ${other} has [${first}].`, {
        op: this.#op,
        arg: this.#names[i],
        value: shape,
      })
    }
  }

  /** Binds B and T, and says whether the tokens came flat. */
  #bindSequences(args: readonly (Argument | undefined)[], bound: Bound): void {
    const { dims, lead } = bound
    const shape = lead.N
    const offsets = this.#offsets < 0 ? undefined : args[this.#offsets]
    const op = this.#op
    const arg = this.#names[this.#inputs.findIndex((input, i) => input.lead === 'N' && args[i] !== undefined)]
    if (shape === undefined) {
      const candidates = this.#names.filter((_, i) => this.#inputs[i].lead === 'N')
      refuse('ERR_ARGUMENT', 'no input says how many tokens there are.', {
        op,
        arg: candidates[0],
        fix: `Give ${candidates.join(' or ')}.`,
      })
    }
    if (shape.length > 2) {
      refuse(
        'ERR_SHAPE',
        `${arg} has leading dimensions [${shape}] and must have [B, T], or packed [N] with offsets.`,
        {
          op,
          arg,
          value: shape,
        },
      )
    }
    if (shape.length === 2) {
      if (offsets !== undefined) {
        refuse('ERR_SHAPE', `offsets belong to packed [N] tensors, and ${arg} is [${shape}].`, {
          op,
          arg: 'offsets',
          fix: 'Leave offsets out, or give [N] tensors.',
        })
      }
      dims.B = shape[0]
      dims.T = shape[1]
    } else if (offsets !== undefined) {
      if (offsets.shape.length !== 1 || offsets.shape[0] < 1) this.#refuseShape(this.#offsets, offsets.shape)
      dims.B = offsets.shape[0] - 1
      dims.T = 0
    } else if (this.#spec.sequences === 'required') {
      refuse('ERR_SHAPE', `${arg} is a flat [${shape}], and this op needs to know where sequences end.`, {
        op,
        arg,
        fix: 'Give [B, T] ({ data, shape: [B, T] }), or packed [N] with offsets.',
      })
    } else {
      dims.B = 1
      dims.T = shape[0]
      bound.flat = true
    }
  }

  #bindRest(i: number, shape: readonly number[], { dims }: Bound, args: readonly (Argument | undefined)[]): void {
    const { lead, rest } = this.#inputs[i]
    const start = shape.length - rest.length
    if (lead === undefined && start !== 0) this.#refuseShape(i, shape)
    for (let d = 0; d < rest.length; d++) {
      const { letter, amount } = rest[d]
      if (letter === undefined) {
        if (shape[d + start] !== amount) this.#refuseShape(i, shape)
        continue
      }
      const size = shape[d + start] - amount
      if (size >= 0 && dims[letter] === UNBOUND) dims[letter] = size
      else if (size < 0 || size !== dims[letter]) {
        const other = this.#boundBy(letter, i, args)
        if (size < 0 || other === undefined) this.#refuseShape(i, shape)
        refuse('ERR_SHAPE', `${this.#names[i]} has ${letter}=${size} but ${other} has ${letter}=${dims[letter]}.`, {
          op: this.#op,
          arg: this.#names[i],
          value: shape,
        })
      }
    }
  }

  /** Which option or earlier input gave a letter its size. */
  #boundBy(letter: string, before: number, args: readonly (Argument | undefined)[]): string | undefined {
    const fixed = this.#fromOptions.find(([l]) => l === letter)
    if (fixed !== undefined) return fixed[1]
    const names = (i: number, l: string) =>
      args[i] !== undefined && (this.#inputs[i].lead === l || this.#inputs[i].rest.some((dim) => dim.letter === l))
    if (letter === 'B' && this.#spec.sequences !== undefined) {
      return this.#names[
        this.#offsets >= 0 && args[this.#offsets] ? this.#offsets : args.findIndex((_, i) => names(i, 'N'))
      ]
    }
    return this.#names.find((_, i) => (i < before || this.#inputs[i].lead === letter) && names(i, letter))
  }

  #refuseShape(i: number, shape: readonly number[]): never {
    return refuse('ERR_SHAPE', `${this.#names[i]} has shape [${shape}] and must have ${this.#inputs[i].text}.`, {
      op: this.#op,
      arg: this.#names[i],
      value: shape,
    })
  }
}
