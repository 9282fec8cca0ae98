/** How a family of cases describes itself. */

import type { Device } from '../../lib/device.ts'
import { BYTES, type Dtype } from '../../lib/dtype.ts'
import { type OpName, table } from '../../lib/index.ts'
import type { OpSpec } from '../../lib/spec/schema.ts'
import type { OptionValue, Work } from '../types.ts'

/** A shape that is measured; `representative` ones are part of a run without arguments. */
export interface FamilyCase {
  shape: readonly number[]
  dtype?: Dtype
  representative?: boolean
  /** Instruction sets beside the best one. */
  alsoOn?: readonly string[]
  /** What the shape stands for, where memory or time cut it down. */
  note?: string
}

export interface Family {
  op: string
  /** What the numbers of a shape are: `NxV`. */
  letters: string
  dtypes: readonly Dtype[]
  cases: readonly FamilyCase[]
  make(shape: readonly number[], dtype: Dtype, device: Device): Work
}

export const shapeText = (shape: readonly number[]): string => shape.join('x')

/** Evenly spread row numbers. */
export const spread = (count: number, of: number): number[] => {
  const rows = Math.min(count, of)
  return Array.from({ length: rows }, (_, i) => Math.floor(((i + 0.5) * of) / rows))
}

/** Bytes that any implementation must move, from the op's row. */
export const traffic = (
  op: OpName,
  dims: Readonly<Record<string, number>>,
  inputs: Readonly<Record<string, { readonly dtype: Dtype }>>,
  options: Readonly<Record<string, OptionValue>> = {},
): number =>
  (table[op] as OpSpec).traffic({
    dims,
    options,
    has: (name) => name in inputs,
    elementBytes: (name) => (inputs[name] === undefined ? 0 : BYTES[inputs[name].dtype]),
    flat: false,
    threads: 1,
  })
