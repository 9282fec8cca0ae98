/** What this machine can do at best, from native/ceilings.cc: beside every case that memory or arithmetic limits. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { zeros } from './data.ts'
import { packageRoot } from './environment.ts'
import { LEAD_MS } from './sampling.ts'
import type { Ceiling, Implementation, Setting, Work } from './types.ts'

interface Addon {
  open(threads: number): unknown
  run(handle: unknown, kind: string, isa: string, amount: number, ...arrays: Float32Array[]): number
}

export type CeilingKind = 'read' | 'copy' | 'triad' | 'multiplyAdd'

interface Test {
  /** Native tests that do the same thing in different ways; the fastest counts. */
  ways: readonly string[]
  arrays: number
  /** Bytes per float of one array, or operations per multiply-add. */
  weight: number
}

const TESTS: Readonly<Record<CeilingKind, Test>> = {
  read: { ways: ['read', 'readStreams'], arrays: 1, weight: 4 },
  copy: { ways: ['copy', 'copyStreamed'], arrays: 2, weight: 8 },
  triad: { ways: ['triad', 'triadStreamed'], arrays: 3, weight: 12 },
  multiplyAdd: { ways: ['multiplyAdd'], arrays: 0, weight: 2 },
}

/** Work items of one arithmetic test: some milliseconds. */
const ARITHMETIC_ITEMS = 48
/** Bytes that a memory test touches when no case says how many: far more than caches hold. */
const DEFAULT_BYTES = 192 * 2 ** 20

/** The tests of the bench's own addon; `undefined` if it was not built. */
export class Ceilings {
  readonly #addon: Addon
  readonly #isas: readonly string[]
  readonly #pools = new Map<number, unknown>()
  #scratch: Float32Array[] = []

  /** `isas`: what the processor has, best first. */
  static load(isas: readonly string[]): Ceilings | undefined {
    try {
      return new Ceilings(createRequire(import.meta.url)(join(packageRoot, 'build/Release/ceilings.node')), isas)
    } catch {
      return undefined
    }
  }

  private constructor(addon: Addon, isas: readonly string[]) {
    this.#addon = addon
    this.#isas = isas
  }

  /** Best rate of a test over a few runs, threads having found their cores before. */
  measure(kind: CeilingKind, { threads, isa }: Setting, repeats = 9): Ceiling {
    const arrays = this.#arrays(kind, DEFAULT_BYTES)
    for (const start = performance.now(); performance.now() - start < LEAD_MS; )
      this.#rate(kind, { threads, isa }, arrays, 1)
    let rate = 0
    for (let r = 0; r < repeats; r++) rate = Math.max(rate, this.#rate(kind, { threads, isa }, arrays, 1))
    return {
      kind,
      isa: kind === 'multiplyAdd' ? isa : '',
      threads,
      rate,
      unit: TESTS[kind].arrays ? 'GB/s' : 'GFLOP/s',
    }
  }

  /** The ceiling of a case as a line of its table: a read of the very input, or other traffic of the same size. */
  implementations(work: Work, setting: Setting): Implementation[] {
    if (work.ceiling === undefined) return []
    const { kind } = work.ceiling
    const arrays = work.ceiling.kind === 'read' ? [asFloats(work, work.ceiling.input)] : this.#arrays(kind, work.amount)
    const amount = limitedAmount(work)
    const perMillisecond = 1e6
    const one: Implementation = {
      name: NAMES[kind],
      peer: 'ceiling',
      sample: async (calls) => amount / (this.#rate(kind, setting, arrays, calls) * perMillisecond),
      dispose: async () => {
        this.#scratch = []
      },
    }
    return [one]
  }

  /** 1e9 bytes or operations a second, the fastest of the test's ways, each the mean of so many calls as kernels are given. */
  #rate(kind: CeilingKind, setting: Setting, arrays: readonly Float32Array[], calls: number): number {
    return Math.max(...TESTS[kind].ways.map((way) => this.#rateOf(way, kind, setting, arrays, calls)))
  }

  #rateOf(
    way: string,
    kind: CeilingKind,
    { threads, isa }: Setting,
    arrays: readonly Float32Array[],
    calls: number,
  ): number {
    const amount = arrays[0]?.length ?? ARITHMETIC_ITEMS
    // Memory does not care which instructions ask for it, arithmetic does.
    for (const tried of kind === 'multiplyAdd' ? [isa] : this.#isas) {
      const start = performance.now()
      let done = 0
      for (let i = 0; i < calls; i++) done += this.#addon.run(this.#pool(threads), way, tried, amount, ...arrays)
      const elapsed = performance.now() - start
      if (done > 0) return (done * TESTS[kind].weight) / elapsed / 1e6
    }
    return 0
  }

  #pool(threads: number): unknown {
    if (!this.#pools.has(threads)) this.#pools.set(threads, this.#addon.open(threads))
    return this.#pools.get(threads)
  }

  #arrays(kind: CeilingKind, bytes: number): Float32Array[] {
    const { arrays, weight } = TESTS[kind]
    const length = Math.ceil(bytes / weight)
    if (this.#scratch.length < arrays || (this.#scratch[0]?.length ?? 0) !== length) {
      this.#scratch = Array.from({ length: arrays }, (_, i) => zeros(length).fill(i + 1))
    }
    return this.#scratch.slice(0, arrays)
  }
}

const NAMES: Readonly<Record<CeilingKind, string>> = {
  read: 'plain read (ceiling)',
  copy: 'copy (ceiling)',
  triad: 'triad (ceiling)',
  multiplyAdd: 'multiply-add peak (ceiling)',
}

/** Bytes or operations of one call, whichever its ceiling counts. */
export const limitedAmount = ({ operations, amount }: Work): number => operations ?? amount

const asFloats = (work: Work, input: string): Float32Array => {
  const { data } = work.inputs[input]
  return new Float32Array(data.buffer, data.byteOffset, Math.floor(data.byteLength / 4))
}
