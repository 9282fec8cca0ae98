/** The matrix product in true f32, at the shapes of the demo's policy. */
import { f32, normals } from '../data.ts'
import type { Work } from '../types.ts'
import { type Family, type FamilyCase, shapeText, spread } from './family.ts'

const REPRESENTATIVE: readonly (readonly number[])[] = [
  [512, 512, 512],
  [64, 128, 352],
  [256, 352, 128],
  [1024, 128, 704],
  [4096, 128, 2048],
]
const grid = [64, 256, 1024, 4096].flatMap((M) =>
  [128, 352, 512].flatMap((K) => [128, 352, 704, 2048].map((N) => [M, K, N])),
)
const isRepresentative = (shape: readonly number[]): boolean =>
  REPRESENTATIVE.some((other) => shapeText(other) === shapeText(shape))

export const linear: Family = {
  op: 'linear',
  letters: 'MxKxN',
  dtypes: ['f32'],
  cases: [...REPRESENTATIVE, ...grid.filter((shape) => !isRepresentative(shape))].map(
    (shape): FamilyCase => ({
      shape,
      representative: isRepresentative(shape),
      // Elsewhere `--isa avx2` asks for it.
      alsoOn: shapeText(shape) === '512x512x512' ? ['avx2'] : [],
    }),
  ),
  make(shape): Work {
    const [M, K, N] = shape
    return {
      op: 'linear',
      shape: shapeText(shape),
      dtype: 'f32',
      inputs: { x: f32(normals(M * K, 1), [M, K]), weight: f32(normals(N * K, 2, 1 / Math.sqrt(K)), [N, K]) },
      options: {},
      unit: 'GFLOP/s',
      amount: 2 * M * K * N,
      ceiling: { kind: 'multiplyAdd' },
      judged: ['y'],
      sampled: { letters: ['N'], rows: spread(4, M) },
      tolerance: 1e-4,
      variants: ['prepared'],
      goals: [{ of: 'peers', names: ['numpy', 'torch'], atLeast: 0.85, threads: 2 }],
    }
  },
}
