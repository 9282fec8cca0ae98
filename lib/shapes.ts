/** Shapes: letters of the row bound to sizes on first sight, and compared ever after. */
import type { OptionValues } from './options.ts'
import type { Argument } from './prepare.ts'
import { refuse } from './refuse.ts'
import type { Dim, OpSpec } from './spec/schema.ts'

export interface Bound {
  dims: Record<string, number>
  /** Leading dimensions behind '*N', by letter. */
  lead: Record<string, readonly number[]>
  flat: boolean
}

const leadLetter = (shape: readonly Dim[]): string | undefined =>
  typeof shape[0] === 'string' && shape[0].startsWith('*') ? shape[0].slice(1) : undefined

const plainLetter = (dim: Dim): string | undefined =>
  typeof dim === 'number' ? undefined : dim.startsWith('*') ? dim.slice(1) : dim.endsWith('+1') ? dim.slice(0, -2) : dim

/** Letters in the order of the argument struct: N, B, T first where the op has sequences, then as the shapes name them. */
export const lettersOf = (spec: OpSpec): string[] => {
  const letters = new Set<string>(spec.sequences === undefined ? [] : ['N', 'B', 'T'])
  for (const { shape } of [...Object.values(spec.inputs), ...Object.values(spec.outputs)]) {
    for (const dim of shape) {
      const letter = plainLetter(dim)
      if (letter !== undefined) letters.add(letter)
    }
  }
  return [...letters]
}

export class ShapeBinder {
  readonly letters: readonly string[]
  readonly #op: string
  readonly #spec: OpSpec
  readonly #names: string[]
  readonly #shapes: (readonly Dim[])[]

  constructor(op: string, spec: OpSpec) {
    this.#op = op
    this.#spec = spec
    this.#names = Object.keys(spec.inputs)
    this.#shapes = Object.values(spec.inputs).map((input) => input.shape)
    this.letters = lettersOf(spec)
  }

  bind(args: readonly (Argument | undefined)[], options: OptionValues): Bound {
    const dims: Record<string, number> = {}
    const lead: Record<string, readonly number[]> = {}
    // Who bound a letter first, for the message.
    const source: Record<string, string> = {}
    if (this.#spec.dimsFrom !== undefined) {
      for (const letter in this.#spec.dimsFrom) {
        const option = this.#spec.dimsFrom[letter]
        dims[letter] = Number(options[option])
        source[letter] = option
      }
    }
    for (let i = 0; i < args.length; i++) {
      const arg = args[i]
      if (arg !== undefined) this.#bindLead(this.#names[i], this.#shapes[i], arg.shape, dims, lead, source)
    }
    const flat = this.#spec.sequences !== undefined && this.#bindSequences(args, dims, lead, source)
    for (let i = 0; i < args.length; i++) {
      const arg = args[i]
      if (arg !== undefined) this.#bindRest(this.#names[i], this.#shapes[i], arg.shape, dims, source)
    }
    for (const letter of this.letters) dims[letter] ??= 0
    return { dims, lead, flat }
  }

  outputShape(shape: readonly Dim[], bound: Bound): readonly number[] {
    const out: number[] = []
    for (const dim of shape) {
      if (typeof dim === 'number') out.push(dim)
      else if (dim.startsWith('*')) out.push(...bound.lead[dim.slice(1)])
      else if (dim.endsWith('+1')) out.push(bound.dims[dim.slice(0, -2)] + 1)
      else out.push(bound.dims[dim])
    }
    return out
  }

