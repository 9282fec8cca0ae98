/**
 * A call on the same tensors with the same options as the call before, as in a loop with `out`: what was found once holds
 * again, and only the kernels run.
 */
import type { BoundLaunch } from './backend.ts'
import type { OptionValues } from './options.ts'
import type { Plan } from './prepare.ts'
import { Tensor } from './tensor.ts'

/** What a call is told apart by: inputs and outputs as they were given, in row order, and its options. */
export interface CallKey {
  inputs: readonly unknown[]
  options: OptionValues
  accumulate: unknown
  out: readonly unknown[]
}

/** Memory above which no call is kept: there checking costs nothing beside computing, and memory must not be held. */
const MOST_BYTES = 1 << 20

/** The last call of an op, and from its second time on how to run it. */
export class Repeat {
  #last: CallKey | undefined
  #plan: Plan | undefined
  #bound: BoundLaunch | undefined

  /** The call before was this one. */
  matches({ inputs, options, accumulate, out }: CallKey): boolean {
    const last = this.#last
    if (last === undefined || accumulate !== last.accumulate || out.length !== last.out.length) return false
    for (let i = 0; i < inputs.length; i++) if (inputs[i] !== last.inputs[i] || isGone(inputs[i])) return false
    for (let o = 0; o < out.length; o++) if (out[o] !== last.out[o] || isGone(out[o])) return false
    for (const name in options) if (options[name] !== last.options[name]) return false
    return true
  }

  /** What was planned for it; there once {@link keep} has it, as is `bound`. */
  get plan(): Plan {
    return this.#plan!
  }

  /** What runs it. */
  get bound(): BoundLaunch | undefined {
    return this.#bound
  }

  /** Remembers a call that went through, if nothing but its tensors and options decides what it does. */
  remember(key: CallKey, { launch, outputs }: Plan): void {
    this.forget()
    if (typeof key.accumulate === 'object') return
    for (const name in outputs) if (!key.out.includes(outputs[name])) return
    let bytes = 0
    for (const slot of launch.slots) {
      if (slot !== undefined && !(slot instanceof Tensor)) return
      bytes += slot?.storage.bytes ?? 0
    }
    if (bytes <= MOST_BYTES) this.#last = key
  }

  /** Keeps a plan with argument words of its own for the calls to come. */
  keep(plan: Plan): void {
    this.#plan = plan
    this.#bound = plan.device.backend.bind(plan.launch)
  }

  forget(): void {
    this.#last = this.#plan = this.#bound = undefined
  }
}

const isGone = (given: unknown): boolean => given instanceof Tensor && given.disposed
