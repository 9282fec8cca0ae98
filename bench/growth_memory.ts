/**
 * Peak memory of a call, taken in a process of its own: there no memory that an earlier call gave back hides what this one asks for.
 * Linux only: elsewhere a process cannot be asked for its peak since a moment.
 */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import type { Dtype } from '../lib/dtype.ts'
import { openDevice } from '../lib/index.ts'
import { families } from './cases/index.ts'
import { inputsOf } from './growth_work.ts'
import { opNamed } from './prefgrad.ts'
import type { Setting } from './types.ts'

const PAGE = 4096

/** Bytes from a line of /proc/self/status. */
const statusBytes = (field: 'VmRSS' | 'VmHWM'): number => {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))
  return found === null ? Number.NaN : Number(found[1]) * 1024
}

/** Bytes that a call adds to the memory of this process at its peak: results that it touches first, and workspace. */
const growthOf = async (call: () => unknown): Promise<number> => {
  // Forgets the peak so far: proc(5), clear_refs.
  writeFileSync('/proc/self/clear_refs', '5')
  const before = statusBytes('VmRSS')
  await call()
  return statusBytes('VmHWM') - before
}

interface Asked extends Setting {
  op: string
  shape: readonly number[]
  dtype: Dtype
}

/** What the process of its own does: a plain call, whose outputs are new; a whole model is made first, and counts too. */
const measure = async ({ op, shape, dtype, threads, isa }: Asked): Promise<number> => {
  const device = await openDevice('cpu', { threads, isa })
  const family = families.find((one) => one.op === op)!
  const whole = family.make(shape, dtype, device).drive
  if (whole !== undefined) return growthOf(() => whole(device).call())
  // A call at a tiny size first: code that is compiled at its first use is no part of the tensors' cost.
  const tiny = family.make(
    shape.map(() => 2),
    dtype,
    device,
  )
  opNamed(op)(inputsOf(tiny, device), tiny.options)
  const work = family.make(shape, dtype, device)
  const inputs = inputsOf(work, device)
  // What was never written to has no memory yet, and would be counted a second time once the call writes it.
  for (const { data } of Object.values(work.inputs)) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    for (let i = 0; i < bytes.length; i += PAGE) bytes[i] |= 0
  }
  const inputBytes = Object.values(work.inputs).reduce((sum, { data }) => sum + data.byteLength, 0)
  return inputBytes + (await growthOf(() => opNamed(op)(inputs, work.options)))
}

/** Bytes of the inputs and what a first call adds to a fresh process; undefined where that cannot be found out. */
export const peakMemory = async (asked: Asked): Promise<number | undefined> => {
  if (process.platform !== 'linux') return undefined
  try {
    const args = [...process.execArgv, fileURLToPath(import.meta.url), JSON.stringify(asked)]
    const { stdout } = await promisify(execFile)(process.execPath, args)
    const bytes = Number(stdout)
    return Number.isFinite(bytes) && bytes > 0 ? bytes : undefined
  } catch {
    return undefined
  }
}

const isMain = process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href
if (isMain) process.stdout.write(String(await measure(JSON.parse(process.argv[2]))))
