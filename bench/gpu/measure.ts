/** One case: fill the tensors, judge everybody's results, then take times in turn. */

import { loadAddon } from '../../lib/backends/native.ts'
import type { Device } from '../../lib/device.ts'
import { largestError } from '../accuracy.ts'
import { selfNoise, summarize, withinNoise } from '../statistics.ts'
import { caseName } from './cases/index.ts'
import { judgeGoals } from './goals.ts'
import { exactOutputs } from './judge.ts'
import type { Own } from './own.ts'
import type { Peers } from './peers.ts'
import type { Subject, Work } from './types.ts'
import { type CaseResult, type Ceiling, MEASURES, type Measure, type Planned, type Row } from './types.ts'

/** Samples that are taken of a subject before the next one has its turn, while they are short. */
const TURN = 5
/** A turn of calls this long is one call. */
const LONG_MS = 20
/** Calls in a row whose return is timed together, if they are short: fewer than make the driver wait. */
const IN_A_ROW = 20
/** Short. */
const SHORT_MS = 1
/** A subject that has taken this long for one measure is asked no more, once it has three samples. */
const BUDGET_MS = 1500

export interface Tools {
  own: Own
  peers: Peers | undefined
  cpu: Device
  ceilings: readonly Ceiling[]
  samples: number
  /** Those measured before: some goals compare cases. */
  done: readonly CaseResult[]
}

interface Taken {
  subject: Subject
  times: Partial<Record<Measure, number[]>>
  failed?: string
}

/** Everybody in turn, so that a slow moment of the GPU falls on all alike. */
const takeTurns = async (all: readonly Taken[], measure: Measure, samples: number): Promise<void> => {
  const now = all.filter(({ subject, failed }) => failed === undefined && subject.measures.includes(measure))
  const left = new Map(now.map((one) => [one, { spent: 0, times: [] as number[] }]))
  // What a compiler or a clock that rises makes of the first calls is not counted.
  for (const [one] of left) await attempt(one, measure, 1)
  while (left.size > 0) {
    for (const [one, state] of left) {
      const usual = state.times.at(-1) ?? LONG_MS
      const times = await attempt(one, measure, Math.min(usual < LONG_MS / TURN ? TURN : 1, samples))
      state.times.push(...times)
      state.spent += times.reduce((sum, ms) => sum + ms, 0)
      const isSpent = state.spent > BUDGET_MS && state.times.length >= 3
      if (one.failed === undefined && state.times.length < samples && !isSpent) continue
      one.times[measure] = state.times
      left.delete(one)
    }
  }
}

const attempt = async (one: Taken, measure: Measure, count: number): Promise<number[]> => {
  try {
    const device = one.times.cold === undefined ? SHORT_MS : Math.min(...one.times.cold)
    const inARow = measure === 'enqueue' && device < SHORT_MS ? IN_A_ROW : 1
    return await one.subject.sample(measure, count, inARow)
  } catch (error) {
    one.failed = (error as Error).message
    return []
  }
}

const skippedCase = (planned: Planned, why: string): CaseResult => ({
  op: planned.op,
  shape: planned.shape,
  dtype: planned.dtype,
  bytes: 0,
  unit: 'GB/s',
  ceiling: 'copy',
  rows: [],
  goals: [],
  skipped: why,
})

/** Ops of the case that have no kernels yet. */
const missingOps = (work: Work): string[] => {
  const there = new Set(loadAddon().cuda.ops.map(({ op }) => op))
  return (work.needs ?? [work.op]).filter((op) => !there.has(op))
}

/** Milliseconds to the case's unit. */
const rateOf = (work: Work, ms: number): number =>
  work.flops === undefined ? (work.bytes / ms) * 1e-6 : (work.flops / ms) * 1e-9

