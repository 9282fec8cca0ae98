/** Mistakes that are easily made in CUDA, one per mutant, in kernels as they are. */
export interface Mutant {
  /** Under kernels/. */
  file: string
  /** The op's folder, which is compiled. */
  folder: string
  /** Ops whose conformance must fail. */
  ops: readonly string[]
  /** What must fail; by default conformance. */
  suite?: 'cuda_calls'
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
  {
    file: 'gather_rows/gather_rows_backward.cu',
    folder: 'gather_rows',
    ops: ['gatherRowsBackward', 'embeddingBackward'],
    what: 'no barrier between the steps of a sort in shared memory',
    find: '          pairs[high] = x;\n        }\n      }\n      __syncthreads();\n',
    put: '          pairs[high] = x;\n        }\n      }\n',
  },
  {
    file: 'gather_rows/gather_rows_backward.cu',
    folder: 'gather_rows',
    ops: ['gatherRowsBackward'],
    what: 'no barrier before shared memory is used again',
    find: '    __syncthreads();  // what the last row left may still be read\n',
    put: '',
  },
  {
    file: 'scatter_rows/scatter_rows.cu',
    folder: 'scatter_rows',
    ops: ['scatterRows'],
    what: 'the votes of the wrong lanes',
    find: '(kFullMask >> (kWarp - piece.lanes)) << (threadIdx.x % kWarp - piece.lane)',
    put: 'kFullMask >> (kWarp - piece.lanes)',
  },
  {
    file: 'scatter_rows/scatter_rows.cu',
    folder: 'scatter_rows',
    ops: ['scatterRows'],
    what: 'lanes leave before the warp votes',
    find: '  const bool is_there = piece.row < a.N;\n',
    put: '  const bool is_there = piece.row < a.N;\n  if (!is_there) return;\n',
  },
  {
    file: 'scatter_rows/scatter_rows.cu',
    folder: 'scatter_rows',
    ops: ['scatterRows'],
    what: 'a note that nobody cleared',
    find: 'atomicExch(static_cast<unsigned*>(a.workspace) + row, 0u);',
    put: '(void)row;',
  },
  {
    file: 'pool_rows/pool_rows.cu',
    folder: 'pool_rows',
    ops: ['poolRows'],
    what: 'no barrier between writing sums and reading those of other warps',
    find: '  if (lane == 0) counts[warp] = count;\n  __syncthreads();\n',
    put: '  if (lane == 0) counts[warp] = count;\n',
  },
  {
    file: 'pool_rows/pool_rows.cu',
    folder: 'pool_rows',
    ops: ['poolRows'],
    what: 'rows that do not count are read',
    find: 'if (place >= s.length || !pool_is_valid(a, s.start + place)) continue;',
    put: 'if (place >= s.length) continue;',
  },
  {
    file: 'common/arrivals.cuda.h',
    folder: 'grad_norm',
    ops: ['gradNorm'],
    what: 'the count of blocks is not set back',
    find: '    if (earlier[0] == gridDim.x - 1) atomicExch(fault->arrivals(), ~0u);\n',
    put: '',
  },
  {
    file: 'common/arrivals.cuda.h',
    folder: 'grad_norm',
    ops: ['gradNorm'],
    what: 'no barrier before a verdict in shared memory is read',
    find: '    __threadfence();\n  }\n  __syncthreads();\n',
    put: '    __threadfence();\n  }\n',
  },
  {
    file: 'common/row_pieces.cuda.h',
    folder: 'gather_rows',
    ops: ['gatherRows', 'embedding'],
    what: 'a row is written one number too far',
    find: '      if (at < count) use(k, at);',
    put: '      if (at <= count) use(k, at);',
  },
  {
    file: 'common/reduce.cuda.h',
    folder: 'grad_norm',
    ops: ['gradNorm'],
    what: 'a shuffle whose mask leaves half of the warp out',
    find: 'PREFGRAD_DEVICE double shuffle_xor(double x, int lanes) { return __shfl_xor_sync(kFullMask, x, lanes); }',
    put: 'PREFGRAD_DEVICE double shuffle_xor(double x, int lanes) { return __shfl_xor_sync(0x0000ffffu, x, lanes); }',
  },
  {
    file: 'common/merge.cuda.h',
    folder: 'bradley_terry_loss',
    ops: ['bradleyTerryLoss'],
    what: 'sums of warps merged at half of the width',
    find: 'return warp_merge(sums, warps);',
    put: 'return warp_merge(sums, warps / 2);',
  },
  {
    file: 'common/pair_loss.cuda.h',
    folder: 'bradley_terry_loss',
    ops: ['bradleyTerryLoss'],
    what: 'one pair too many',
    find: 'if (i < a.B) sums = pair(i);',
    put: 'if (i <= a.B) sums = pair(i);',
  },
  {
    file: 'common/row_pieces.cuda.h',
    folder: 'gather_rows',
    ops: ['gatherRows', 'embedding'],
    what: 'vectors without a look at where they begin',
    find: 'return H % 4 == 0 && is_aligned(x) && is_aligned(y);',
    put: 'return H % 4 == 0 && x != nullptr && y != nullptr;',
  },
  {
    file: 'scatter_rows/scatter_rows.cu',
    folder: 'scatter_rows',
    ops: ['scatterRows'],
    suite: 'cuda_calls',
    what: 'a row number that is not looked at from below',
    find: 'return row >= 0 && row < a.M;',
    put: 'return row < a.M;',
  },
  {
    file: 'gather_rows/gather_rows.cu',
    folder: 'gather_rows',
    ops: ['gatherRows', 'embedding'],
    suite: 'cuda_calls',
    what: 'a row number that is not looked at from above',
    find: 'if (from < 0 || from >= a.M) {',
    put: 'if (from < 0 || from > a.M + (int64_t{1} << 40)) {',
  },
  {
    file: 'common/reduce.cuda.h',
    folder: 'pool_rows',
    ops: ['poolRows', 'poolRowsBackward'],
    what: 'no barrier before shared memory is used again',
    find: '  __syncthreads();  // what an earlier call left may still be read\n',
    put: '',
  },
  {
    file: 'gather_rows/gather_rows_backward.cu',
    folder: 'gather_rows',
    ops: ['gatherRowsBackward', 'embeddingBackward'],
    what: 'only the upper half of the words is compared: positions lose their order',
    find: 'if ((x > y) == ((low & width) == 0)) {',
    put: 'if ((x >> 32 > y >> 32) == ((low & width) == 0)) {',
  },
]
