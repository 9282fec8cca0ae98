/** Calls as the addon was handed them, replayed by a loop in C++: the same kernels without TypeScript. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { loadAddon } from '../lib/backends/native.ts'
import { refuse } from '../lib/refuse.ts'
import { packageRoot } from './environment.ts'

interface TaxAddon {
  /** Milliseconds of all steps; -1 when a kernel could not use a value. */
  replay(device: unknown, blocks: ArrayBuffer[], buffers: ArrayBuffer[][], steps: number): number
}

let loaded: TaxAddon | undefined

/** Is build/Release/tax.node there? */
export const canReplay = (): boolean => {
  try {
    loaded ??= createRequire(import.meta.url)(join(packageRoot, 'build/Release/tax.node')) as TaxAddon
    return true
  } catch {
    return false
  }
}

/** What the addon was handed by some calls of one device, in order. */
export interface Recording {
  device: unknown
  blocks: ArrayBuffer[]
  buffers: ArrayBuffer[][]
}

/** Runs calls once, and keeps what they hand to the addon. The tensors must live as long as the recording. */
export const record = (calls: readonly (() => unknown)[]): Recording => {
  const { addon } = loadAddon()
  const { run } = addon
  const recording: Recording = { device: undefined, blocks: [], buffers: [] }
  addon.run = (device, block, ...buffers) => {
    recording.device = device
    recording.blocks.push(block.slice(0))
    recording.buffers.push(buffers)
    return run(device, block, ...buffers)
  }
  try {
    for (const call of calls) call()
  } finally {
    addon.run = run
  }
  return recording
}

/**
 * Milliseconds a step of `steps` steps in C++, each of which runs all recorded calls.
 *
 * @throws PrefgradError `ERR_BAD_VALUE` when a kernel could not use a value, `ERR_ADDON` when the addon was not built
 */
export const replay = ({ device, blocks, buffers }: Recording, steps: number): number => {
  if (!canReplay()) refuse('ERR_ADDON', 'build/Release/tax.node is not there.', { fix: 'Run `npm run build`.' })
  const elapsed = loaded!.replay(device, blocks, buffers, steps)
  if (elapsed < 0) refuse('ERR_BAD_VALUE', 'a replayed kernel could not use a value.', { fix: 'Record other calls.' })
  return elapsed / steps
}