  #bindLead(
    name: string,
    expected: readonly Dim[],
    shape: readonly number[],
    dims: Record<string, number>,
    lead: Record<string, readonly number[]>,
    source: Record<string, string>,
  ): void {
    const letter = leadLetter(expected)
    const rank = expected.length
    if (letter === undefined ? shape.length !== rank : shape.length < rank) {
      refuse('ERR_SHAPE', `${name} has shape [${shape}] and must have ${this.#describe(expected)}.`, {
        op: this.#op,
        arg: name,
        value: shape,
      })
    }
    if (letter === undefined) return
    const mine = shape.length === rank && rank === 1 ? shape : shape.slice(0, shape.length - rank + 1)
    const first = lead[letter]
    if (first === undefined) {
      lead[letter] = mine
      source[letter] = name
      let size = 1
      for (const n of mine) size *= n
      dims[letter] = size
      return
    }
    let same = first.length === mine.length
    for (let d = 0; same && d < mine.length; d++) same = first[d] === mine[d]
    if (!same) {
      refuse('ERR_SHAPE', `${name} has [${mine}] where ${source[letter]} has [${first}].`, {
        op: this.#op,
        arg: name,
        value: shape,
      })
    }
  }

  /** Binds B and T; returns whether the tokens came flat. */
  #bindSequences(
    args: readonly (Argument | undefined)[],
    dims: Record<string, number>,
    lead: Record<string, readonly number[]>,
    source: Record<string, string>,
  ): boolean {
    const shape = lead.N
    const at = this.#names.indexOf('offsets')
    const offsets = at < 0 ? undefined : args[at]
    const op = this.#op
    if (shape === undefined || shape.length > 2) {
      refuse('ERR_SHAPE', `${source.N} must be [B, T], or packed [N] with offsets.`, {
        op,
        arg: source.N,
        value: shape,
      })
    }
    source.B = source.N
    if (shape.length === 2) {
      if (offsets !== undefined) {
        refuse('ERR_SHAPE', `offsets belong to packed [N] tensors, and ${source.N} is [${shape}].`, {
          op,
          arg: 'offsets',
          fix: 'Leave offsets out, or give [N] tensors.',
        })
      }
      dims.B = shape[0]
      dims.T = shape[1]
      return false
    }
    if (offsets !== undefined) {
      if (offsets.shape.length !== 1 || offsets.shape[0] < 1) {
        refuse('ERR_SHAPE', `offsets has shape [${offsets.shape}] and must be [B+1].`, {
          op,
          arg: 'offsets',
          value: offsets.shape,
        })
      }
      dims.B = offsets.shape[0] - 1
      dims.T = 0
      source.B = 'offsets'
      return false
    }
    if (this.#spec.sequences === 'required') {
      refuse('ERR_SHAPE', `${source.N} is a flat [${shape}], and this op needs to know where sequences end.`, {
        op,
        arg: source.N,
        fix: 'Give [B, T] ({ data, shape: [B, T] }), or packed [N] with offsets.',
      })
    }
    dims.B = 1
    dims.T = shape[0]
    return true
  }

  #bindRest(
    name: string,
    expected: readonly Dim[],
    shape: readonly number[],
    dims: Record<string, number>,
    source: Record<string, string>,
  ): void {
    const offset = shape.length - expected.length
    for (let d = leadLetter(expected) === undefined ? 0 : 1; d < expected.length; d++) {
      const dim = expected[d]
      const size = shape[d + offset]
      if (typeof dim === 'number') {
        if (size !== dim)
          refuse('ERR_SHAPE', `${name} has shape [${shape}] and must have ${this.#describe(expected)}.`, {
            op: this.#op,
            arg: name,
            value: shape,
          })
        continue
      }
      const plus = dim.endsWith('+1') ? 1 : 0
      const letter = plus === 1 ? dim.slice(0, -2) : dim
      const known = dims[letter]
      if (known === undefined) {
        dims[letter] = size - plus
        source[letter] = name
      } else if (known !== size - plus) {
        refuse(
          'ERR_SHAPE',
          `${name} has ${letter}=${size - plus} but ${source[letter] ?? 'another argument'} has ${letter}=${known}.`,
          {
            op: this.#op,
            arg: name,
            value: shape,
          },
        )
      }
    }
  }

  #describe(shape: readonly Dim[]): string {
    return `[${shape.map((dim) => (typeof dim === 'string' && dim.startsWith('*') ? `…${dim.slice(1)}` : dim)).join(', ')}]`
  }
}
