/** Mistakes that are easily made in CUDA, one per mutant, in kernels as they are. */
export interface Mutant {
  /** Under kernels/. */
  file: string
  /** The op's folder, which is compiled. */
  folder: string
  /** Ops whose conformance must fail. */
  ops: readonly string[]
  what: string
  find: string
  put: string
}

export const MUTANTS: readonly Mutant[] = [
  {
    file: 'common/reduce.cuda.h',
    folder: 'rms_norm',
    ops: ['rmsNorm', 'rmsNormBackward'],
    what: 'no barrier between the warps that write their sums and those that read them',
    find: '  if (lane == 0) of_warps[warp] = x;\n  __syncthreads();\n',
    put: '  if (lane == 0) of_warps[warp] = x;\n',
  },
  {
    file: 'rms_norm/rms_norm.cu',
    folder: 'rms_norm',
    ops: ['rmsNormBackward'],
    what: 'threads leave before the barrier that others wait at',
    find: '  sums[threadIdx.x] = sum;\n  __syncthreads();\n  if (threadIdx.x >= lanes || h >= a.H) return;\n',
    put: '  sums[threadIdx.x] = sum;\n  if (h >= a.H) return;\n  __syncthreads();\n  if (threadIdx.x >= lanes) return;\n',
  },
  {
    file: 'rms_norm/rms_norm.cu',
    folder: 'rms_norm',
    ops: ['rmsNorm'],
    what: 'a row is read one element too far',
    find: '  for (int64_t h = threadIdx.x; h < a.H; h += kRmsNormThreads) {\n    const double v = x[h];',
    put: '  for (int64_t h = threadIdx.x; h <= a.H; h += kRmsNormThreads) {\n    const double v = x[h];',
  },
  {
    file: 'common/reduce.cuda.h',
    folder: 'rms_norm',
    ops: ['rmsNorm'],
    what: 'a butterfly that begins at half of its width',
    find: 'for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) x = op(x, shuffle_xor(x, lanes));',
    put: 'for (int lanes = kWarp / 4; lanes > 0; lanes /= 2) x = op(x, shuffle_xor(x, lanes));',
  },
]
