/** Options: defaults, ranges, and their place among the 8-byte words of a call. */
import { describe, refuse, unknownName } from './refuse.ts'
import { lettersOf } from './shapes.ts'
import type { CallShape, OpSpec, OptionSpec } from './spec/schema.ts'

export type OptionValues = Record<string, number | boolean | string | bigint | undefined>

/** The argument words of a call, seen as what they hold. */
export class Words {
  readonly f64: Float64Array
  /** Two for each word, little end first. */
  readonly u32: Uint32Array

  constructor(count: number) {
    const buffer = new ArrayBuffer(8 * count)
    this.f64 = new Float64Array(buffer)
    this.u32 = new Uint32Array(buffer)
  }

  setInteger(word: number, value: number): void {
    this.u32[2 * word] = value >>> 0
    this.u32[2 * word + 1] = Math.floor(value / 4294967296) >>> 0
  }

  setBigint(word: number, value: bigint): void {
    this.u32[2 * word] = Number(value & 0xffffffffn)
    this.u32[2 * word + 1] = Number(value >> 32n)
  }
}

/** Words before the pointers, and pointers (with workspace and fault), of a row's argument struct. */
export const layoutOf = (spec: OpSpec): { words: number; pointers: number } => {
  const outputs = Object.values(spec.outputs)
  const accumulates = outputs.some((output) => output.gradient === true)
  const counts = [lettersOf(spec), Object.keys(spec.options), Object.keys(spec.derived ?? {})].map(
    (list) => list.length,
  )
  return {
    words: 1 + counts[0] + counts[1] + counts[2] + (accumulates ? 1 : 0),
    pointers: Object.keys(spec.inputs).length + outputs.length + 2,
  }
}

const range = (spec: Extract<OptionSpec, { type: 'number' | 'integer' }>): string => {
  const parts = []
  if (spec.min !== undefined) parts.push(`at least ${spec.min}`)
  if (spec.above !== undefined) parts.push(`above ${spec.above}`)
  if (spec.max !== undefined) parts.push(`at most ${spec.max}`)
  if (spec.below !== undefined) parts.push(`below ${spec.below}`)
  const kind = spec.type === 'integer' ? 'a whole number' : 'a finite number'
  return parts.length === 0 ? kind : `${kind}, ${parts.join(' and ')}`
}

const readNumber = (spec: Extract<OptionSpec, { type: 'number' | 'integer' }>, given: unknown): given is number =>
  typeof given === 'number' &&
  (spec.type === 'integer' ? Number.isSafeInteger(given) : Number.isFinite(given)) &&
  (spec.min === undefined || given >= spec.min) &&
  (spec.above === undefined || given > spec.above) &&
  (spec.max === undefined || given <= spec.max) &&
  (spec.below === undefined || given < spec.below)

const isSeed = (given: unknown): boolean =>
  typeof given === 'bigint' ? given >= 0n && given < 1n << 64n : Number.isSafeInteger(given) && (given as number) >= 0

const readOption = (op: string, name: string, spec: OptionSpec, given: unknown): OptionValues[string] => {
  let expected: string
  switch (spec.type) {
    case 'number':
    case 'integer':
      if (readNumber(spec, given)) return given
      expected = range(spec)
      break
    case 'seed':
      if (isSeed(given)) return given as number | bigint
      expected = 'a whole number from 0 to 2^64 - 1 (a bigint above 2^53)'
      break
    case 'boolean':
      if (typeof given === 'boolean') return given
      expected = 'true or false'
      break
    case 'enum':
      if (spec.values.includes(given as string)) return given as string
      expected = `one of ${spec.values.map((v) => `'${v}'`).join(', ')}`
  }
  return refuse('ERR_OPTION', `${name} must be ${expected}, and is ${describe(given)}.`, {
    op,
    arg: name,
    value: given,
    fix: spec.doc,
  })
}

