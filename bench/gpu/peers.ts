/** The peers on the same GPU: one Python process with PyTorch, and whatever a folder of scripts adds to it. */
import { open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { packageRoot } from '../environment.ts'
import { Child, ChildEnded, decode } from '../peers/child.ts'
import { findPython, interpreters } from '../peers/python.ts'
import { judgedRows } from './judge.ts'
import type { Ceiling, Measure, PeerAbout, Subject, Work } from './types.ts'

/** A peer that has not answered by then has got stuck: compilers of kernels may. */
const PATIENCE_MS = 120_000

interface Hello {
  peers: PeerAbout[]
  /** Of peers by op: what they call their ways to compute it, PyTorch's with the mode in front. */
  ops: Record<string, Record<string, string[]>>
}

export interface PeerOptions {
  /** A folder of Python files that define `peers()`. */
  folder?: string
  /** Sizes at which the peers' ceilings are measured, and what they flush the cache with. */
  tiny: boolean
}

/** Keeps the process, and starts it again when it ended. */
export class Peers {
  readonly #options: PeerOptions
  readonly #python: string
  #child: Child | undefined
  #hello: Hello | undefined

  private constructor(python: string, options: PeerOptions) {
    this.#python = python
    this.#options = options
  }

  /** A text: why there are none. */
  static async find(options: PeerOptions): Promise<Peers | string> {
    const python = await findPython('numpy, torch')
    return python === undefined
      ? `none of ${interpreters().join(', ')} can import numpy and torch`
      : new Peers(python, options)
  }

  async about(): Promise<PeerAbout[]> {
    await this.#start()
    return this.#hello!.peers
  }

  /** What PyTorch's copies, sums and products reach. */
  async ceilings(): Promise<Ceiling[]> {
    return (await this.#ask<{ ceilings: Ceiling[] }>({ do: 'ceilings' })).ceilings
  }

  /**
   * Gives the peers the inputs of a case and loads their ways to compute it.
   *
   * @param failed is told of those that could not
   */
  async load(work: Work, failed: (name: string, peer: string, why: string) => void): Promise<Subject[]> {
    const subjects: Subject[] = []
    const ways = await this.#ways(work)
    if (ways.length === 0) return subjects
    const path = join(tmpdir(), `prefgrad-gpu-bench-${process.pid}.bin`)
    try {
      const inputs = await writeBlocks(path, work)
      await this.#ask({ do: 'case', op: work.op, shape: work.shape, file: path, inputs, options: work.options })
      for (const { peer, way } of ways) {
        const name = `${peer} ${way}`
        try {
          subjects.push(await this.#subject(work, peer, way, name))
        } catch (error) {
          failed(name, peer, (error as Error).message)
          // What the others were given went with the process.
          if (error instanceof ChildEnded) return []
        }
      }
      return subjects
    } finally {
      await rm(path, { force: true })
    }
  }

  /** Lets go of a case. */
  async unload(): Promise<void> {
    if (this.#child === undefined) return
    await this.#ask({ do: 'drop' }).catch((error: unknown) => {
      if (!(error instanceof ChildEnded)) throw error
    })
  }

  async close(): Promise<void> {
    await this.#child?.close()
    this.#child = undefined
  }

  async #ways(work: Work): Promise<{ peer: string; way: string }[]> {
    await this.#start()
    return Object.entries(this.#hello!.ops).flatMap(([peer, ops]) =>
      (ops[work.op] ?? [])
        .filter((way) => peer !== 'torch' || work.peers.some((mode) => way.startsWith(`${mode} `)))
        .map((way) => ({ peer, way })),
    )
  }

  async #subject(work: Work, peer: string, way: string, name: string): Promise<Subject> {
    const outputs = Object.fromEntries(work.judged.map((output) => [output, judgedRows(work, output) ?? null]))
    const answer = await this.#ask<{ outputs: Record<string, string> }>({ do: 'load', slot: name, peer, way, outputs })
    return {
      name,
      peer,
      measures: ['cold', 'warm', 'full', 'enqueue'],
      sample: async (measure: Measure, count: number, calls: number) =>
        (await this.#ask<{ ms: number[] }>({ do: 'sample', slot: name, measure, count, calls })).ms,
      outputs: async () =>
        Object.fromEntries(Object.entries(answer.outputs).map(([output, text]) => [output, decode(text)])),
    }
  }

  async #start(): Promise<void> {
    if (this.#child !== undefined) return
    this.#child = new Child(this.#python, join(packageRoot, 'bench/gpu/torch_peer.py'), {
      PYTHONDONTWRITEBYTECODE: '1',
    })
    const { folder, tiny } = this.#options
    const answer = await this.#ask<Hello>({ do: 'hello', tiny, folder: folder === undefined ? null : resolve(folder) })
    this.#hello = answer
  }

  async #ask<T>(request: Record<string, unknown>): Promise<T> {
    if (this.#child === undefined) await this.#start()
    const child = this.#child!
    const timer = setTimeout(() => child.kill(), PATIENCE_MS)
    try {
      return await child.ask<T>(request)
    } catch (error) {
      if (error instanceof ChildEnded) this.#child = undefined
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}

interface Described {
  dtype: string
  shape: readonly number[]
  offset: number
  length: number
}

/** The blocks of all inputs, one after the other. */
const writeBlocks = async (path: string, work: Work): Promise<Record<string, Described>> => {
  const described: Record<string, Described> = {}
  const file = await open(path, 'w')
  try {
    let offset = 0
    for (const [name, { dtype, shape, block }] of Object.entries(work.inputs)) {
      described[name] = { dtype, shape, offset, length: block.length }
      const bytes = new Uint8Array(block.buffer, block.byteOffset, block.byteLength)
      for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten
      offset += bytes.length
    }
  } finally {
    await file.close()
  }
  return described
}
