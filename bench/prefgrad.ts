/** Our own kernels as implementations of a case. */
import type { Device } from '../lib/device.ts'
import * as library from '../lib/index.ts'
import type { Op } from '../lib/op.ts'
import type { OpSpec } from '../lib/spec/schema.ts'
import type { Tensor } from '../lib/tensor.ts'
import { isSampled } from './accuracy.ts'
import { pickRows, widened } from './data.ts'
import { withAgain } from './noise.ts'
import type { Driven, Implementation, Operand, Variant, Work } from './types.ts'

type Tensors = Record<string, Tensor>
interface AnyOp {
  (inputs: Tensors, options: object, settings?: { out: Tensors }): Tensors
  prepare(
    inputs: Tensors,
    options: object,
    settings?: { out: Tensors },
  ): { outputs: Tensors; run(): Tensors; dispose(): void }
  readonly spec: OpSpec
}

/** The export of that name. */
export const opNamed = (name: string): AnyOp =>
  (library as unknown as Record<string, Op<OpSpec>>)[name] as unknown as AnyOp

const timed = async (call: Driven['call'], calls: number): Promise<number> => {
  const start = performance.now()
  for (let i = 0; i < calls; i++) {
    const pending = call()
    if (pending !== undefined) await pending
  }
  return (performance.now() - start) / calls
}

const copied = (device: Device, { data, shape, dtype }: Operand): Tensor => {
  const tensor: Tensor = device.empty(shape, dtype)
  tensor.write(data)
  return tensor
}

const makeVariant = (work: Work, device: Device, variant: Variant): Implementation => {
  const op = opNamed(work.op)
  const inputs: Tensors = {}
  for (const [name, operand] of Object.entries(work.inputs)) {
    const { data, shape, dtype } = operand
    // What the op updates is its own copy: the other implementations start from the same numbers.
    inputs[name] =
      op.spec.inputs[name].updated === true
        ? copied(device, operand)
        : device.tensor(data as Float32Array<ArrayBuffer>, shape, dtype)
  }
  const prepared = op.prepare(inputs, work.options)
  const out = prepared.outputs
  prepared.run()
  const first: Record<string, ArrayLike<number>> = {}
  for (const name of work.judged) {
    const { data, shape, dtype } = out[name] ?? inputs[name]
    const all = { data: data as Float32Array<ArrayBuffer>, shape, dtype }
    const picked = isSampled(work, name) ? pickRows(all, work.sampled!.rows) : { ...all, data: all.data.slice() }
    first[name] = widened(device, picked)
  }
  const calls: Record<Variant, () => void> = {
    prepared: () => void prepared.run(),
    'with out': () => void op(inputs, work.options, { out }),
    eager: () => void op(inputs, work.options),
  }
  return {
    name: work.variants.length > 1 ? `prefgrad, ${variant}` : 'prefgrad',
    peer: 'prefgrad',
    sample: (count) => timed(calls[variant], count),
    outputs: async () => first,
    dispose: async () => prepared.dispose(),
  }
}

const waysOf = async (work: Work, device: Device): Promise<Implementation[]> => {
  if (work.drive === undefined) return work.variants.map((variant) => makeVariant(work, device, variant))
  const driven = work.drive(device)
  const call = () => driven.call()
  await call()
  const first = driven.outputs?.()
  return [
    {
      name: 'prefgrad',
      peer: 'prefgrad',
      sample: (count) => timed(call, count),
      ...(first === undefined ? {} : { outputs: async () => first }),
      dispose: async () => driven.dispose?.(),
    },
  ]
}

/** The ways to call prefgrad on a case; the first is what peers are compared with, and comes once more at the end. */
export const prefgradImplementations = async (work: Work, device: Device): Promise<Implementation[]> =>
  withAgain(await waysOf(work, device))
