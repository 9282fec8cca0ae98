/** A case's calls on a device, and the bytes of its tensors. */
import type { Device } from '../lib/device.ts'
import type { Tensor } from '../lib/tensor.ts'
import { opNamed } from './prefgrad.ts'
import { record, replay } from './tax_replay.ts'
import type { Implementation, Work } from './types.ts'

/** The inputs as tensors that share the case's memory. */
export const inputsOf = (work: Work, device: Device): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(work.inputs).map(([name, { data, shape, dtype }]) => [
      name,
      device.tensor(data as Float32Array<ArrayBuffer>, shape, dtype),
    ]),
  )

const timed = async (call: () => unknown, calls: number): Promise<number> => {
  const start = performance.now()
  for (let i = 0; i < calls; i++) {
    const pending = call()
    if (pending instanceof Promise) await pending
  }
  return (performance.now() - start) / calls
}

const implementation = (name: string, call: () => unknown): Implementation => ({
  name,
  peer: 'prefgrad',
  sample: (calls) => timed(call, calls),
})

/** What is timed of a case. */
export interface Timed {
  /** Prepared: what TypeScript costs at least. */
  call: Implementation
  /** The ways that cost more, and the loop in C++ that costs less. */
  ways: Implementation[]
  loop?: Implementation
  /** Inputs and outputs; absent for whole models. */
  tensorBytes?: number
}

/** `withWays`: for calls that are mostly overhead. */
export const timedOf = async (work: Work, device: Device, withWays: boolean): Promise<Timed> => {
  if (work.drive !== undefined) {
    const driven = work.drive(device)
    const call = () => driven.call()
    await call()
    return { call: { ...implementation('prefgrad', call), dispose: async () => driven.dispose?.() }, ways: [] }
  }
  const op = opNamed(work.op)
  const inputs = inputsOf(work, device)
  const prepared = op.prepare(inputs, work.options)
  const bytes = [...Object.values(inputs), ...Object.values(prepared.outputs)].map(({ data }) => data.byteLength)
  const timedCalls: Timed = {
    call: implementation('prepared', () => prepared.run()),
    ways: [],
    tensorBytes: bytes.reduce((sum, one) => sum + one, 0),
  }
  if (!withWays) return timedCalls
  const recording = record([() => prepared.run()])
  timedCalls.loop = { name: 'loop in C++', peer: 'native', sample: async (calls) => replay(recording, calls) }
  timedCalls.ways = [
    implementation('with out', () => op(inputs, work.options, { out: prepared.outputs })),
    implementation('eager', () => op(inputs, work.options)),
  ]
  return timedCalls
}
