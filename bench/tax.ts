/**
 * The TypeScript tax: the same kernels on the same memory, driven 1,000 steps by a loop in C++ and by TypeScript, in turn.
 * The C++ loop runs twice in every round, so that what the machine does to it is known too.
 */
import type { Device } from '../lib/device.ts'
import { openDevice, sequence } from '../lib/index.ts'
import type { Tensor } from '../lib/tensor.ts'
import { shapeText } from './cases/family.ts'
import { families } from './cases/index.ts'
import { opNamed } from './prefgrad.ts'
import { quantile } from './statistics.ts'
import { record, replay } from './tax_replay.ts'
import { aligned, threadsText } from './text.ts'

/** Calls that make up a step. */
export interface TaxStep {
  name: string
  calls: readonly { op: string; shape: readonly number[] }[]
}

/** One with next to nothing to compute, and one of more than 200 us, where the goal is stated in percent. */
export const TAX_STEPS: readonly TaxStep[] = [
  {
    name: 'a tiny step',
    calls: [
      { op: 'tokenLogprobs', shape: [4, 256] },
      { op: 'gae', shape: [4, 16] },
      { op: 'ppoPolicyLoss', shape: [64] },
      { op: 'adamw', shape: [1000] },
    ],
  },
  {
    name: 'a small training step',
    calls: [
      { op: 'tokenLogprobs', shape: [64, 8192] },
      { op: 'gae', shape: [64, 512] },
      { op: 'ppoPolicyLoss', shape: [32768] },
      { op: 'adamw', shape: [131072] },
    ],
  },
]

/** One way to run a step; times in microseconds. */
export interface TaxWay {
  way: string
  median: number
  p20: number
  p80: number
  /** What a call takes longer than in C++: the median over rounds of the difference, divided by the calls. */
  perCall: number
  /** The same of the whole step, as a share of the C++ step. */
  share: number
}

/** A step at one number of threads. */
export interface TaxResult {
  step: string
  calls: string[]
  threads: number
  steps: number
  rounds: number
  /** Microseconds a step in C++. */
  native: number
  /** Median difference of the two C++ runs of a round, in microseconds a call: less than this is no difference. */
  noise: number
  ways: TaxWay[]
}

/** From milliseconds a step: `native` has both C++ runs of each round, `ways` one time per round and way. */
export const judgeTax = (
  native: readonly (readonly [number, number])[],
  ways: readonly { way: string; times: readonly number[] }[],
  calls: number,
): Pick<TaxResult, 'native' | 'noise' | 'ways'> => {
  const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b)
  const middle = (values: readonly number[]): number => quantile(sorted(values), 0.5)
  const us = 1e3
  const means = native.map(([a, b]) => (a + b) / 2)
  const base = middle(means) * us
  return {
    native: base,
    noise: (middle(native.map(([a, b]) => Math.abs(a - b))) * us) / calls,
    ways: ways.map(({ way, times }) => {
      const all = sorted(times)
      const more = middle(times.map((ms, round) => ms - means[round])) * us
      return {
        way,
        median: quantile(all, 0.5) * us,
        p20: quantile(all, 0.2) * us,
        p80: quantile(all, 0.8) * us,
        perCall: more / calls,
        share: more / base,
      }
    }),
  }
}

interface Driver {
  way: string
  step(): void
}

/** The step's calls on one device, and the ways TypeScript has to run them. */
const prepareStep = (step: TaxStep, device: Device) => {
  const parts = step.calls.map(({ op: name, shape }) => {
    const family = families.find(({ op }) => op === name)!
    const work = family.make(shape, 'f32', device)
    const op = opNamed(name)
    const inputs: Record<string, Tensor> = {}
    for (const [input, { data, shape: dims, dtype }] of Object.entries(work.inputs)) {
      inputs[input] = device.tensor(data as Float32Array<ArrayBuffer>, dims, dtype)
    }
    const prepared = op.prepare(inputs, work.options)
    return { prepared, again: () => void op(inputs, work.options, { out: prepared.outputs }) }
  })
  const prepared = parts.map((part) => part.prepared)
  const whole = sequence(prepared)
  const drivers: Driver[] = [
    {
      way: 'prepared calls',
      step: () => {
        for (const call of prepared) call.run()
      },
    },
    { way: 'sequence([...])', step: () => whole.run() },
    {
      way: 'op(inputs, options, { out })',
      step: () => {
        for (const { again } of parts) again()
      },
    },
  ]
  return { prepared, drivers, recording: record(prepared.map((call) => () => call.run())) }
}

