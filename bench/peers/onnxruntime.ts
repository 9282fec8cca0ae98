/** onnxruntime-node, the fastest CPU peer that npm has. It is no dependency: what is installed is used. */
import { createRequire } from 'node:module'
import { isSampled } from '../accuracy.ts'
import { pickRows } from '../data.ts'
import type { Implementation, Operand, Peer, Session, Setting, Work } from '../types.ts'
import { gemm, logSoftmaxGather } from './onnx.ts'

interface OrtTensor {
  readonly data: Float32Array<ArrayBuffer>
}
interface OrtSession {
  run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>
  release(): Promise<void>
}
/** The part of onnxruntime-node that is used here. */
interface Ort {
  Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor
  InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> }
  env: { versions?: { node?: string; common?: string } }
}

/** Through `require`, so that NODE_PATH can point at an installation outside the package. */
const load = (): Ort | string => {
  try {
    return createRequire(import.meta.url)('onnxruntime-node') as Ort
  } catch (error) {
    return (error as Error).message.split('\n')[0]
  }
}

interface Graph {
  name: string
  model: Uint8Array
  /** Inputs by the graph's names, with the graph's shapes. */
  feeds: Record<string, Operand>
  output: string
}

const TYPES: Readonly<Record<string, string>> = { f32: 'float32', i32: 'int32' }

const graphOf = (work: Work): Graph | undefined => {
  const { logits, tokens, x, weight } = work.inputs
  if (work.dtype !== 'f32') return undefined
  if (work.op === 'tokenLogprobs') {
    const [N, V] = logits.shape
    const feeds = { logits, tokens: { ...tokens, shape: [N, 1] } }
    return { name: 'LogSoftmax + GatherElements', model: logSoftmaxGather(N, V), feeds, output: 'logprob' }
  }
  if (work.op === 'linear') {
    const [[M, K], [N]] = [x.shape, weight.shape]
    return { name: 'Gemm', model: gemm(M, K, N), feeds: { x, weight }, output: 'y' }
  }
  return undefined
}

const implementation = async (ort: Ort, work: Work, graph: Graph, setting: Setting): Promise<Implementation> => {
  const session = await ort.InferenceSession.create(graph.model, {
    executionProviders: ['cpu'],
    intraOpNumThreads: setting.threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  })
  const feeds = Object.fromEntries(
    Object.entries(graph.feeds).map(([name, { data, shape, dtype }]) => [
      name,
      new ort.Tensor(TYPES[dtype], data, shape),
    ]),
  )
  const first = (await session.run(feeds))[graph.output].data.slice()
  return {
    name: `onnxruntime ${graph.name}`,
    peer: 'onnxruntime',
    lingers: setting.threads > 1,
    async sample(calls) {
      const start = performance.now()
      for (let i = 0; i < calls; i++) await session.run(feeds)
      return (performance.now() - start) / calls
    },
    async outputs() {
      if (!isSampled(work, graph.output)) return { [graph.output]: first }
      const rows = Object.values(work.inputs)[0].shape[0]
      const all: Operand = { data: first, shape: [rows, first.length / rows], dtype: 'f32' }
      return { [graph.output]: pickRows(all, work.sampled!.rows).data }
    },
    dispose: () => session.release(),
  }
}

export const onnxruntime: Peer = {
  name: 'onnxruntime',
  // Its install script fetches GPU libraries that the CPU does not need.
  install: 'npm install --no-save --ignore-scripts onnxruntime-node',
  ops: ['tokenLogprobs', 'linear'],
  missing: async () => {
    const found = load()
    return typeof found === 'string' ? found : undefined
  },
  async open(setting): Promise<Session> {
    const ort = load() as Ort
    return {
      about: {
        peer: 'onnxruntime',
        version: `onnxruntime-node ${ort.env.versions?.node ?? ort.env.versions?.common ?? 'unknown'}`,
        ...setting,
        isa: '',
        details: ['MLAS, kernels of its own choice'],
      },
      async load(work) {
        const graph = graphOf(work)
        return graph === undefined ? [] : [await implementation(ort, work, graph, setting)]
      },
      close: async () => {},
    }
  },
}
