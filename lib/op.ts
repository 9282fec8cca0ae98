/** A row of the op table as a typed function. */
import { defaultDevice } from './open.ts'
import { type Plan, Preparer } from './prepare.ts'
import { type OpName, table } from './spec/index.ts'
import type { OpSpec } from './spec/schema.ts'
import type { DynamicOptionsOf, InputsOf, OptionsOf, OutOf, OutputsOf, SpecOf } from './types.ts'

type OptionsArgument<S extends OpSpec> =
  {} extends OptionsOf<S>
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

const preparers = new Map<string, Preparer>()

/** @internal The validator of an op, made once. */
export const preparerOf = (name: OpName): Preparer => {
  let preparer = preparers.get(name)
  if (preparer === undefined) {
    preparer = new Preparer(name, table[name], defaultDevice)
    preparers.set(name, preparer)
  }
  return preparer
}

const runPlan = (preparer: Preparer, plan: Plan, bound: ReturnType<Plan['device']['backend']['bind']>): void => {
  const fault = bound.run()
  if (fault !== undefined) throw preparer.fault(plan, fault.input, fault.index)
}

/** The function of a row. */
export const op = <N extends OpName>(name: N): Op<SpecOf<N>> => {
  type S = SpecOf<N>
  const preparer = preparerOf(name)
  type Given = Record<string, unknown>
  const call = (inputs: Given, options?: Given, settings?: { out?: Given }) => {
    const plan = preparer.plan(inputs, options, settings?.out)
    runPlan(preparer, plan, plan.device.backend.bind(plan.launch))
    return plan.outputs
  }
  const prepare = (inputs: Given, options?: Given, settings?: { out?: Given }) => {
    const plan = preparer.plan(inputs, options, settings?.out)
    let bound: ReturnType<Plan['device']['backend']['bind']> | undefined = plan.device.backend.bind(plan.launch)
    return {
      outputs: plan.outputs,
      run() {
        if (bound === undefined) throw preparer.disposed()
        runPlan(preparer, plan, bound)
        return plan.outputs
      },
      set(values: Given) {
        if (bound === undefined) throw preparer.disposed()
        preparer.update(plan, values)
      },
      dispose() {
        bound = undefined
      },
    }
  }
  return Object.assign(call, { prepare, spec: table[name] as OpSpec }) as unknown as Op<S>
}
