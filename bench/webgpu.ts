/** prefgrad's ops on the webgpu device: time on the device where its queue has a clock, and whole calls. */
import type { Device } from '../lib/device.ts'
import { copy, openDevice } from '../lib/index.ts'
import type { Tensor } from '../lib/tensor.ts'
import { exactOutputs, isSampled, largestError } from './accuracy.ts'
import { shapeText } from './cases/family.ts'
import { pickRows, widened } from './data.ts'
import { isModel } from './growth_plan.ts'
import { inputsOf } from './growth_work.ts'
import { AGAIN, markNoise } from './noise.ts'
import type { Planned } from './plan.ts'
import { opNamed } from './prefgrad.ts'
import { sampleInTurn } from './sampling.ts'
import { summarize } from './statistics.ts'
import type { CaseResult, Ceiling, Implementation, Operand, Row, Work } from './types.ts'
import { QueueClock } from './webgpu_clock.ts'

/** A software adapter gets cases of about so many elements: it is a hundred times slower, and tells little about speed. */
const SOFTWARE_ELEMENTS = 2 ** 16
const COPIED = { hardware: 2 ** 24, software: 2 ** 18 }

/** Halves the longest side until at most so many elements are left. */
export const cutDown = (shape: readonly number[], elements: number): number[] => {
  const cut = [...shape]
  while (cut.reduce((product, side) => product * side, 1) > elements) {
    const longest = cut.indexOf(Math.max(...cut))
    cut[longest] = Math.ceil(cut[longest] / 2)
  }
  return cut
}

/** Cases without whole models, cut down for a software adapter unless their shapes were asked for. */
export const planWebgpu = (planned: readonly Planned[], software: boolean, given: boolean): Planned[] =>
  planned
    .filter(({ family }) => !isModel(family.op))
    .map((one) => {
      const shape = software && !given ? cutDown(one.shape, SOFTWARE_ELEMENTS) : one.shape
      const isCut = shapeText(shape) !== shapeText(one.shape)
      return isCut ? { ...one, shape, note: `${shapeText(one.shape)}, cut down for a software adapter` } : one
    })

/** Keeps the device, its clock, and a cpu device for exact results. */
export class WebgpuBench {
  readonly #device: Device
  readonly #cpu: Device
  readonly #clock: QueueClock | undefined
  readonly #repeats: number

  static async open(device: Device, repeats: number): Promise<WebgpuBench> {
    return new WebgpuBench(device, await openDevice('cpu'), repeats)
  }

  private constructor(device: Device, cpu: Device, repeats: number) {
    this.#device = device
    this.#cpu = cpu
    this.#clock = QueueClock.of(device)
    this.#repeats = repeats
  }

  get name(): string {
    return this.#device.name
  }

  get clock(): string {
    return this.#clock === undefined ? 'the clock of the host, for want of timestamp queries' : 'timestamp queries'
  }

  dispose(): void {
    this.#clock?.dispose()
    this.#device.dispose()
    this.#cpu.dispose()
  }

