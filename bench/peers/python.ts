/** Peers in Python: a process per number of threads and instruction set. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Peer, Setting } from '../types.ts'
import { childSession } from './session.ts'

/** Debian installs PyTorch for its own Python, which need not be the first one on the path. */
export const interpreters = (): string[] => [process.env.PREFGRAD_PYTHON ?? [], 'python3', '/usr/bin/python3'].flat()

const found = new Map<string, Promise<string | undefined>>()

/** The first interpreter that can import these modules, and of which a condition holds then. Looked for once. */
export const findPython = (modules: string, condition = 'True'): Promise<string | undefined> => {
  const key = `${modules}; ${condition}`
  const python = found.get(key) ?? search(modules, condition)
  found.set(key, python)
  return python
}

const search = async (modules: string, condition: string): Promise<string | undefined> => {
  for (const python of interpreters()) {
    try {
      await promisify(execFile)(python, ['-c', `import ${modules}; exit(not (${condition}))`])
      return python
    } catch {}
  }
  return undefined
}

/** OpenBLAS's name for kernels of our instruction set; absent: its own choice for this processor. */
const CORES: Readonly<Record<string, string>> = { avx2: 'Haswell', baseline: 'Nehalem' }

/** Threads and instruction set can only be told when the process starts. */
const environment = ({ threads, isa }: Setting): Record<string, string> => ({
  OMP_NUM_THREADS: String(threads),
  OPENBLAS_NUM_THREADS: String(threads),
  MKL_NUM_THREADS: String(threads),
  ATEN_CPU_CAPABILITY: isa === 'baseline' ? 'default' : isa,
  ...(CORES[isa] === undefined ? {} : { OPENBLAS_CORETYPE: CORES[isa] }),
  ...(isa === 'avx2' ? { MKL_ENABLE_INSTRUCTIONS: 'AVX2', ONEDNN_MAX_CPU_ISA: 'AVX2' } : {}),
  PYTHONDONTWRITEBYTECODE: '1',
})

interface PythonPeer extends Pick<Peer, 'name' | 'install' | 'ops'> {
  modules: string
  script: string
  /** What else must hold, as an expression of Python, and in words. Whoever needs no more than the modules may be it already. */
  special?: { condition: string; says: string }
  /** Beside threads and instruction set. */
  settings?: Readonly<Record<string, string>>
}

/** A peer that is a Python script beside this file and needs some modules. */
export const pythonPeer = ({ modules, script, special, settings, ...peer }: PythonPeer): Peer => {
  const find = (): Promise<string | undefined> => findPython(modules, special?.condition)
  const wanted = special === undefined ? modules : `${modules} ${special.says}`
  return {
    ...peer,
    missing: async () =>
      (await find()) === undefined ? `none of ${interpreters().join(', ')} can import ${wanted}` : undefined,
    ...(special && { isAnother: async () => (await find()) === (await findPython(modules)) }),
    open: async (setting) =>
      childSession(
        { peer: peer.name, program: (await find())!, script, environment: { ...environment(setting), ...settings } },
        setting,
      ),
  }
}
