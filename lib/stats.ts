/** Reading and merging the `stats` vectors that losses return. */
import { PrefgradError } from './errors.ts'
import type { StatsSpec } from './spec/schema.ts'
import { Tensor } from './tensor.ts'

/** Raw slots of one or more calls. */
export interface StatsSlots {
  readonly layout: StatsSpec
  readonly slots: Record<string, number>
}

/** A loss result, its `stats` tensor, or slots that were merged before. */
export type StatsSource = { stats: Tensor } | Tensor | StatsSlots

/**
 * Slots from the elements of a `stats` tensor, on a device that has to be waited for:
 * `readStats(statsOf(stats, await stats.read()))`.
 *
 * @throws PrefgradError `ERR_ARGUMENT` when the tensor is no stats output
 */
export const statsOf = (stats: Tensor, values: ArrayLike<number>): StatsSlots => {
  const layout = stats?.statistics
  if (layout === undefined) {
    throw new PrefgradError('ERR_ARGUMENT', 'this is no stats output.', {
      arg: 'stats',
      fix: 'Give the result of a loss, or its stats tensor.',
    })
  }
  const names = Object.keys(layout.slots)
  return { layout, slots: Object.fromEntries(names.map((name, i) => [name, Number(values[i])])) }
}

const slotsOf = (source: StatsSource): StatsSlots => {
  if ('slots' in source) return source
  const tensor = source instanceof Tensor ? source : source.stats
  if (tensor?.statistics === undefined || tensor.storage.buffer !== undefined) return statsOf(tensor, tensor?.data)
  if (tensor.device.kind === 'webgpu') {
    throw new PrefgradError(
      'ERR_DEVICE_MISMATCH',
      `these stats are on ${tensor.device.name}, which must be waited for.`,
      {
        arg: 'stats',
        fix: 'Use statsOf(stats, await stats.read()).',
      },
    )
  }
  return statsOf(tensor, tensor.readSync())
}

/** Figures by name from the result of a loss: means, fractions and extremes over the valid items of the call. */
export const readStats = (source: StatsSource): Record<string, number> => {
  const { layout, slots } = slotsOf(source)
  return layout.read(slots)
}

/**
 * Adds micro-batches up: sums add, extremes compare, and moments (n, mean, M2) combine by Chan et al. 1979. The result can be
 * read with {@link readStats} or merged further.
 */
export const mergeStats = (...sources: StatsSource[]): StatsSlots => {
  if (sources.length === 0) throw new PrefgradError('ERR_ARGUMENT', 'mergeStats needs at least one result.')
  const [first, ...others] = sources.map(slotsOf)
  const slots = { ...first.slots }
  for (const other of others) {
    if (other.layout !== first.layout) {
      throw new PrefgradError('ERR_ARGUMENT', 'mergeStats was given results of different ops.', {
        fix: 'Merge the results of one op.',
      })
    }
    for (const [name, rule] of Object.entries(first.layout.slots)) {
      if (rule === 'sum') slots[name] += other.slots[name]
      else if (rule === 'min') slots[name] = Math.min(slots[name], other.slots[name])
      else if (rule === 'max') slots[name] = Math.max(slots[name], other.slots[name])
      else if (name.endsWith('.n')) mergeMoments(slots, other.slots, name.slice(0, -2))
    }
  }
  return { layout: first.layout, slots }
}

const mergeMoments = (into: Record<string, number>, from: Record<string, number>, name: string): void => {
  const [n, mean, m2] = [`${name}.n`, `${name}.mean`, `${name}.m2`]
  const total = into[n] + from[n]
  if (total === 0) return
  const gap = from[mean] - into[mean]
  into[m2] += from[m2] + (gap * gap * into[n] * from[n]) / total
  into[mean] += (gap * from[n]) / total
  into[n] = total
}
