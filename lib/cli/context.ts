/** What every command works with. */
import type { Device } from '../device.ts'
import { type DeviceName, openDevice } from '../open.ts'
import { usageError } from './parse.ts'
import type { Reporter } from './reporter.ts'
import type { ValuesOf } from './schema.ts'
import type { CommandName, commands } from './table.ts'

interface ContextOf<Name extends CommandName> {
  readonly name: Name
  readonly values: ValuesOf<(typeof commands)[Name]>
  /** The words after `prefgrad`, as they were typed. */
  readonly words: readonly string[]
  readonly reporter: Reporter
  /** Aborted by Ctrl-C, and when standard output can no longer be written. */
  readonly signal: AbortSignal
  /** What to say below an error, once there is something to go on with. */
  hint?: string
}

/** Of several commands: the context of one of them. */
export type Context<Name extends CommandName = CommandName> = Name extends CommandName ? ContextOf<Name> : never

/**
 * The device that `--device` and `--threads` ask for.
 *
 * @throws PrefgradError `ERR_USAGE` for threads of a GPU, and as `openDevice` does
 */
export const deviceOf = async ({
  values: { device, threads },
}: {
  values: { device: string; threads: number | undefined }
}): Promise<Device> => {
  if (threads === undefined) return openDevice(device as DeviceName)
  const wanted = device === 'auto' ? (process.env.PREFGRAD_DEVICE ?? device) : device
  if (wanted === 'cuda' || wanted === 'webgpu') {
    throw usageError(`--threads is for the cpu device, and the device is ${wanted}.`, 'Leave --threads out.')
  }
  return openDevice(device as DeviceName, { threads })
}