const timeSteps = (step: () => void, steps: number): number => {
  const start = performance.now()
  for (let i = 0; i < steps; i++) step()
  return (performance.now() - start) / steps
}

export interface TaxOptions {
  threads: readonly number[]
  isa: string
  /** Each way runs all its steps in this many turns. */
  rounds?: number
  steps?: number
  list?: readonly TaxStep[]
  progress?: (text: string) => void
}

/** Measures every step at every number of threads. */
export const measureTax = async ({
  threads,
  isa,
  rounds = 40,
  steps = 1000,
  list = TAX_STEPS,
  progress = () => {},
}: TaxOptions): Promise<TaxResult[]> => {
  const results: TaxResult[] = []
  for (const count of threads) {
    const device = await openDevice('cpu', { threads: count, isa })
    for (const step of list) {
      progress(`${step.name}, ${threadsText(count)}`)
      const { prepared, drivers, recording } = prepareStep(step, device)
      // The compiler at run time has seen every way before the first round counts.
      for (const driver of drivers) timeSteps(driver.step, steps)
      const batch = Math.max(1, Math.round(steps / rounds))
      const once = () => replay(recording, batch)
      const native: [number, number][] = Array.from({ length: rounds }, () => [0, 0])
      const ways = drivers.map(({ way }) => ({ way, times: [] as number[] }))
      const turns: ((round: number) => void)[] = [
        (round) => {
          native[round][0] = once()
        },
        ...drivers.map(({ step: run }, i) => (round: number) => {
          ways[i].times[round] = timeSteps(run, batch)
        }),
        (round) => {
          native[round][1] = once()
        },
      ]
      // Each round begins with another one: none always comes after the same.
      for (let round = 0; round < rounds; round++) {
        turns.forEach((_, i) => {
          turns[(i + round) % turns.length](round)
        })
      }
      const calls = step.calls.map(({ op, shape }) => `${op} ${shapeText(shape)}`)
      const judged = judgeTax(native, ways, calls.length)
      results.push({ step: step.name, calls, threads: count, steps: batch * rounds, rounds, ...judged })
      for (const call of prepared) call.dispose()
    }
    device.dispose()
  }
  return results
}

const HEADER = ['way', 'us a step', 'p20', 'p80', 'us a call more', '% more']
const signed = (n: number, digits: number): string => `${n < 0 ? '-' : '+'}${Math.abs(n).toFixed(digits)}`

/** Header and rows of a step's table. */
export const taxTable = ({ native, noise, ways }: TaxResult): string[][] => [
  HEADER,
  ['loop in C++', native.toFixed(2), '', '', `(noise ${noise.toFixed(3)})`, ''],
  ...ways.map(({ way, median, p20, p80, perCall, share }) => [
    way,
    ...[median, p20, p80].map((us) => us.toFixed(2)),
    `${Math.abs(perCall) <= noise ? '~' : ''}${signed(perCall, 3)}`,
    signed(share * 100, 1),
  ]),
]

export const taxTitle = ({ step, calls, threads, steps, rounds }: TaxResult): string =>
  `${step} (${calls.join(', ')}), ${threadsText(threads)}, ${steps} steps in ${rounds} turns`

/** The longest step that still counts as call overhead, where a share says nothing. */
const SHORT_US = 200
/** The goals: at most 5 % of a step of 200 us or more, at most 15 us of a shorter one; no verdict where noise decides. */
export const taxSentence = ({ step, native, noise, ways, calls, threads }: TaxResult): string => {
  const [{ way, perCall, share }] = ways
  const where = `${step} on ${threadsText(threads)}`
  const more = perCall * calls.length
  const [limit, goal] = native >= SHORT_US ? [0.05 * native, 'at most 5 %'] : [15, 'at most 15 us']
  const isUnsure = Math.abs(more - limit) <= noise * calls.length
  const verdict = isUnsure ? 'NOT TOLD (two runs of the C++ loop differ too much)' : more <= limit ? 'met' : 'MISSED'
  return (
    `${verdict}: ${goal} more from TypeScript: ${where} takes ${native.toFixed(1)} us in C++ and ` +
    `${signed(more, 2)} us (${signed(share * 100, 1)} %) with ${way}`
  )
}

/** A step as it is printed. */
export const taxText = (result: TaxResult): string =>
  [taxTitle(result), ...aligned(taxTable(result)).map((line) => `  ${line}`), `  ${taxSentence(result)}`, ''].join('\n')
