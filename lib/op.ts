/** A row of the op table as a typed function. */
import { defaultDevice } from './default_device.ts'
import { type Plan, Preparer } from './prepare.ts'
import { record } from './sequence.ts'
import { type OpName, table } from './spec/index.ts'
import type { OpSpec } from './spec/schema.ts'
import { Tensor } from './tensor.ts'
import type { DynamicOptionsOf, InputsOf, OptionsOf, OutOf, OutputsOf, SpecOf } from './types.ts'

type OptionsArgument<S extends OpSpec> =
  Record<never, never> extends OptionsOf<S>
    ? [options?: OptionsOf<S>, settings?: { out?: OutOf<S> }]
    : [options: OptionsOf<S>, settings?: { out?: OutOf<S> }]

/** A call that was validated once: the same tensors every time, only dynamic options change. */
export interface PreparedCall<S extends OpSpec> {
  /** Where each run leaves its results. */
  readonly outputs: OutputsOf<S>
  /** Runs once more on what the tensors hold now. */
  run(): OutputsOf<S>
  /** Changes dynamic options (learning rate, normalizer, klCoefficient, ...). */
  set(options: DynamicOptionsOf<S>): void
  dispose(): void
}

export interface Op<S extends OpSpec> {
  (inputs: InputsOf<S>, ...rest: OptionsArgument<S>): OutputsOf<S>
  /** Validates once and returns a call that can be run many times. */
  prepare(inputs: InputsOf<S>, ...rest: OptionsArgument<S>): PreparedCall<S>
  /** The op's row. */
  readonly spec: S
}

type Given = Record<string, unknown>

const prepareCall = (preparer: Preparer, plan: Plan) => {
  const { launch, outputs } = plan
  const tensors: [number, Tensor][] = [...launch.slots.entries()].filter(
    (entry): entry is [number, Tensor] => entry[1] instanceof Tensor,
  )
  let bound: ReturnType<Plan['device']['backend']['bind']> | undefined = plan.device.backend.bind(launch)
  const check = (): void => {
    if (bound === undefined) throw preparer.disposed()
    for (let t = 0; t < tensors.length; t++) {
      if (tensors[t][1].disposed) throw preparer.disposed(preparer.nameOf(tensors[t][0]))
    }
  }
  const prepared = {
    outputs,
    run() {
      check()
      const fault = bound!.run()
      if (fault !== undefined) throw preparer.fault(plan, fault.input, fault.index)
      return outputs
    },
    set(values: Given) {
      if (bound === undefined) throw preparer.disposed()
      preparer.update(plan, values)
    },
    dispose() {
      bound = undefined
    },
  }
  record(prepared, { device: plan.device, launch, check })
  return prepared
}

/** The function of a row. */
export const op = <N extends OpName>(name: N): Op<SpecOf<N>> => {
  const preparer = new Preparer(name, table[name], defaultDevice)
  const call = (inputs: Given, options?: Given, settings?: Given) => preparer.call(inputs, options, settings)
  const prepare = (inputs: Given, options?: Given, settings?: Given) =>
    prepareCall(preparer, preparer.plan(inputs, options, settings, true))
  return Object.assign(call, { prepare, spec: table[name] as OpSpec }) as unknown as Op<SpecOf<N>>
}
