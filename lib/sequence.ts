/** Prepared calls as one: a whole optimizer step that is started with a single call. */
import type { CapturedLaunches } from './backend.ts'
import type { Device } from './device.ts'
import { describe, refuse } from './refuse.ts'

/** What a prepared call tells a sequence about itself. */
export interface Recorded {
  device: Device
  launch: Parameters<NonNullable<Device['backend']['capture']>>[0][number]
  /** Throws when the call, or one of its tensors, was disposed. */
  check(): void
}

const recorded = new WeakMap<object, Recorded>()

/** @internal */
export const record = (call: object, what: Recorded): void => {
  recorded.set(call, what)
}

/** Prepared calls that run in order; see {@link sequence}. */
export interface Sequence {
  /** Runs all calls once more, in order. */
  run(): void
  /** Lets go of what was captured; the calls and their tensors stay. */
  dispose(): void
}

/**
 * Prepared calls of one device as one. On cuda they are captured into a graph, and a run is a single launch, whatever the number
 * of kernels: tensors stay where they are, and options that were changed with `set()` (a step's learning rate) are put into the
 * graph before it runs. On other devices the calls run one after the other.
 *
 * @example
 * const step = sequence([loss, backward, update])
 * for (const batch of batches) {
 *   logits.write(batch)
 *   update.set({ lr: schedule(t++) })
 *   step.run()
 * }
 * @throws PrefgradError `ERR_ARGUMENT` when something is not a prepared call, `ERR_DEVICE_MISMATCH` when devices meet,
 *   `ERR_DISPOSED` when a call or one of its tensors is gone
 */
export const sequence = (calls: readonly { run(): unknown; dispose(): void }[]): Sequence => {
  const parts = calls.map((call, index) => {
    const part = typeof call === 'object' && call !== null ? recorded.get(call) : undefined
    if (part === undefined) {
      return refuse('ERR_ARGUMENT', `calls[${index}] is not a prepared call, but ${describe(call)}.`, {
        arg: 'calls',
        index,
        fix: 'Make each with op.prepare(inputs, options).',
      })
    }
    part.check()
    return part
  })
  const [first] = parts
  const stranger = parts.find(({ device }) => device !== first.device)
  if (stranger !== undefined) {
    refuse('ERR_DEVICE_MISMATCH', `one call is on ${stranger.device.name}, and another on ${first.device.name}.`)
  }
  const captured: CapturedLaunches | undefined =
    parts.length === 0 ? undefined : first.device.backend.capture?.(parts.map(({ launch }) => launch))
  let open = true
  return {
    run() {
      if (!open) refuse('ERR_DISPOSED', 'this sequence was disposed.', { fix: 'Make it again.' })
      for (const part of parts) part.check()
      if (captured !== undefined) captured.run()
      else for (const call of calls) call.run()
    },
    dispose() {
      if (open) captured?.dispose()
      open = false
    },
  }
}
