/** Which GPU, driver and library a run had. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { CudaBackend } from '../../lib/backends/cuda.ts'
import { loadAddon } from '../../lib/backends/native.ts'
import type { Device } from '../../lib/device.ts'
import { inspect } from '../../lib/index.ts'
import { commit, keptWords, packageRoot } from '../environment.ts'
import type { Environment } from './types.ts'

const FIELDS = [
  'name',
  'driver_version',
  'memory.total',
  'memory.used',
  'clocks.sm',
  'clocks.mem',
  'clocks.max.sm',
  'clocks.max.mem',
  'power.draw',
  'power.limit',
  'temperature.gpu',
  'pstate',
] as const

/** What nvidia-smi says now; nothing where there is none. */
export const askDriver = async (): Promise<Record<string, string>> => {
  try {
    const query = [`--query-gpu=${FIELDS.join(',')}`, '--format=csv,noheader', '--id=0']
    const { stdout } = await promisify(execFile)('nvidia-smi', query, { timeout: 20_000 })
    const values = stdout.trim().split(', ')
    return Object.fromEntries(FIELDS.map((field, i) => [field, values[i] ?? '']))
  } catch {
    return {}
  }
}

const versionText = (version: number): string => `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`

const kernelsCuda = (): { kernelsCuda?: string } => {
  const notes = join(packageRoot, 'build/Release/prefgrad.fatbin.json')
  return existsSync(notes) ? { kernelsCuda: versionText(JSON.parse(readFileSync(notes, 'utf8')).cuda) } : {}
}

export const readEnvironment = async (device: Device, words: readonly string[]): Promise<Environment> => {
  const { version, node } = await inspect()
  const backend = device.backend as CudaBackend
  const emulated = device.name === 'cuda:emulated'
  const driver = emulated ? undefined : loadAddon().cuda.probe('').version
  return {
    date: new Date().toISOString(),
    command: ['dist/bench/gpu/run.js', ...keptWords(words)].join(' '),
    commit: process.env.PREFGRAD_COMMIT ?? commit(),
    version,
    node,
    device: device.name,
    emulated,
    capability: backend.capability,
    multiprocessors: backend.multiprocessors,
    memoryGiB: Math.round(backend.memory.total / 2 ** 30),
    ...(driver === undefined ? {} : { driverCuda: versionText(driver) }),
    ...kernelsCuda(),
    gpu: emulated ? [] : [await askDriver()],
  }
}
