/** From logits to log-probabilities and back: one read, and one read with one write. */
import type { Device } from '../../lib/device.ts'
import type { Dtype } from '../../lib/dtype.ts'
import { tokenLogprobs as forward } from '../../lib/index.ts'
import { f32, i32, integers, narrowed, normals } from '../data.ts'
import type { Goal, Operand, Work } from '../types.ts'
import { type Family, type FamilyCase, shapeText, spread, traffic } from './family.ts'
import { scaledRows } from './scaled.ts'

const DTYPES = ['f32', 'bf16', 'f16'] as const
/** 16-bit results are rounded to 8 or 11 bits by whoever returns them in the logits' own type. */
const tolerance = (dtype: Dtype): number => (dtype === 'f32' ? 1e-4 : 2e-2)

/** Batches as they come with today's vocabularies. */
const LLAMA = scaledRows([8192, 128256])
const llama = (dtype: Dtype): FamilyCase => ({ ...scaledRows([8192, 128256], dtype), dtype })
const OTHERS = [
  scaledRows([8192, 32000]),
  scaledRows([4096, 50257]),
  scaledRows([16384, 151936]),
  scaledRows([64, 152064]),
]

/** Logits that no cache holds: only there do the goals mean anything. */
const LARGE = 1e7
const goals: readonly Goal[] = [
  { of: 'ceiling', atLeast: 0.95, threads: 2 },
  { of: 'peers', names: ['onnxruntime'], atLeast: 2, threads: 2 },
]

const draw = (shape: readonly number[], dtype: Dtype, device: Device): { logits: Operand; tokens: Operand } => {
  const [N, V] = shape
  return {
    logits: narrowed(device, f32(normals(N * V, 1, 3), [N, V]), dtype),
    tokens: i32(integers(N, 2, V)),
  }
}

export const tokenLogprobs: Family = {
  op: 'tokenLogprobs',
  letters: 'NxV',
  dtypes: DTYPES,
  cases: [
    { ...LLAMA, representative: true },
    { ...llama('bf16'), representative: true },
    llama('f16'),
    ...OTHERS,
    { shape: [64, 152064], dtype: 'bf16' },
    { shape: [4096, 2048] },
  ],
  make(shape, dtype, device): Work {
    const inputs = draw(shape, dtype, device)
    const [N, V] = shape
    return {
      op: 'tokenLogprobs',
      shape: shapeText(shape),
      dtype,
      inputs,
      options: {},
      unit: 'GB/s',
      amount: traffic('tokenLogprobs', { N, V }, inputs),
      ceiling: { kind: 'read', input: 'logits' },
      judged: ['logprob'],
      sampled: { letters: ['N'], rows: spread(4, N) },
      tolerance: tolerance(dtype),
      variants: ['prepared'],
      compiled: N * V >= LARGE,
      goals: N * V < LARGE || dtype === 'f16' ? [] : goals,
    }
  },
}

export const tokenLogprobsBackward: Family = {
  op: 'tokenLogprobsBackward',
  letters: 'NxV',
  dtypes: DTYPES,
  cases: [{ ...LLAMA, representative: true }, llama('bf16'), ...OTHERS, { shape: [4096, 2048] }],
  make(shape, dtype, device): Work {
    const { logits, tokens } = draw(shape, dtype, device)
    const [N, V] = shape
    const found = forward({
      logits: device.tensor(logits.data as Float32Array<ArrayBuffer>, logits.shape, dtype),
      tokens: device.tensor(tokens.data as Int32Array<ArrayBuffer>),
    })
    const inputs = {
      logits,
      tokens,
      logprob: f32(found.logprob.data as Float32Array<ArrayBuffer>),
      rowMax: f32(found.rowMax.data as Float32Array<ArrayBuffer>),
      logSum: f32(found.logSum.data as Float32Array<ArrayBuffer>),
      gradLogprob: f32(normals(N, 3, 1 / N)),
    }
    return {
      op: 'tokenLogprobsBackward',
      shape: shapeText(shape),
      dtype,
      inputs,
      options: {},
      unit: 'GB/s',
      amount: traffic('tokenLogprobsBackward', { N, V }, inputs),
      ceiling: { kind: 'copy' },
      judged: ['gradLogits'],
      sampled: { letters: ['N'], rows: spread(4, N) },
      tolerance: tolerance(dtype),
      variants: ['prepared', 'eager'],
      compiled: N * V >= LARGE,
      goals: N * V < LARGE ? [] : [{ of: 'ceiling', atLeast: 0.9, threads: 2 }],
      note: 'peers: the backward half alone, their forward half made once',
    }
  },
}
