/** The uniform block of a call: which words it has, as WGSL, and how they are filled. Made from the row alone. */
import { lettersOf } from '../../shapes.ts'
import type { OpSpec, OptionSpec } from '../../spec/schema.ts'

/** Words before those of the row: the call's number, the op's, zero, and the bits of a NaN. */
const HEADER = ['call', 'op', 'zero', 'nan']
const QUIET_NAN = 0x7fc00000

/** The names of a call's tensors as WGSL has them, inputs before outputs. */
export const tensorNames = (spec: OpSpec): string[] => [
  ...Object.keys(spec.inputs).map((name) => `in_${name}`),
  ...Object.keys(spec.outputs).map((name) => `out_${name}`),
]

const fieldsOf = (name: string, option: OptionSpec): string[] => {
  const given = option.default === undefined && 'required' in option === false ? [`given_${name}: u32`] : []
  if (option.type === 'number') return [`${name}: f32`, `${name}_low: f32`, ...given]
  if (option.type === 'seed') return [`${name}_low: u32`, `${name}_high: u32`]
  return [`${name}: ${option.type === 'integer' ? 'i32' : 'u32'}`, ...given]
}

/** Packs launches of one op. Numbers come as two f32 that add up to the f64. */
export class ArgumentBlock {
  readonly wgsl: string
  readonly bytes: number
  readonly #spec: OpSpec
  readonly #letters: readonly string[]
  readonly #op: number

  constructor(spec: OpSpec, op: number) {
    this.#spec = spec
    this.#letters = lettersOf(spec)
    this.#op = op
    const derived = Object.keys(spec.derived ?? {})
    const fields = [
      ...HEADER.map((name) => `${name}: u32`),
      ...this.#letters.map((letter) => `${letter}: u32`),
      ...Object.entries(spec.options).flatMap(([name, option]) => fieldsOf(name, option)),
      ...derived.flatMap((name) => [`${name}: f32`, `${name}_low: f32`]),
      ...tensorNames(spec).map((name) => `${name}_at: u32`),
    ]
    this.wgsl = `struct Arguments {\n${fields.map((field) => `  ${field},\n`).join('')}}\n`
    this.bytes = 16 * Math.ceil(fields.length / 4)
  }

  /**
   * @param words the launch's: present, dims, options, derived, two u32 each
   * @param places where each tensor begins in its binding, in elements
   * @param to four-byte words of the uniform ring, from `at` on
   */
  fill(words: Uint32Array, places: readonly number[], call: number, to: Uint32Array, at: number): void {
    const floats = new Float32Array(to.buffer, to.byteOffset, to.length)
    const doubles = new Float64Array(words.buffer, words.byteOffset, words.length / 2)
    let next = at
    let word = 1
    const number = (): void => {
      const x = doubles[word]
      const high = Math.fround(x)
      floats[next++] = Number.isNaN(x) ? 0 : high
      floats[next++] = Number.isFinite(high) ? x - high : 0
    }
    to[next++] = call
    to[next++] = this.#op
    to[next++] = 0
    to[next++] = QUIET_NAN
    for (let i = 0; i < this.#letters.length; i++) to[next++] = words[2 * word++]
    for (const option of Object.values(this.#spec.options)) {
      const optional = option.default === undefined && 'required' in option === false
      if (option.type === 'number') {
        number()
        if (optional) to[next++] = Number.isNaN(doubles[word]) ? 0 : 1
      } else if (option.type === 'seed') {
        to[next++] = words[2 * word]
        to[next++] = words[2 * word + 1]
      } else {
        to[next++] = words[2 * word]
        if (optional) to[next++] = words[2 * word + 1] === 0xffffffff ? 0 : 1
      }
      word++
    }
    for (const _ of Object.keys(this.#spec.derived ?? {})) {
      number()
      word++
    }
    for (let i = 0; i < places.length; i++) to[next++] = places[i]
  }
}