/** Measures a case; it is left out when it needs kernels or memory that are not there. */
export const measureCase = async (planned: Planned, tools: Tools): Promise<CaseResult> => {
  const work = planned.make()
  const missing = missingOps(work)
  if (missing.length > 0) return skippedCase(planned, `no CUDA kernel yet for ${missing.join(', ')}`)
  const { own, peers, cpu, samples } = tools
  const failed: Row[] = []
  try {
    const mine = await own.load(work)
    const theirs =
      (await peers?.load(work, (implementation, peer, why) =>
        failed.push({ implementation, peer, times: {}, failed: why }),
      )) ?? []
    const exact = exactOutputs(work, cpu) ?? (await mine[0].outputs())
    const all: Taken[] = [...mine, ...theirs].map((subject) => ({ subject, times: {} }))
    for (const measure of MEASURES) await takeTurns(all, measure, samples)
    const rows: Row[] = []
    for (const one of all) rows.push(await toRow(work, one, exact, tools.ceilings))
    return finish(work, [...rows, ...failed], tools)
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_OUT_OF_MEMORY') throw error
    return skippedCase(planned, (error as Error).message)
  } finally {
    own.unload()
    await peers?.unload()
  }
}

const toRow = async (
  work: Work,
  { subject, times, failed }: Taken,
  exact: Readonly<Record<string, ArrayLike<number>>>,
  ceilings: readonly Ceiling[],
): Promise<Row> => {
  const { name: implementation, peer } = subject
  if (failed !== undefined) return { implementation, peer, times: {}, failed: failed.split('\n')[0] }
  const outputs = await subject.outputs()
  const maxError = Object.keys(outputs).length === 0 ? undefined : largestError(outputs, exact)
  const isWrong = maxError !== undefined && !(maxError <= work.tolerance)
  const summaries: Row['times'] = {}
  for (const measure of MEASURES) {
    const taken = times[measure]
    if (taken !== undefined && taken.length > 0) summaries[measure] = { samples: taken.length, ...summarize(taken) }
  }
  const rate = summaries.cold === undefined ? undefined : rateOf(work, summaries.cold.median)
  const ceiling = ceilings.find(({ name }) => name === work.ceiling)
  return {
    implementation,
    peer,
    times: summaries,
    ...(rate === undefined ? {} : { rate }),
    ...(rate === undefined || ceiling === undefined ? {} : { ofCeiling: rate / ceiling.rate }),
    ...(maxError === undefined ? {} : { maxError }),
    ...(isWrong ? { failed: `wrong result: off by ${maxError} of the largest exact value` } : {}),
  }
}

/** Holds every row's cold times against those of the first; returns how far the first is from itself, which the second row is. */
export const compareRows = (rows: readonly Row[]): number | undefined => {
  const [first, again] = rows.map(({ times }) => times.cold)
  if (first === undefined) return undefined
  const noise = again === undefined ? undefined : selfNoise(first, again)
  for (const [i, row] of rows.entries()) {
    const { cold } = row.times
    if (cold === undefined || row.failed !== undefined) continue
    row.ratio = cold.median / first.median
    if (i > 0) row.withinNoise = withinNoise(cold, first) || Math.abs(row.ratio - 1) <= (noise ?? 0)
  }
  return noise
}

const finish = (work: Work, rows: Row[], { done }: Tools): CaseResult => {
  const noise = compareRows(rows)
  const result: CaseResult = {
    op: work.op,
    shape: work.shape,
    dtype: work.dtype,
    bytes: work.bytes,
    ...(work.flops === undefined ? {} : { flops: work.flops }),
    unit: work.flops === undefined ? 'GB/s' : 'TFLOP/s',
    ceiling: work.ceiling,
    ...(noise === undefined ? {} : { noise }),
    rows,
    goals: [],
    ...(work.note === undefined ? {} : { note: work.note }),
  }
  const rateOfCase = (name: string): number | undefined =>
    done.find((one) => caseName({ ...one, dtype: one.dtype as Planned['dtype'] }) === name)?.rows[0]?.rate
  return { ...result, goals: judgeGoals(work.goals, rows[0], rateOfCase) }
}
