/** Peers in processes of their own, kept alive and asked by JSON lines. */
import { basename, join } from 'node:path'
import { isSampled } from '../accuracy.ts'
import { packageRoot } from '../environment.ts'
import type { About, Implementation, Session, Setting, SharedInputs, Work } from '../types.ts'
import { Child, ChildEnded, decode } from './child.ts'

interface Hello {
  version: string
  capability?: string
  threads?: number
  built?: string
  details?: string[]
  blas?: { file: string; version: string; kernels?: string; threads?: number }[]
  gemm?: number
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

/** A process that speaks the protocol of protocol.py. */
export interface Speaker {
  peer: string
  program: string
  /** In this folder. */
  script: string
  environment: Readonly<Record<string, string>>
}

/** Starts the process with some threads and instruction set, kept until the session is closed. */
export const childSession = async (
  { peer, program, script, environment }: Speaker,
  setting: Setting,
): Promise<Session> => {
  const child = new Child(program, join(packageRoot, 'bench/peers', script), environment)
  const hello = await child.ask<Hello>({ do: 'hello' })
  const blas = hello.blas?.map(({ file, version, kernels, threads }) =>
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
      ...(blas?.length === 0 ? ['no BLAS library in the process: built in, or none'] : (blas ?? [])),
    ],
    ...(hello.gemm === undefined ? {} : { gemm: hello.gemm }),
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
    ...(hello.gemm === undefined ? {} : { gemm: async () => (await child.ask<{ gemm: number }>({ do: 'gemm' })).gemm }),
    hasEnded: () => child.hasEnded,
    close: () => child.close(),
  }
}