/** Reads the options of an op, and writes the words of its calls: present, dims, options, derived, accumulate. */
export class OptionPacker {
  readonly wordCount: number
  readonly #op: string
  readonly #specs: Readonly<Record<string, OptionSpec>>
  readonly #letters: readonly string[]
  readonly #names: readonly string[]
  readonly #options: readonly OptionSpec[]
  readonly #required: readonly string[]
  readonly #derived: readonly ((call: CallShape) => number)[]
  readonly #defaults: OptionValues

  constructor(op: string, spec: OpSpec, letters: readonly string[]) {
    this.#op = op
    this.#specs = spec.options
    this.#letters = letters
    this.#names = Object.keys(spec.options)
    this.#options = Object.values(spec.options)
    this.#required = this.#names.filter((name) => 'required' in spec.options[name])
    this.#derived = Object.values(spec.derived ?? {})
    this.#defaults = Object.fromEntries(this.#names.map((name) => [name, spec.options[name].default]))
    this.wordCount = layoutOf(spec).words
  }

  /** Every option of the row: those given, checked, and the defaults of the others. Reads each given one once. */
  read(given: Record<string, unknown> | undefined): OptionValues {
    const op = this.#op
    const values = { ...this.#defaults }
    if (given !== undefined) {
      if (typeof given !== 'object' || given === null) {
        refuse('ERR_OPTION', `options must be an object, not ${describe(given)}.`, { op })
      }
      for (const name in given) {
        if (name === 'accumulate') continue
        if (!Object.hasOwn(this.#specs, name)) unknownName(op, 'option', name, this.#names)
        const value = given[name]
        if (value !== undefined) values[name] = readOption(op, name, this.#specs[name], value)
      }
    }
    for (const name of this.#required) {
      if (values[name] === undefined) {
        refuse('ERR_ARGUMENT', `${name} is missing.`, { op, arg: name, fix: `${name}: ${this.#specs[name].doc}` })
      }
    }
    return values
  }

  /** The options of a prepared call with some dynamic ones changed. */
  change(current: OptionValues, given: Record<string, unknown>): OptionValues {
    const op = this.#op
    const values = { ...current }
    if (typeof given !== 'object' || given === null) {
      refuse('ERR_OPTION', `options must be an object, not ${describe(given)}.`, { op })
    }
    for (const name in given) {
      if (!Object.hasOwn(this.#specs, name) || this.#specs[name].dynamic !== true) {
        const dynamic = this.#names.filter((known) => this.#specs[known].dynamic === true)
        unknownName(op, 'dynamic option', name, dynamic)
      }
      const value = given[name]
      if ((value === undefined) !== (current[name] === undefined)) {
        refuse('ERR_OPTION', `${name} cannot be added to or taken from a prepared call.`, {
          op,
          arg: name,
          fix: 'Prepare another call.',
        })
      }
      if (value !== undefined) values[name] = readOption(op, name, this.#specs[name], value)
    }
    return values
  }

  pack(words: Words, call: CallShape, present: number, accumulate: number): void {
    const letters = this.#letters
    words.setInteger(0, present)
    for (let i = 0; i < letters.length; i++) words.setInteger(1 + i, call.dims[letters[i]])
    const end = this.repack(words, call)
    if (end < this.wordCount) words.setInteger(end, accumulate)
  }

  /** Options and derived words only; returns the word after them. */
  repack(words: Words, call: CallShape): number {
    let word = 1 + this.#letters.length
    for (let i = 0; i < this.#options.length; i++) {
      const spec = this.#options[i]
      const value = call.options[this.#names[i]]
      if (spec.type === 'number') words.f64[word] = value === undefined ? Number.NaN : (value as number)
      else if (typeof value === 'bigint') words.setBigint(word, value)
      else if (value === undefined) words.setInteger(word, -1)
      else words.setInteger(word, spec.type === 'enum' ? spec.values.indexOf(value as string) : Number(value))
      word++
    }
    for (let i = 0; i < this.#derived.length; i++) words.f64[word++] = this.#derived[i](call)
    return word
  }
}
