/** Options: defaults, ranges, and their place among the 8-byte words of a call. */
import { PrefgradError } from './errors.ts'
import { describe, refuse, unknownName } from './refuse.ts'
import type { CallShape, OpSpec, OptionSpec } from './spec/schema.ts'

export type OptionValues = Record<string, number | boolean | string | bigint | undefined>

const TWO32 = 4294967296

const range = (spec: Extract<OptionSpec, { type: 'number' | 'integer' }>): string => {
  const parts = []
  if (spec.min !== undefined) parts.push(`at least ${spec.min}`)
  if (spec.above !== undefined) parts.push(`above ${spec.above}`)
  if (spec.max !== undefined) parts.push(`at most ${spec.max}`)
  if (spec.below !== undefined) parts.push(`below ${spec.below}`)
  const kind = spec.type === 'integer' ? 'a whole number' : 'a finite number'
  return parts.length === 0 ? kind : `${kind}, ${parts.join(' and ')}`
}

const readOption = (op: string, name: string, spec: OptionSpec, given: unknown): OptionValues[string] => {
  if (given === undefined) {
    if ('required' in spec && spec.required === true)
      refuse('ERR_ARGUMENT', `${name} is missing.`, { op, arg: name, fix: `${name}: ${spec.doc}` })
    return spec.default
  }
  const bad = (expected: string): never =>
    refuse('ERR_OPTION', `${name} must be ${expected}, and is ${describe(given)}.`, {
      op,
      arg: name,
      value: given,
      fix: spec.doc,
    })
  switch (spec.type) {
    case 'number':
    case 'integer': {
      if (typeof given !== 'number' || !Number.isFinite(given)) return bad(range(spec))
      if (spec.type === 'integer' && !Number.isSafeInteger(given)) return bad(range(spec))
      const inside =
        (spec.min === undefined || given >= spec.min) &&
        (spec.above === undefined || given > spec.above) &&
        (spec.max === undefined || given <= spec.max) &&
        (spec.below === undefined || given < spec.below)
      return inside ? given : bad(range(spec))
    }
    case 'seed':
      if (
        typeof given === 'bigint'
          ? given >= 0n && given < 1n << 64n
          : Number.isSafeInteger(given) && (given as number) >= 0
      ) {
        return given as number | bigint
      }
      return bad('a whole number from 0 to 2^64 - 1 (a bigint above 2^53)')
    case 'boolean':
      return typeof given === 'boolean' ? given : bad('true or false')
    case 'enum':
      return spec.values.includes(given as string)
        ? (given as string)
        : bad(`one of ${spec.values.map((v) => `'${v}'`).join(', ')}`)
  }
}

/** Writes the words of a call: present, dims, options, derived, accumulate. */
export class OptionPacker {
  readonly wordCount: number
  readonly #op: string
  readonly #spec: OpSpec
  readonly #letters: readonly string[]
  readonly #options: [string, OptionSpec][]
  readonly #derived: [string, (call: CallShape) => number][]
  readonly #firstOption: number

  constructor(op: string, spec: OpSpec, letters: readonly string[]) {
    this.#op = op
    this.#spec = spec
    this.#letters = letters
    this.#options = Object.entries(spec.options)
    this.#derived = Object.entries(spec.derived ?? {})
    const accumulates = Object.values(spec.outputs).some((output) => output.gradient === true)
    this.#firstOption = 1 + letters.length
    this.wordCount = this.#firstOption + this.#options.length + this.#derived.length + (accumulates ? 1 : 0)
  }

  read(given: Record<string, unknown>): OptionValues {
    if (typeof given !== 'object' || given === null) {
      throw new PrefgradError('ERR_OPTION', `options must be an object, not ${describe(given)}.`, { op: this.#op })
    }
    for (const name in given) {
      if (name !== 'accumulate' && !Object.hasOwn(this.#spec.options, name)) {
        unknownName(this.#op, 'option', name, Object.keys(this.#spec.options))
      }
    }
    const values: OptionValues = {}
    for (const [name, spec] of this.#options) values[name] = readOption(this.#op, name, spec, given[name])
    return values
  }

  readDynamic(given: Record<string, unknown>, current: OptionValues): OptionValues {
    const values: OptionValues = {}
    for (const name in given) {
      const spec = this.#spec.options[name]
      const dynamic = this.#options.filter(([, option]) => option.dynamic === true).map(([n]) => n)
      if (spec?.dynamic !== true) unknownName(this.#op, 'dynamic option', name, dynamic)
      if ((given[name] === undefined) !== (current[name] === undefined)) {
        refuse('ERR_OPTION', `${name} cannot be added to or taken from a prepared call.`, {
          op: this.#op,
          arg: name,
          fix: 'Prepare another call.',
        })
      }
      values[name] = readOption(this.#op, name, spec, given[name])
    }
    return values
  }

  pack(call: CallShape, present: number, accumulate: number): ArrayBuffer {
    const words = new ArrayBuffer(8 * this.wordCount)
    const u32 = new Uint32Array(words)
    const integer = (word: number, value: number): void => {
      u32[2 * word] = value >>> 0
      u32[2 * word + 1] = Math.floor(value / TWO32) >>> 0
    }
    integer(0, present)
    for (let i = 0; i < this.#letters.length; i++) integer(1 + i, call.dims[this.#letters[i]])
    this.repack(words, call)
    if (this.wordCount > this.#firstOption + this.#options.length + this.#derived.length)
      integer(this.wordCount - 1, accumulate)
    return words
  }

  /** Options and derived words only. */
  repack(words: ArrayBuffer, call: CallShape): void {
    const f64 = new Float64Array(words)
    const u32 = new Uint32Array(words)
    let word = this.#firstOption
    for (const [name, spec] of this.#options) {
      const value = call.options[name]
      if (spec.type === 'number') {
        f64[word] = value === undefined ? Number.NaN : (value as number)
      } else if (typeof value === 'bigint') {
        u32[2 * word] = Number(value & 0xffffffffn)
        u32[2 * word + 1] = Number(value >> 32n)
      } else {
        const code =
          value === undefined ? -1 : spec.type === 'enum' ? spec.values.indexOf(value as string) : Number(value)
        u32[2 * word] = code >>> 0
        u32[2 * word + 1] = Math.floor(code / TWO32) >>> 0
      }
      word++
    }
    for (const [, derive] of this.#derived) f64[word++] = derive(call)
  }
}
