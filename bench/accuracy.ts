/** How far results are from float64, by the references of the test suite, at a few sampled rows. */
import type { Device } from '../lib/device.ts'
import { table } from '../lib/index.ts'
import type { OpSpec } from '../lib/spec/schema.ts'
import { references } from '../test/reference/index.ts'
import { pickRows, widened } from './data.ts'
import type { Operand, OptionValue, Work } from './types.ts'

type Called = Pick<Work, 'op' | 'options'>

const specOf = (work: Called): OpSpec | undefined => (table as Record<string, OpSpec>)[work.op]

/** Options with the row's defaults filled in. */
export const resolvedOptions = (work: Called): Record<string, OptionValue> => {
  const defaults: Record<string, OptionValue> = {}
  for (const [name, option] of Object.entries(specOf(work)?.options ?? {})) {
    if (option.default !== undefined) defaults[name] = option.default
  }
  return { ...defaults, ...work.options }
}

/** Is this input or output cut down to the sampled rows? */
export const isSampled = (work: Called & Pick<Work, 'sampled'>, name: string): boolean => {
  const spec = specOf(work)
  const shape = spec?.outputs[name]?.shape ?? spec?.inputs[name]?.shape ?? []
  return work.sampled?.letters.includes(String(shape[0]).replace('*', '')) ?? false
}

/** The exact judged outputs at the sampled rows. */
export const exactOutputs = (work: Work, device: Device): Record<string, ArrayLike<number>> => {
  const inputs: Record<string, { data: ArrayLike<number>; shape: readonly number[]; dtype: Operand['dtype'] }> = {}
  for (const [name, operand] of Object.entries(work.inputs)) {
    const picked = isSampled(work, name) ? pickRows(operand, work.sampled!.rows) : operand
    inputs[name] = { data: widened(device, picked), shape: picked.shape, dtype: picked.dtype }
  }
  const all = references[work.op].compute(inputs, resolvedOptions(work))
  return Object.fromEntries(work.judged.map((name) => [name, all[name].data]))
}

/** Largest error over the judged outputs, each as a share of its largest exact value. NaN where a result is. */
export const largestError = (
  got: Readonly<Record<string, ArrayLike<number>>>,
  exact: Readonly<Record<string, ArrayLike<number>>>,
): number => {
  let largest = 0
  for (const [name, values] of Object.entries(exact)) {
    const given = got[name]
    // A peer may not have every output, but what it has is judged.
    if (given === undefined) continue
    if (given.length !== values.length) return Number.NaN
    let [off, size] = [0, 0]
    for (let i = 0; i < values.length; i++) {
      const error = Math.abs(given[i] - values[i])
      if (Number.isNaN(error)) return Number.NaN
      off = Math.max(off, error)
      size = Math.max(size, Math.abs(values[i]))
    }
    largest = Math.max(largest, off / Math.max(size, Number.MIN_VALUE))
  }
  return largest
}
