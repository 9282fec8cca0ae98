/** Taking times: implementations in turn, so that a busy moment of the machine falls on all of them alike. */
import type { Implementation } from './types.ts'

export interface SamplingOptions {
  /** Samples of each implementation at most. */
  repeats: number
  /** Fast calls are repeated until a sample takes this long. */
  sampleMs?: number
  /** Calls faster than a sample are warmed up for this long. */
  warmMs?: number
  /** An implementation that has taken this long in all is asked no more, once it has 3 samples. */
  budgetMs?: number
  /** A call this slow is timed once. */
  slowMs?: number
  /** What takes so many times as long as prefgrad is asked no more, once it has 3 samples: that much no noise makes. */
  farBehind?: number
}

export interface Samples {
  implementation: Implementation
  calls: number
  times: number[]
  failed?: string
}

/** `once`: milliseconds of a call, roughly. */
type Entry = Samples & { once: number }

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
/** Threads of OpenMP, OpenBLAS and onnxruntime look for more work up to this long before they sleep. */
const LINGER_MS = 150
/** So that not every sample is followed by that wait, such implementations take their samples several at a time. */
const TURN = 3
/** And a thread that slept is moved to a core of its own only after a while: work like this, before the clock runs. */
export const LEAD_MS = 30

/** Times all implementations in rounds. One that throws is reported, and the others go on. */
export const sampleInTurn = async (
  implementations: readonly Implementation[],
  { repeats, sampleMs = 3, warmMs = 50, budgetMs = 2500, slowMs = 4000, farBehind = 10 }: SamplingOptions,
): Promise<Samples[]> => {
  const all = implementations.map((implementation): Entry => ({ implementation, calls: 1, times: [], once: 0 }))
  const take = async (entry: Entry, calls: number): Promise<number> => {
    try {
      return await entry.implementation.sample(calls)
    } catch (error) {
      entry.failed = (error as Error).message
      return Number.NaN
    }
  }
  const settle = async ({ implementation }: Samples): Promise<void> => {
    if (implementation.lingers) await pause(LINGER_MS)
  }
  const isFarBehind = ({ implementation, once }: Entry): boolean => {
    const own = all.filter((entry) => entry.implementation.peer === 'prefgrad').map((entry) => entry.once)
    return implementation.peer !== 'prefgrad' && own.length > 0 && once > farBehind * Math.min(...own)
  }
  const isDone = (entry: Entry): boolean => {
    const { calls, times, failed } = entry
    const spent = times.reduce((sum, ms) => sum + ms, 0) * calls
    const isSlow = times.length > 0 && Math.min(...times) > slowMs
    const isEnough = times.length >= 3 && (spent > budgetMs || isFarBehind(entry))
    return failed !== undefined || times.length >= repeats || isSlow || isEnough
  }
  for (const entry of all) {
    // The first call pays for cold caches; what a compiler at run time makes of the rest comes after thousands of them.
    let once = await take(entry, 1)
    for (let calls = 1, spent = once; once <= sampleMs && spent < warmMs && entry.failed === undefined; calls *= 2) {
      once = await take(entry, calls)
      spent += once * calls
    }
    entry.once = once
    if (entry.failed === undefined) entry.calls = Math.max(1, Math.ceil(sampleMs / Math.max(once, 1e-5)))
    await settle(entry)
  }
  for (let round = 0; round < repeats; round++) {
    for (const entry of all) {
      const turn = entry.implementation.lingers ? (round % TURN === 0 ? TURN : 0) : 1
      for (let i = 0; i < turn && !isDone(entry); i++) {
        if (i === 0 && entry.once < LEAD_MS) {
          await entry.implementation.sample(Math.ceil(LEAD_MS / Math.max(entry.once, 1e-5))).catch(() => undefined)
        }
        const ms = await take(entry, entry.calls)
        if (entry.failed === undefined) entry.times.push(ms)
      }
      if (turn > 0) await settle(entry)
    }
  }
  return all.map(({ once: _, ...samples }) => samples)
}