  /** What prefgrad's own copy reaches: the best that is known of this device's memory. */
  async ceiling(software: boolean): Promise<Ceiling> {
    const x = this.#device.zeros([software ? COPIED.software : COPIED.hardware])
    const y = this.#device.empty(x.shape)
    const prepared = copy.prepare({ x }, {}, { out: { y } })
    const [{ times }] = await sampleInTurn([this.#onDevice('copy', () => prepared.run())], { repeats: this.#repeats })
    const rate = ((2 * x.byteLength) / summarize(times).min) * 1e-6
    for (const one of [prepared, x, y]) one.dispose()
    return { kind: 'prefgrad copy', isa: '', threads: 0, rate, unit: 'GB/s' }
  }

  async run({ family, shape, dtype, note }: Planned, ceiling: Ceiling): Promise<CaseResult> {
    const work = family.make(shape, dtype, this.#cpu)
    const notes = [note, work.note].filter((text) => text !== undefined)
    const result: CaseResult = {
      ...{ op: work.op, shape: work.shape, dtype, isa: 'webgpu', unit: work.unit, amount: work.amount },
      ...(notes.length === 0 ? {} : { note: notes.join('; ') }),
      ...(work.isOverhead === true ? { isOverhead: true } : {}),
      rows: [],
      goals: [],
    }
    const tensors: Tensor[] = []
    try {
      result.rows = markNoise(await this.#rows(work, ceiling, tensors))
    } catch (error) {
      result.rows = [failedRow((error as Error).message)]
    } finally {
      for (const tensor of tensors) tensor.dispose()
    }
    return result
  }

  async #rows(work: Work, ceiling: Ceiling, tensors: Tensor[]): Promise<Row[]> {
    const inputs = inputsOf(work, this.#device)
    tensors.push(...Object.values(inputs))
    const prepared = opNamed(work.op).prepare(inputs, work.options)
    tensors.push(...Object.values(prepared.outputs))
    prepared.run()
    const maxError = await this.#error(work, { ...inputs, ...prepared.outputs })
    const call = () => prepared.run()
    const first = this.#onDevice(this.#clock === undefined ? 'prefgrad, in a row' : 'prefgrad, on the device', call)
    const wait = async () => {
      call()
      await this.#device.check()
    }
    const whole: Implementation = {
      name: 'prefgrad, call and wait',
      peer: 'prefgrad',
      sample: (calls) => byHost(calls, wait),
    }
    const samples = await sampleInTurn([first, whole, { ...first, name: AGAIN }], { repeats: this.#repeats })
    prepared.dispose()
    const best = summarize(samples[0].times).min
    return samples.map(({ implementation, calls, times, failed }, i): Row => {
      if (failed !== undefined) return failedRow(failed)
      const summary = summarize(times)
      const rate = (work.amount / summary.min) * 1e-6
      return {
        ...{ implementation: implementation.name, peer: 'prefgrad', threads: 0, samples: times.length, calls },
        ...summary,
        rate,
        ...(work.unit === ceiling.unit ? { ofCeiling: rate / ceiling.rate } : {}),
        ratio: summary.min / best,
        ...(i > 0 || maxError === undefined ? {} : { maxError }),
      }
    })
  }

  async #error(work: Work, tensors: Record<string, Tensor>): Promise<number | undefined> {
    if (work.judged.length === 0) return undefined
    const found: Record<string, ArrayLike<number>> = {}
    for (const name of work.judged) {
      const { shape, dtype } = tensors[name]
      const all: Operand = { data: (await tensors[name].read()) as Operand['data'], shape, dtype }
      found[name] = widened(this.#cpu, isSampled(work, name) ? pickRows(all, work.sampled!.rows) : all)
    }
    const error = largestError(found, exactOutputs(work, this.#cpu))
    if (!(error <= work.tolerance))
      throw new Error(`no times: wrong result, off by ${error} of the largest exact value`)
    return error
  }

  /** Calls that follow one another, as in a step. */
  #onDevice(name: string, call: () => unknown): Implementation {
    const { backend } = this.#device
    const sample = async (calls: number): Promise<number> => {
      const submit = () => {
        for (let i = 0; i < calls; i++) call()
        backend.flush?.()
      }
      if (this.#clock !== undefined) return (await this.#clock.time(submit)) / calls
      const start = performance.now()
      submit()
      await this.#device.check()
      return (performance.now() - start) / calls
    }
    return { name, peer: 'prefgrad', sample }
  }
}

const byHost = async (calls: number, call: () => Promise<void>): Promise<number> => {
  const start = performance.now()
  for (let i = 0; i < calls; i++) await call()
  return (performance.now() - start) / calls
}

const failedRow = (why: string): Row => ({
  ...{ implementation: 'prefgrad', peer: 'prefgrad', threads: 0, samples: 0, calls: 0 },
  ...{ min: 0, median: 0, p20: 0, p80: 0, rate: 0 },
  failed: why.split('\n')[0],
})
