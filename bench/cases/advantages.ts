/** Generalized advantage estimation: a scan that should cost no more than its traffic. */
import { f32, flags, normals, u8 } from '../data.ts'
import type { Work } from '../types.ts'
import { type Family, shapeText, spread, traffic } from './family.ts'

/** Below, a call is mostly what a call costs. */
const OVERHEAD = 1000

export const gae: Family = {
  op: 'gae',
  letters: 'BxT',
  dtypes: ['f32'],
  cases: [
    { shape: [64, 32768], representative: true },
    { shape: [4096, 512], representative: true },
    { shape: [32768, 16] },
    { shape: [16, 131072] },
  ],
  make(shape): Work {
    const [B, T] = shape
    const inputs = {
      rewards: f32(normals(B * T, 1), shape),
      values: f32(normals(B * T, 2), shape),
      bootstrap: f32(normals(B, 3)),
      terminated: u8(flags(B * T, 4, 0.002), shape),
    }
    return {
      op: 'gae',
      shape: shapeText(shape),
      dtype: 'f32',
      inputs,
      options: { gamma: 0.99, lambda: 0.95 },
      unit: 'GB/s',
      amount: traffic('gae', { N: B * T, B, T }, inputs),
      ceiling: { kind: 'copy' },
      judged: ['advantages', 'returns'],
      sampled: { letters: ['N', 'B'], rows: spread(4, B) },
      tolerance: 1e-4,
      variants: ['prepared', 'eager'],
      ...(B * T <= OVERHEAD ? { isOverhead: true } : {}),
      compiled: 'without haste',
      goals: [{ of: 'ceiling', atLeast: T < 1024 ? 0.6 : 0.8, threads: 2 }],
    }
  },
}
