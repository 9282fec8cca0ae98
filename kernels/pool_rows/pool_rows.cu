// See pool_rows.h. Sums in f64; each warp of a block adds every eighth row, counted from the start of the sequence, and the
// eight sums are added up in order: padding and neighbours change no bit.
//   pool_rows         reads x: 4 B per number, the least there is
//   pool_rows_count   reads `valid`
//   pool_rows_spread  writes gradX: 4 B per number, the least there is
#include "../common/reduce.cuda.h"
#include "../common/row_pieces.cuda.h"
#include "pool_rows.launch.h"

namespace prefgrad {

struct PoolSpan {
  int64_t start, length;
};
// Inside the tensor whatever the offsets are.
template <typename Args>
PREFGRAD_DEVICE PoolSpan pool_span(const Args& a, int64_t b) {
  if (a.offsets == nullptr) return {b * a.T, a.T};
  const int64_t start = a.offsets[b], stop = a.offsets[b + 1];
  if (start < 0 || stop > a.N || stop < start) return {0, 0};
  return {start, stop - start};
}

// Do the offsets start at 0, never fall and end at N? All threads of the block ask; the first that is wrong is reported.
template <typename Args>
PREFGRAD_DEVICE bool pool_offsets_hold(const Args& a) {
  if (a.offsets == nullptr) return true;
  bool wrong = false;
  for (int64_t b = threadIdx.x; b <= a.B; b += kPoolThreads) {
    const int64_t offset = a.offsets[b], least = b == 0 ? 0 : a.offsets[b - 1];
    const bool fits = offset >= least && offset <= a.N && (b > 0 || offset == 0) && (b < a.B || offset == a.N);
    if (!fits) a.fault->report(Args::offsets_input, b);
    wrong |= !fits;
  }
  return __syncthreads_or(wrong) == 0;
}

template <typename Args>
PREFGRAD_DEVICE bool pool_is_valid(const Args& a, int64_t row) {
  return a.valid == nullptr || a.valid[row] != 0;
}

// The last row of a sequence that counts, or -1: the block looks at 256 at a time, from the end.
template <typename Args>
PREFGRAD_DEVICE int64_t pool_last(const Args& a, PoolSpan s) {
  int64_t last = -1;
  for (int64_t stop = s.length; stop > 0 && last < 0; stop -= kPoolThreads) {
    const int64_t t = stop - 1 - threadIdx.x;
    last = block_reduce<kPoolThreads>(t >= 0 && pool_is_valid(a, s.start + t) ? s.start + t : -1, int64_t{-1}, MaxOf{});
  }
  return last;
}

PREFGRAD_KERNEL(pool_rows, PoolRows, kPoolThreads) {
  constexpr int warps = kPoolThreads / kWarp, columns = kPoolColumns / kWarp, in_flight = 2;
  PREFGRAD_SHARED(double, sums, kPoolThreads * columns);
  PREFGRAD_SHARED(int64_t, counts, warps);
  const bool holds = pool_offsets_hold(a);
  const int64_t strips = (a.H + kPoolColumns - 1) / kPoolColumns;
  if (a.B * strips == 0) return;
  const int64_t b = blockIdx.x / strips, first = (blockIdx.x - b * strips) * kPoolColumns;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  float* const y = a.y + b * a.H;
  if (!holds) {
    const int64_t column = first + threadIdx.x;
    if (threadIdx.x < kPoolColumns && column < a.H) y[column] = nan_f32();
    return;
  }
  const PoolSpan s = pool_span(a, b);
  if (a.kind != 0) {
    const int64_t last = pool_last(a, s), column = first + threadIdx.x;
    // As a sum of one row has it, -0 becomes 0.
    if (threadIdx.x < kPoolColumns && column < a.H) y[column] = last < 0 ? 0.0f : a.x[last * a.H + column] + 0.0f;
    return;
  }
  double sum[columns] = {};
  int64_t count = 0;
  // Rows that do not count are not read, and add exactly 0.
  for (int64_t t = warp; t < s.length; t += in_flight * warps) {
    float x[in_flight][columns] = {};
    for (int r = 0; r < in_flight; ++r) {
      const int64_t place = t + r * warps;
      if (place >= s.length || !pool_is_valid(a, s.start + place)) continue;
      const float* const row = a.x + (s.start + place) * a.H + first;
      ++count;
      for (int k = 0; k < columns; ++k) {
        if (first + lane + k * kWarp < a.H) x[r][k] = row[lane + k * kWarp];
      }
    }
    for (int r = 0; r < in_flight; ++r) {
      for (int k = 0; k < columns; ++k) sum[k] += static_cast<double>(x[r][k]);
    }
  }
  for (int k = 0; k < columns; ++k) sums[(warp * columns + k) * kWarp + lane] = sum[k];
  if (lane == 0) counts[warp] = count;
  __syncthreads();
  const int64_t column = first + threadIdx.x;
  if (threadIdx.x >= kPoolColumns || column >= a.H) return;
  double total = 0.0;
  int64_t all = 0;
  for (int other = 0; other < warps; ++other) {
    total += sums[other * kPoolColumns + threadIdx.x];
    all += counts[other];
  }
  y[column] = static_cast<float>(total / static_cast<double>(all > 0 ? all : 1));
}

// A block per sequence: how many of its rows count, or which is the last. The block behind them looks at the offsets.
PREFGRAD_KERNEL(pool_rows_count, PoolRowsBackward, kPoolThreads) {
  int64_t* const counts = static_cast<int64_t*>(a.workspace);
  const int64_t b = blockIdx.x;
  if (b == a.B) {
    const bool holds = pool_offsets_hold(a);
    if (threadIdx.x == 0) counts[b] = holds;
    return;
  }
  const PoolSpan s = pool_span(a, b);
  int64_t count = 0;
  if (a.kind != 0) {
    count = pool_last(a, s);
  } else {
    for (int64_t t = threadIdx.x; t < s.length; t += kPoolThreads) count += pool_is_valid(a, s.start + t);
    count = block_sum<kPoolThreads>(count);
  }
  if (threadIdx.x == 0) counts[b] = count;
}

// The sequence of a row: the last one that begins at or before it.
PREFGRAD_DEVICE int64_t pool_sequence_of(const PoolRowsBackward& a, int64_t row) {
  if (a.offsets == nullptr) return row / a.T;
  int64_t low = 0, high = a.B;  // offsets[low] <= row < offsets[high]
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (a.offsets[middle] <= row ? low : high) = middle;
  }
  return low;
}

