/** Peers in Python: a child process per number of threads and instruction set, kept alive, asked by JSON lines. */
import { execFile } from 'node:child_process'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { isSampled } from '../accuracy.ts'
import { packageRoot } from '../environment.ts'
import type { About, Implementation, Peer, Session, Setting, SharedInputs, Work } from '../types.ts'
import { Child, ChildEnded, decode } from './child.ts'

/** Debian installs PyTorch for its own Python, which need not be the first one on the path. */
export const interpreters = (): string[] => [process.env.PREFGRAD_PYTHON ?? [], 'python3', '/usr/bin/python3'].flat()

/** The first interpreter that can import these modules. */
export const findPython = async (modules: string): Promise<string | undefined> => {
  for (const python of interpreters()) {
    try {
      await promisify(execFile)(python, ['-c', `import ${modules}`])
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
  PYTHONDONTWRITEBYTECODE: '1',
})

interface Hello {
  version: string
  capability?: string
  threads?: number
  built?: string
  details?: string[]
  blas: { file: string; version: string; kernels?: string; threads?: number }[]
  gemm: number
  ops: Record<string, string[]>
}

const implementation = (
  child: Child,
  peer: string,
  work: Work,
  slot: string,
  name: string,
  outputs: string[],
): Implementation => ({
  name: `${peer} ${name}`,
  peer,
  lingers: true,
  sample: async (calls) => (await child.ask<{ ms: number }>({ do: 'sample', slot, calls })).ms,
  outputs: async () => {
    const found: Record<string, ArrayLike<number>> = {}
    for (const output of work.judged.filter((judged) => outputs.includes(judged))) {
      const rows = isSampled(work, output) ? work.sampled!.rows : null
      const answer = await child.ask<{ outputs: Record<string, string> }>({
        do: 'judge',
        slot,
        outputs: [output],
        rows,
      })
      found[output] = decode(answer.outputs[output])
    }
    return found
  },
  dispose: async () => void (await child.ask({ do: 'unload', slot })),
})

const openSession = async (peer: string, python: string, script: string, setting: Setting): Promise<Session> => {
  const child = new Child(python, join(packageRoot, 'bench/peers', script), environment(setting))
  const hello = await child.ask<Hello>({ do: 'hello' })
  const blas = hello.blas.map(({ file, version, kernels, threads }) =>
    kernels === undefined ? version : `${version}, ${kernels} kernels, ${threads} threads (${basename(file)})`,
  )
  const about: About = {
    peer,
    version: hello.version,
    ...setting,
    details: [
      ...(hello.capability === undefined ? [] : [`CPU capability ${hello.capability}`]),
      ...(hello.built === undefined ? [] : [`built with ${hello.built}`]),
      ...(hello.details ?? []),
      ...(blas.length > 0 ? blas : ['no BLAS library in the process: built in, or none']),
    ],
    gemm: hello.gemm,
  }
  return {
    about,
    async load(work: Work, shared: SharedInputs) {
      const variants = (hello.ops[work.op] ?? []).filter((name) => work.compiled || !name.startsWith('compile '))
      if (variants.length === 0) return []
      const { path: file, inputs } = await shared.file()
      const found: Implementation[] = []
      for (const variant of variants) {
        const slot = `${work.op}.${variant}`
        const request = { do: 'load', slot, op: work.op, variant, file, inputs, options: work.options }
        try {
          const { outputs } = await child.ask<{ outputs: string[] }>(request)
          found.push(implementation(child, peer, work, slot, variant, outputs))
        } catch (error) {
          // One way that this version does not have says so in its row, and the others go on.
          if (error instanceof ChildEnded) throw error
          found.push({ name: `${peer} ${variant}`, peer, sample: () => Promise.reject(error) })
        }
      }
      return found
    },
    gemm: async () => (await child.ask<{ gemm: number }>({ do: 'gemm' })).gemm,
    close: () => child.close(),
  }
}

/** A peer that is a Python script beside this file and needs some modules. */
export const pythonPeer = (
  given: Pick<Peer, 'name' | 'install' | 'ops'> & { modules: string; script: string },
): Peer => {
  const { modules, script, ...peer } = given
  let python: Promise<string | undefined> | undefined
  const find = (): Promise<string | undefined> => {
    python ??= findPython(modules)
    return python
  }
  return {
    ...peer,
    missing: async () =>
      (await find()) === undefined ? `none of ${interpreters().join(', ')} can import ${modules}` : undefined,
    open: async (setting) => openSession(peer.name, (await find())!, script, setting),
  }
}
