/** The handshake at load: what the addon can run must be what the op table says, pass by pass and word by word. */
import { layoutOf } from './options.ts'
import { table } from './spec/index.ts'
import type { OpSpec } from './spec/schema.ts'

/** One entry of the addon's list; its place in the list is the number that a launch uses. */
export interface NativeKernel {
  op: string
  pass: string
  dtype: string
  /** 8-byte words of the argument struct before its pointers. */
  words: number
  /** Inputs, outputs, workspace and fault. */
  pointers: number
}

/** Element types that an op has kernels for: those of its first input with a choice. */
export const kernelDtypes = (spec: OpSpec): readonly string[] =>
  Object.values(spec.inputs).find((input) => (input.dtypes?.length ?? 1) > 1)?.dtypes ?? ['f32']

const keyOf = (op: string, pass: string, dtype: string): string => `${op}.${pass}.${dtype}`

/** Every difference between the addon's list and the table, in words; empty when they agree. */
export const compareWithTable = (
  kernels: readonly NativeKernel[],
  rows: Readonly<Record<string, OpSpec>> = table,
): string[] => {
  const differences: string[] = []
  const native = new Map(kernels.map((kernel) => [keyOf(kernel.op, kernel.pass, kernel.dtype), kernel]))
  if (native.size !== kernels.length) differences.push('the addon lists a kernel twice')
  for (const [op, spec] of Object.entries(rows)) {
    const { words, pointers } = layoutOf(spec)
    for (const { name } of spec.passes) {
      for (const dtype of kernelDtypes(spec)) {
        const key = keyOf(op, name, dtype)
        const kernel = native.get(key)
        native.delete(key)
        if (kernel === undefined) differences.push(`the addon has no ${key}`)
        else if (kernel.words !== words || kernel.pointers !== pointers) {
          differences.push(
            `${key} takes ${kernel.words} words and ${kernel.pointers} pointers, and the table has ${words} and ${pointers}`,
          )
        }
      }
    }
  }
  for (const key of native.keys()) differences.push(`the table has no ${key}`)
  return differences
}

/** Every difference between the addon's list of CUDA ops and the table, in words; empty when they agree. */
export const compareOps = (
  ops: readonly { op: string; words: number; pointers: number }[],
  rows: Readonly<Record<string, OpSpec>> = table,
): string[] => {
  const differences: string[] = []
  const native = new Map(ops.map((entry) => [entry.op, entry]))
  for (const [op, spec] of Object.entries(rows)) {
    const { words, pointers } = layoutOf(spec)
    const entry = native.get(op)
    native.delete(op)
    if (entry === undefined) differences.push(`the addon has no CUDA kernels for ${op}`)
    else if (entry.words !== words || entry.pointers !== pointers) {
      differences.push(
        `${op} takes ${entry.words} words and ${entry.pointers} pointers, and the table has ${words} and ${pointers}`,
      )
    }
  }
  for (const op of native.keys()) differences.push(`the table has no ${op}`)
  return differences
}

/** Where the kernels of a pass stand in the addon's list: by op, element type and place of the pass in the row. */
export type KernelIndex = ReadonlyMap<string, ReadonlyMap<string, readonly number[]>>

export const indexKernels = (kernels: readonly NativeKernel[]): KernelIndex => {
  const places = new Map(kernels.map(({ op, pass, dtype }, i) => [keyOf(op, pass, dtype), i]))
  return new Map(
    Object.entries<OpSpec>(table).map(([op, spec]) => [
      op,
      new Map(
        kernelDtypes(spec).map((dtype) => [
          dtype,
          spec.passes.map(({ name }) => places.get(keyOf(op, name, dtype)) ?? -1),
        ]),
      ),
    ]),
  )
}