template <bool vectors>
PREFGRAD_DEVICE void pool_spread(const PoolRowsBackward& a, const RowPiece& piece, const float* pooled, double count, float* grad) {
  const RowNumbers g = piece.load<vectors>(pooled);
  RowNumbers out = {};
  if (a.accumulate != 0) out = piece.load<vectors>(grad);
  for (int k = 0; k < kRowNumbers; ++k) {
    out[k] = static_cast<float>(static_cast<double>(g[k]) / count + static_cast<double>(out[k]));
  }
  piece.store<vectors>(grad, out);
}

PREFGRAD_KERNEL(pool_rows_spread, PoolRowsBackward, kRowThreads) {
  const RowPiece piece(a.H);
  if (piece.row >= a.N) return;
  const int64_t* const counts = static_cast<const int64_t*>(a.workspace);
  float* const grad = a.grad_x + piece.row * a.H + piece.column;
  if (counts[a.B] == 0) {
    piece.fill(grad, nan_f32());
    return;
  }
  const int64_t b = pool_sequence_of(a, piece.row), count = counts[b];
  if (a.kind != 0 ? piece.row != count : !pool_is_valid(a, piece.row)) {
    if (a.accumulate == 0) piece.fill(grad, 0.0f);
    return;
  }
  const float* const pooled = a.grad_pooled + b * a.H + piece.column;
  const double divisor = a.kind != 0 ? 1.0 : static_cast<double>(count);
  if (rows_are_vectors(a.H, a.grad_pooled, a.grad_x)) {
    pool_spread<true>(a, piece, pooled, divisor, grad);
  } else {
    pool_spread<false>(a, piece, pooled, divisor, grad);
  }
}

}  // namespace prefgrad
