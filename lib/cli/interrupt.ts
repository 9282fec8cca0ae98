/** Ctrl-C and its like: the first asks the command to save and stop, the second ends the process at once. */
import { fileError } from '../train/atomic.ts'

/** Signals that ask a process to end, with their numbers: a shell sees 128 + number as the exit code. */
const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const
type Signal = keyof typeof SIGNALS

/** Why a command was stopped from outside. */
export class Interrupt extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number) {
    super(message)
    this.exitCode = exitCode
  }
}

/** How a command learns that it should stop. */
export interface Stop {
  signal: AbortSignal
  /** Why standard output can no longer be written, if so: an {@link Interrupt} when its reader has gone. */
  outputError: () => Error | undefined
}

/**
 * Aborts on the first of the signals, and when standard output can no longer be written (a full disk, a reader that has
 * gone). After the first signal the handlers are taken away, so that the next one has the system's own effect even while
 * a long step blocks JavaScript: the process ends. No save can be torn by that, for saves are atomic.
 */
export const stopOnSignals = (onFirst: () => void): Stop => {
  const controller = new AbortController()
  const handlers = (Object.keys(SIGNALS) as Signal[]).map((name) => {
    const handler = (): void => {
      for (const [other, one] of handlers) process.off(other, one)
      onFirst()
      controller.abort(new Interrupt(`stopped by ${name}`, 128 + SIGNALS[name]))
    }
    process.on(name, handler)
    return [name, handler] as const
  })
  let outputError: Error | undefined
  process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
    if (outputError !== undefined) return
    // What a shell reports for a program that SIGPIPE ended.
    const closed = cause.code === 'EPIPE' || cause.code === 'ERR_STREAM_DESTROYED'
    outputError = closed
      ? new Interrupt('the reader of standard output has gone', 141)
      : fileError(cause, 'write', 'standard output')
    controller.abort(outputError)
  })
  // Notes that nobody can read are no reason to stop.
  process.stderr.on('error', () => {})
  return { signal: controller.signal, outputError: () => outputError }
}
