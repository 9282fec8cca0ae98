/** What every command works with. */
import type { Device } from '../device.ts'
import { type DeviceName, openDevice } from '../open.ts'
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

/** The device that `--device` and `--threads` ask for. */
export const deviceOf = ({
  values: { device, threads },
}: {
  values: { device: string; threads: number | undefined }
}): Promise<Device> => openDevice(device as DeviceName, threads === undefined ? {} : { threads })
