/** Which cases a command asks for. */
import type { Dtype } from '../lib/dtype.ts'
import { refuse } from '../lib/refuse.ts'
import { type Family, families } from './cases/index.ts'
import type { Command } from './command.ts'

/** One case, and the instruction sets that it is measured on. */
export interface Planned {
  family: Family
  shape: readonly number[]
  dtype: Dtype
  isas: readonly string[]
  /** What the shape stands for, where memory cut it down. */
  note?: string
}

const sizes = (family: Family, text: string): number[] | undefined => {
  const shape = text.split('x').map(Number)
  return shape.length === family.letters.split('x').length ? shape : undefined
}

/** The first case of every op, then the second ones, and so on: where time is short, no op goes without. */
export const everyOpFirst = (planned: readonly Planned[]): Planned[] => {
  const seen = new Map<string, number>()
  const ranked = planned.map((one) => {
    const rank = seen.get(one.family.op) ?? 0
    seen.set(one.family.op, rank + 1)
    return { one, rank }
  })
  return ranked.sort((a, b) => a.rank - b.rank).map(({ one }) => one)
}

/** @throws PrefgradError `ERR_NO_DEVICE` for an instruction set that the processor lacks */
export const refuseIsas = (command: Command, isas: readonly string[]): void => {
  for (const isa of command.isas ?? []) {
    if (!isas.includes(isa)) {
      refuse('ERR_NO_DEVICE', `instruction set '${isa}' is not there.`, {
        arg: 'isa',
        value: isa,
        fix: `This machine has ${isas.join(', ')}.`,
      })
    }
  }
}

/** `isas`: what the processor has, best first. */
export const planCases = (command: Command, isas: readonly string[]): Planned[] => {
  refuseIsas(command, isas)
  const planned: Planned[] = []
  for (const family of families) {
    if (command.ops !== undefined && !command.ops.includes(family.op)) continue
    const dtypes = command.dtypes?.filter((dtype) => family.dtypes.includes(dtype))
    const given = command.shapes?.flatMap((text) => sizes(family, text) ?? []).length
      ? command.shapes.flatMap((text) => {
          const shape = sizes(family, text)
          return shape === undefined ? [] : (dtypes ?? [family.dtypes[0]]).map((dtype) => ({ shape, dtype }))
        })
      : undefined
    if (command.shapes !== undefined && given === undefined) continue
    const listed = family.cases
      .filter((one) => command.all || one.representative === true)
      .map(({ shape, dtype = family.dtypes[0], alsoOn = [], note }) => ({ shape, dtype, alsoOn, note }))
    // A dtype that no listed case has is measured on the shapes of the others.
    const wanted =
      given ??
      (dtypes === undefined
        ? listed
        : dtypes.flatMap((dtype) => {
            const own = listed.filter((one) => one.dtype === dtype)
            return own.length > 0 ? own : listed.slice(0, 1).map((one) => ({ ...one, dtype }))
          }))
    for (const one of wanted) {
      const also = 'alsoOn' in one ? (one.alsoOn as readonly string[]) : []
      const chosen = command.isas ?? [isas[0], ...also.filter((isa) => isa !== isas[0] && isas.includes(isa))]
      const note = 'note' in one ? one.note : undefined
      planned.push({
        family,
        shape: one.shape,
        dtype: one.dtype,
        isas: chosen,
        ...(note === undefined ? {} : { note }),
      })
    }
  }
  if (planned.length === 0) {
    refuse('ERR_USAGE', 'no case fits these options.', { fix: '--list shows ops with their shapes and dtypes.' })
  }
  return planned
}
