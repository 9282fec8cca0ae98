/** The optimizer: nothing but traffic. */
import { f32, i32, normals, zeros } from '../data.ts'
import type { Work } from '../types.ts'
import { type Family, shapeText, spread, traffic } from './family.ts'
import { scaledLength } from './scaled.ts'

const SIZES = [
  { shape: [16_000_000], representative: true },
  { shape: [1_000_000] },
  scaledLength(100_000_000, 2 ** 29),
] as const satisfies Family['cases']

export const adamw: Family = {
  op: 'adamw',
  letters: 'P',
  dtypes: ['f32'],
  cases: SIZES,
  make(shape): Work {
    const [P] = shape
    const inputs = {
      param: f32(normals(P, 1)),
      grad: f32(normals(P, 2, 0.01)),
      m: f32(zeros(P)),
      v: f32(zeros(P)),
      step: i32(new Int32Array(1)),
      // With a norm, as trainers call it: the gradient is not scanned for NaN a second time.
      norm: f32(Float32Array.of(0.01 * Math.sqrt(P))),
    }
    return {
      op: 'adamw',
      shape: shapeText(shape),
      dtype: 'f32',
      inputs,
      options: { lr: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 },
      unit: 'GB/s',
      amount: traffic('adamw', { P }, inputs),
      ceiling: { kind: 'triad' },
      judged: ['param'],
      sampled: { letters: ['P'], rows: spread(1000, P) },
      tolerance: 1e-5,
      variants: ['prepared'],
      goals: [{ of: 'ceiling', atLeast: 0.9, threads: 2 }],
      note: 'in place, so that it can beat a triad, which writes to memory that it does not read',
    }
  },
}

export const gradNorm: Family = {
  op: 'gradNorm',
  letters: 'P',
  dtypes: ['f32'],
  cases: SIZES,
  make(shape): Work {
    const [P] = shape
    const inputs = { grad: f32(normals(P, 1, 0.01)) }
    return {
      op: 'gradNorm',
      shape: shapeText(shape),
      dtype: 'f32',
      inputs,
      options: {},
      unit: 'GB/s',
      amount: traffic('gradNorm', { P }, inputs),
      ceiling: { kind: 'read', input: 'grad' },
      judged: ['norm'],
      tolerance: 1e-3,
      variants: ['prepared'],
      goals: [],
    }
  },
}
