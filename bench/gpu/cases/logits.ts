/** From logits to log-probabilities and back: the largest tensors of any step. */
import type { Device } from '../../../lib/device.ts'
import type { Dtype } from '../../../lib/dtype.ts'
import { references } from '../../../test/reference/index.ts'
import { resolvedOptions } from '../../accuracy.ts'
import { spread, traffic } from '../../cases/family.ts'
import { widened } from '../../data.ts'
import { integerInput, normalInput, rowsOf } from '../data.ts'
import type { Goal, Input, PeerMode, Planned, Work } from '../types.ts'

interface Shape {
  N: number
  V: number
  dtype: Dtype
  forward?: readonly Goal[]
  /** What PyTorch is asked for beside eager: compiling takes long. */
  peers?: readonly PeerMode[]
}

const EVERY: readonly PeerMode[] = ['eager', 'compile', 'max-autotune']
const COMPILED: readonly PeerMode[] = ['eager', 'compile']

/** In order of interest: a run may be cut short. */
const FULL: readonly Shape[] = [
  {
    ...{ N: 8192, V: 128256, dtype: 'bf16', peers: EVERY },
    forward: [
      { of: 'time', measure: 'cold', atMost: 0.5 },
      { of: 'overhead', atMost: 0.05 },
    ],
  },
  {
    ...{ N: 16384, V: 151936, dtype: 'bf16', peers: COMPILED },
    forward: [{ of: 'time', measure: 'cold', atMost: 1.19 }],
  },
  { N: 4096, V: 50256, dtype: 'bf16' },
  {
    ...{ N: 4096, V: 50257, dtype: 'bf16', peers: COMPILED },
    forward: [{ of: 'case', other: 'tokenLogprobs [4096x50256] bf16', atLeast: 0.98 }],
  },
  { N: 8192, V: 32000, dtype: 'bf16', peers: COMPILED },
  { N: 64, V: 152064, dtype: 'bf16', peers: COMPILED },
  { N: 8192, V: 128256, dtype: 'f32', peers: COMPILED },
  { N: 8192, V: 128256, dtype: 'f16' },
  { N: 8192, V: 32000, dtype: 'f32' },
  { N: 4096, V: 50257, dtype: 'f32' },
  { N: 64, V: 152064, dtype: 'f32' },
  { N: 16384, V: 151936, dtype: 'f32' },
  { N: 16384, V: 151936, dtype: 'f16' },
  { N: 8192, V: 32000, dtype: 'f16' },
  { N: 4096, V: 50257, dtype: 'f16' },
  { N: 64, V: 152064, dtype: 'f16' },
]
const TINY: readonly Shape[] = [
  { N: 4, V: 300, dtype: 'bf16', peers: EVERY },
  { N: 3, V: 37, dtype: 'f32', peers: COMPILED },
]

/** 16-bit results are rounded to 8 or 11 bits by whoever returns them in the logits' own type. */
const toleranceOf = (dtype: Dtype): number => (dtype === 'f32' ? 1e-4 : 2e-2)

export const drawLogits = (cpu: Device, N: number, V: number, dtype: Dtype): { logits: Input; tokens: Input } => ({
  logits: normalInput(cpu, [N, V], { seed: 1, deviation: 3, dtype }),
  tokens: integerInput([N], 2, V),
})

const forwardWork = (cpu: Device, { N, V, dtype, forward = [], peers = ['eager'] }: Shape): Work => {
  const inputs = drawLogits(cpu, N, V, dtype)
  return {
    op: 'tokenLogprobs',
    shape: `${N}x${V}`,
    dtype,
    inputs,
    options: {},
    bytes: traffic('tokenLogprobs', { N, V }, inputs),
    ceiling: 'read',
    judged: ['logprob'],
    sampled: { letters: ['N'], rows: spread(4, N) },
    tolerance: toleranceOf(dtype),
    peers,
    goals: forward,
  }
}

/** Rows whose forward results are computed for the backward call; the others have theirs. */
const FORWARD_ROWS = 16

/**
 * What the forward call left. Every row is drawn from the same distribution, so that rows whose results are not computed here
 * are given those of another: speed does not depend on it, and only rows of their own are judged.
 */
const forwardOf = (cpu: Device, inputs: { logits: Input; tokens: Input }, rows: readonly number[]) => {
  const picked = { logits: rowsOf(inputs.logits, rows), tokens: rowsOf(inputs.tokens, rows) }
  const exact = references.tokenLogprobs.compute(
    {
      logits: { ...picked.logits, data: widened(cpu, picked.logits) },
      tokens: { ...picked.tokens, data: picked.tokens.data },
    },
    resolvedOptions({ op: 'tokenLogprobs', options: {} }),
  )
  const N = inputs.tokens.shape[0]
  const spreadOver = (name: string): Input => {
    const block = Float32Array.from({ length: N }, (_, i) => exact[name].data[i % rows.length])
    rows.forEach((row, i) => {
      block[row] = exact[name].data[i]
    })
    return { dtype: 'f32', shape: [N], block }
  }
  return { logprob: spreadOver('logprob'), rowMax: spreadOver('rowMax'), logSum: spreadOver('logSum') }
}

const backwardWork = (cpu: Device, { N, V, dtype, peers = ['eager'] }: Shape): Work => {
  const drawn = drawLogits(cpu, N, V, dtype)
  const rows = spread(4, N)
  const inputs = {
    ...drawn,
    ...forwardOf(cpu, drawn, [...new Set([...rows, ...spread(FORWARD_ROWS, N)])]),
    gradLogprob: normalInput(cpu, [N], { seed: 3, deviation: 1 / N }),
  }
  return {
    op: 'tokenLogprobsBackward',
    shape: `${N}x${V}`,
    dtype,
    inputs,
    options: {},
    bytes: traffic('tokenLogprobsBackward', { N, V }, inputs),
    ceiling: 'copy',
    judged: ['gradLogits'],
    sampled: { letters: ['N'], rows },
    tolerance: toleranceOf(dtype),
    inPlace: { output: 'gradLogits', input: 'logits' },
    peers,
    goals: [],
    note: 'the backward half alone; peers have their forward half made before, or are given what ours left',
  }
}

const planned =
  (cpu: Device, op: string, make: (cpu: Device, shape: Shape) => Work) =>
  (shape: Shape): Planned => ({ op, shape: `${shape.N}x${shape.V}`, dtype: shape.dtype, make: () => make(cpu, shape) })

export const logitCases = (cpu: Device, tiny: boolean): { forward: Planned[]; backward: Planned[] } => {
  const shapes = tiny ? TINY : FULL
  return {
    forward: shapes.map(planned(cpu, 'tokenLogprobs', forwardWork)),
    backward: shapes.filter(({ V }) => V !== 50256).map(planned(cpu, 'tokenLogprobsBackward', backwardWork)),
  }
}
