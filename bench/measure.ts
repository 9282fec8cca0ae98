/** One case: make the inputs, load every implementation, judge its results, then take times in turn. */
import { rmSync } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Device } from '../lib/device.ts'
import { openDevice } from '../lib/index.ts'
import { exactOutputs, largestError } from './accuracy.ts'
import { shapeText } from './cases/family.ts'
import type { Ceilings } from './ceilings.ts'
import { refuseSlowGemm } from './fairness.ts'
import { judgeGoals } from './goals.ts'
import type { Planned } from './plan.ts'
import { prefgradImplementations } from './prefgrad.ts'
import { type Samples, sampleInTurn } from './sampling.ts'
import { summarize, withinNoise } from './statistics.ts'
import { threadsText } from './text.ts'
import type { About, CaseResult, Implementation, Peer, Row, Session, Setting, SharedInputs, Work } from './types.ts'

/** Inputs in one raw file for other processes, written when the first of them asks. */
const shareInputs = (work: Work): SharedInputs & { remove(): Promise<void> } => {
  let folder: string | undefined
  let written: ReturnType<SharedInputs['file']> | undefined
  const removeNow = (): void => rmSync(folder!, { recursive: true, force: true })
  const write: SharedInputs['file'] = async () => {
    folder = await mkdtemp(join(tmpdir(), 'prefgrad-bench-'))
    process.once('exit', removeNow)
    const path = join(folder, 'inputs.bin')
    const file = await open(path, 'w')
    const inputs: Awaited<ReturnType<SharedInputs['file']>>['inputs'] = {}
    let offset = 0
    try {
      for (const [name, { data, shape, dtype }] of Object.entries(work.inputs)) {
        inputs[name] = { dtype, shape, offset }
        const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
        for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten
        offset += data.byteLength
      }
    } finally {
      await file.close()
    }
    return { path, inputs }
  }
  return {
    file: () => {
      written ??= write()
      return written
    },
    remove: async () => {
      if (folder === undefined) return
      process.off('exit', removeNow)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export interface BenchOptions {
  ceilings: Ceilings | undefined
  peers: readonly Peer[]
  threads: readonly number[]
  repeats: number
  /** The run must end within minutes: no outputs made anew for large cases, and less is compiled. */
  isHasty: boolean
  /** Told what is being done. */
  progress: (text: string) => void
}

/** Keeps peers and devices open between cases. */
export class Bench {
  readonly #options: BenchOptions
  readonly #sessions = new Map<string, Promise<Session>>()
  readonly #devices = new Map<string, Promise<Device>>()

  constructor(options: BenchOptions) {
    this.#options = options
  }

  /** What the peers that were started say about themselves. */
  async about(): Promise<About[]> {
    const settled = await Promise.allSettled(this.#sessions.values())
    return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value.about] : []))
  }

  async close(): Promise<void> {
    const sessions = await Promise.allSettled(this.#sessions.values())
    await Promise.all(sessions.map((one) => (one.status === 'fulfilled' ? one.value.close() : undefined)))
    for (const device of await Promise.all(this.#devices.values())) device.dispose()
  }

  /** Measures a case on one instruction set, at each number of threads. */
  async run(planned: Planned, isa: string): Promise<CaseResult> {
    const { family, shape, dtype } = planned
    try {
      return await this.#run(planned, isa)
    } catch (error) {
      // Such as a shape that this machine has no memory for: the other cases go on.
      const rows = [failedRow('prefgrad', 0, (error as Error).message)]
      return { op: family.op, shape: shapeText(shape), dtype, isa, unit: 'GB/s', amount: 0, rows, goals: [] }
    }
  }

  async #run({ family, shape, dtype, note }: Planned, isa: string): Promise<CaseResult> {
    const { threads, progress } = this.#options
    const made = family.make(shape, dtype, await this.#device({ threads: 1, isa }))
    const work = this.#options.isHasty ? inHaste(made) : made
    const notes = [note, work.note].filter((text) => text !== undefined)
    const shared = shareInputs(work)
    const rows: Row[] = []
    try {
      const isExact = work.judged.length > 0 && work.judgedBy === undefined
      const exact = isExact ? exactOutputs(work, await this.#device({ threads: 1, isa })) : {}
      for (const count of threads) {
        progress(`${work.op} ${work.shape} ${dtype} ${isa}, ${threadsText(count)}`)
        rows.push(...(await this.#runWith(work, shared, exact, { threads: count, isa })))
      }
    } finally {
      await shared.remove()
    }
    return {
      op: work.op,
      shape: work.shape,
      dtype,
      isa,
      unit: work.unit,
      amount: work.amount,
      ...(work.ceiling === undefined ? {} : { ceiling: work.ceiling.kind }),
      ...(notes.length === 0 ? {} : { note: notes.join('; ') }),
      ...(work.isOverhead === true ? { isOverhead: true } : {}),
      rows,
      goals: judgeGoals(work, rows),
    }
  }

  async #runWith(
    work: Work,
    shared: SharedInputs,
    float64: Record<string, ArrayLike<number>>,
    setting: Setting,
  ): Promise<Row[]> {
    let exact = float64
    const failed: Row[] = []
    const implementations: Implementation[] = []
    const errors = new Map<Implementation, number>()
    const attempt = async (name: string, load: () => Promise<Implementation[]>): Promise<void> => {
      try {
        for (const one of await load()) {
          const outputs = work.judged.length > 0 ? await one.outputs?.() : undefined
          if (outputs !== undefined) {
            if (work.judgedBy === one.peer) exact = outputs
            else errors.set(one, errorOf(work, outputs, exact))
          }
          implementations.push(one)
        }
      } catch (error) {
        failed.push(failedRow(name, setting.threads, (error as Error).message))
      }
    }
    await attempt('ceiling', async () => this.#options.ceilings?.implementations(work, setting) ?? [])
    await attempt('prefgrad', async () => prefgradImplementations(work, await this.#device(setting)))
    for (const peer of this.#options.peers) {
      if (!(peer.ops?.includes(work.op) ?? true) || setting.threads > (peer.mostThreads ?? Infinity)) continue
      await attempt(peer.name, async () => {
        const session = await this.#session(peer, setting)
        await this.#refuseUnfair(work, session, setting)
        return session.load(work, shared)
      })
    }
    const samples = await sampleInTurn(implementations, { repeats: this.#options.repeats })
    // A peer that died meanwhile has said so in its row.
    for (const one of implementations) await one.dispose?.().catch(() => undefined)
    return [...toRows(work, samples, errors, setting.threads), ...failed]
  }

  /** Both rates are taken at this moment, so that a busy machine lowers both. */
  async #refuseUnfair(work: Work, session: Session, setting: Setting): Promise<void> {
    const { about } = session
    if (work.peerGemm === undefined || about.gemm === undefined) return
    const peak = this.#options.ceilings?.measure('multiplyAdd', setting).rate
    const gemm = (await session.gemm?.()) ?? about.gemm
    const refused = refuseSlowGemm({ ...about, gemm }, peak, work.peerGemm)
    if (refused !== undefined) throw new Error(refused)
  }

  /** Started at first use, and again where its process has ended. */
  async #session(peer: Peer, setting: Setting): Promise<Session> {
    const key = `${peer.name} ${setting.isa} ${setting.threads}`
    const session = await remember(this.#sessions, key, () => peer.open(setting))
    if (session.hasEnded?.() !== true) return session
    this.#sessions.delete(key)
    return remember(this.#sessions, key, () => peer.open(setting))
  }

  #device(setting: Setting): Promise<Device> {
    return remember(this.#devices, `${setting.isa} ${setting.threads}`, () => openDevice('cpu', setting))
  }
}

const inHaste = (work: Work): Work => ({
  ...work,
  compiled: work.compiled === true,
  variants: work.isOverhead === true ? work.variants : work.variants.slice(0, 1),
})

const remember = <T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> => {
  const found = known.get(key) ?? make()
  known.set(key, found)
  return found
}

/** NaN where an output is missing that prefgrad was judged by; a peer of one op need not have all of its outputs. */
const errorOf = (
  work: Work,
  outputs: Record<string, ArrayLike<number>>,
  exact: Record<string, ArrayLike<number>>,
): number =>
  work.judgedBy !== undefined && work.judged.some((name) => outputs[name] === undefined || exact[name] === undefined)
    ? Number.NaN
    : largestError(outputs, exact)

const failedRow = (implementation: string, threads: number, why: string): Row => ({
  implementation,
  peer: implementation,
  threads,
  samples: 0,
  calls: 0,
  min: 0,
  median: 0,
  p20: 0,
  p80: 0,
  rate: 0,
  failed: why.split('\n')[0],
})

/** Units of the case's rate per millisecond. */
const PER_MILLISECOND = { 'GB/s': 1e-6, 'GFLOP/s': 1e-6, 'tokens/s': 1e3 } as const

const toRows = (
  work: Work,
  samples: readonly Samples[],
  errors: ReadonlyMap<Implementation, number>,
  threads: number,
): Row[] => {
  const judge = work.judgedBy === undefined ? "float64's" : `${work.judgedBy}'s`
  const rows = samples.map(({ implementation, calls, times, failed }): Row => {
    const { name, peer } = implementation
    if (failed !== undefined) return { ...failedRow(name, threads, failed), peer }
    const summary = summarize(times)
    const maxError = errors.get(implementation)
    const isWrong = maxError !== undefined && !(maxError <= work.tolerance)
    return {
      implementation: name,
      peer,
      threads,
      samples: times.length,
      calls,
      ...summary,
      rate: (work.amount / summary.min) * PER_MILLISECOND[work.unit],
      ...(maxError === undefined ? {} : { maxError }),
      ...(isWrong ? { failed: `no ratio: wrong result, off by ${maxError} of ${judge} largest value` } : {}),
    }
  })
  const own = rows.find((row) => row.peer === 'prefgrad' && row.failed === undefined)
  const ceiling = rows.find((row) => row.peer === 'ceiling' && row.failed === undefined)
  for (const row of rows) {
    if (row.failed !== undefined) continue
    if (ceiling !== undefined && row !== ceiling) row.ofCeiling = row.rate / ceiling.rate
    if (own === undefined || row.peer === 'ceiling') continue
    row.ratio = row.min / own.min
    if (row !== own) row.withinNoise = withinNoise(row, own)
  }
  return rows
}
