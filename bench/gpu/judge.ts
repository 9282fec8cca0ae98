/** What the judged outputs should be, in float64, by the references of the test suite. */
import type { Device } from '../../lib/device.ts'
import { references } from '../../test/reference/index.ts'
import { isSampled, resolvedOptions } from '../accuracy.ts'
import { widened } from '../data.ts'
import { rowsOf, wholeOf } from './data.ts'
import type { Work } from './types.ts'

/** The rows of an output that are compared; undefined: all of them. Steps name their outputs, having no row in the table. */
export const judgedRows = (work: Work, name: string): readonly number[] | undefined => {
  const isCut = work.step === undefined ? isSampled(work, name) : work.sampled?.letters.includes(name)
  return isCut ? work.sampled!.rows : undefined
}

/** The exact judged outputs at the sampled rows; undefined for a step, whose peers are compared with prefgrad. */
export const exactOutputs = (work: Work, cpu: Device): Record<string, ArrayLike<number>> | undefined => {
  if (work.step !== undefined) return undefined
  if (work.judged.length === 0) return {}
  const inputs = Object.fromEntries(
    Object.entries(work.inputs).map(([name, input]) => {
      const rows = judgedRows(work, name)
      const picked = rows === undefined ? wholeOf(input) : rowsOf(input, rows)
      return [name, { data: widened(cpu, picked), shape: picked.shape, dtype: picked.dtype }]
    }),
  )
  const all = references[work.op].compute(inputs, resolvedOptions(work))
  return Object.fromEntries(work.judged.map((name) => [name, all[name].data]))
}
