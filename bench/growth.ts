/** How cost grows: time, memory and overhead of a call from tiny sizes to what memory and time allow. */
import { freemem } from 'node:os'
import type { Device } from '../lib/device.ts'
import type { Dtype } from '../lib/dtype.ts'
import { openDevice } from '../lib/index.ts'
import { shapeText } from './cases/family.ts'
import type { Family } from './cases/index.ts'
import { type CeilingKind, type Ceilings, limitedAmount } from './ceilings.ts'
import { fitGrowth } from './growth_fit.ts'
import { peakMemory } from './growth_memory.ts'
import { type Limits, type Sweep, sizeAt, sweepsOf, tooMuch } from './growth_plan.ts'
import type { GrowthCurve, GrowthPoint } from './growth_types.ts'
import { timedOf } from './growth_work.ts'
import { sampleInTurn } from './sampling.ts'
import { summarize } from './statistics.ts'
import { canReplay } from './tax_replay.ts'
import type { Implementation, Work } from './types.ts'

export interface GrowthOptions {
  families: readonly Family[]
  dtypes: readonly Dtype[] | undefined
  threads: readonly number[]
  isa: string
  repeats: number
  ceilings: Ceilings | undefined
  /** Larger sizes. */
  all: boolean
  progress: (text: string) => void
}

/** Memory of one process at most; the inputs are made beside it, and others need some too. */
const limitsOf = (all: boolean): Limits => ({
  bytes: Math.min((all ? 2048 : 256) * 2 ** 20, freemem() / 6),
  ms: all ? 5000 : 1000,
})

/** Tensors above this many bytes cost so much more than the call that its overhead cannot be seen. */
const OVERHEAD_BYTES = 2 ** 17
/** Tensors below this are nothing beside the pages that a process touches anyway. */
const MEMORY_BYTES = 2 ** 20

class Growth {
  readonly #options: GrowthOptions
  readonly #devices: ReadonlyMap<number, Device>
  readonly #rates = new Map<string, { threads: number; rate: number }[]>()

  constructor(options: GrowthOptions, devices: ReadonlyMap<number, Device>) {
    this.#options = options
    this.#devices = devices
  }

  async curve(sweep: Sweep, dtype: Dtype): Promise<GrowthCurve | undefined> {
    const { family, letter, fixed } = sweep
    const limits = limitsOf(this.#options.all)
    const points: GrowthPoint[] = []
    let work: Work | undefined
    let stopped: string | undefined
    for (let i = 0; stopped === undefined; i++) {
      const size = sizeAt(i)
      this.#options.progress(`${family.op} ${letter} = ${size}`)
      try {
        work = family.make(sweep.shapeAt(size), dtype, this.#devices.get(this.#options.threads[0])!)
        points.push(await this.#point(work, sweep, size, i % 2 === 0))
      } catch (error) {
        // The first sizes may be too small for an op, and the last too large: a context that is full.
        stopped = points.length > 0 || i > 4 ? (error as Error).message.split('\n')[0] : undefined
        continue
      }
      const { tensorBytes = 0, times } = points[points.length - 1]
      stopped = tooMuch(
        { size, bytes: tensorBytes, ms: Math.max(...times.map(({ min }) => min)) },
        sizeAt(i + 1),
        limits,
      )
    }
    if (work === undefined || points.length < 2) return undefined
    const ceiling = this.#ceiling(work)
    const { unit } = work
    const curve = { op: family.op, letter, dtype, fixed, unit, ...(ceiling && { ceiling }), points, stopped }
    return { ...curve, fits: fitGrowth(curve) }
  }

  async #point(work: Work, sweep: Sweep, size: number, withMemory: boolean): Promise<GrowthPoint> {
    const { threads, isa, repeats } = this.#options
    const sizes = Object.values(work.inputs).reduce((sum, { data }) => sum + data.byteLength, 0)
    const withWays = work.drive === undefined && sizes <= OVERHEAD_BYTES && canReplay()
    const entries: { implementation: Implementation; threads?: number; way?: string }[] = []
    let tensorBytes: number | undefined
    for (const count of threads) {
      const timed = await timedOf(work, this.#devices.get(count)!, withWays && count === threads[0])
      tensorBytes = timed.tensorBytes
      entries.push({ implementation: timed.call, threads: count })
      for (const way of timed.ways) entries.push({ implementation: way, way: way.name })
      if (timed.loop !== undefined) entries.push({ implementation: timed.loop, way: 'loop' })
    }
    const samples = await sampleInTurn(
      entries.map(({ implementation }) => implementation),
      { repeats, budgetMs: 500, warmMs: 20 },
    )
    for (const { implementation } of entries) await implementation.dispose?.()
    const failed = samples.find((one) => one.failed !== undefined)?.failed
    if (failed !== undefined) throw new Error(failed)
    const found = samples.map((one, i) => ({ ...entries[i], ...summarize(one.times) }))
    const loop = found.find(({ way }) => way === 'loop')
    const prepared = found.find((one) => one.threads === threads[0])!
    const overheads =
      loop === undefined
        ? []
        : [
            { way: 'prepared', ms: prepared.min - loop.min },
            ...found.flatMap(({ way, min }) =>
              way === undefined || way === 'loop' ? [] : [{ way, ms: min - loop.min }],
            ),
          ]
    const asked = { op: work.op, shape: sweep.shapeAt(size), dtype: work.dtype, threads: Math.max(...threads), isa }
    const isLarge = tensorBytes === undefined || tensorBytes >= MEMORY_BYTES
    const peakBytes = withMemory && isLarge ? await peakMemory(asked) : undefined
    return {
      size,
      shape: shapeText(sweep.shapeAt(size)),
      amount: limitedAmount(work),
      ...(tensorBytes === undefined ? {} : { tensorBytes }),
      times: found.flatMap(({ threads: count, min, median, p20, p80 }) =>
        count === undefined ? [] : [{ threads: count, min, median, p20, p80 }],
      ),
      ...(overheads.length === 0 ? {} : { overheads }),
      ...(peakBytes === undefined ? {} : { peakBytes }),
    }
  }

  /** The ceiling of a case, and for those that name none the traffic of reading and writing. */
  #ceiling({ ceiling }: Work): GrowthCurve['ceiling'] {
    const { ceilings, threads, isa } = this.#options
    if (ceilings === undefined) return undefined
    const kind: CeilingKind = ceiling?.kind ?? 'copy'
    if (!this.#rates.has(kind)) {
      const rates = threads.map((count) => ({
        threads: count,
        rate: ceilings.measure(kind, { threads: count, isa }).rate,
      }))
      this.#rates.set(kind, rates)
    }
    return { kind, rates: this.#rates.get(kind)! }
  }
}

/** Measures a curve for every size of every family; `found` is told each as it comes. */
export const measureGrowth = async (
  options: GrowthOptions,
  found: (curve: GrowthCurve) => void,
): Promise<GrowthCurve[]> => {
  const devices = new Map<number, Device>()
  const curves: GrowthCurve[] = []
  try {
    for (const count of options.threads)
      devices.set(count, await openDevice('cpu', { threads: count, isa: options.isa }))
    const growth = new Growth(options, devices)
    for (const family of options.families) {
      const dtypes = options.dtypes?.filter((dtype) => family.dtypes.includes(dtype)) ?? [family.dtypes[0]]
      for (const dtype of dtypes) {
        for (const sweep of sweepsOf(family)) {
          const curve = await growth.curve(sweep, dtype)
          if (curve === undefined) continue
          curves.push(curve)
          found(curve)
        }
      }
    }
    return curves
  } finally {
    for (const device of devices.values()) device.dispose()
  }
}
