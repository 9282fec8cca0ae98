// A block of few rows, as in decoding: up to 32 of them, and 32 columns, 128 terms at a time in shared memory. A warp brings rows
// of terms, so that the weight is read in long stretches.
#pragma once
#include "linear_product.cuda.h"

namespace prefgrad {

constexpr int kLinearTerms = 128;

// 128 terms of one row on their way into shared memory: a warp brings them, 16 bytes a lane, or 4 x 4.
struct LinearQuad {
  float x[4];

  PREFGRAD_MEMBER void load(const float* row, int64_t left, bool whole) {
    const int lane = threadIdx.x % kWarp;
    if (whole) {
      Float4 quad = {};
      if (4 * lane < left) quad = *reinterpret_cast<const Float4*>(row + 4 * lane);
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) x[j] = quad.x[j];
    } else {
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) x[j] = lane + kWarp * j < left ? row[lane + kWarp * j] : 0.0f;
    }
  }
  // `change` is what becomes of every number on the way.
  template <typename Change>
  PREFGRAD_MEMBER void store(float* row, bool whole, Change change) const {
    const int lane = threadIdx.x % kWarp;
    if (whole) {
      Float4 quad;
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) quad.x[j] = change(x[j]);
      *reinterpret_cast<Float4*>(row + 4 * lane) = quad;
    } else {
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) row[lane + kWarp * j] = change(x[j]);
    }
  }
};

// `each` times 8 rows and the columns from `row` and `column` on: their next terms are brought to shared memory, from row to row
// `rows_pitch` and `pitch` apart, and taken up: `take(rows, columns, count)`, `count` being a multiple of 16, as in the tiles.
template <int each, int rows_pitch, int pitch, typename Change, typename Take>
PREFGRAD_DEVICE void linear_narrow_terms(const Linear& a, int64_t row, int64_t column, Change change, Take take) {
  constexpr int warps = kLinearNarrowThreads / kWarp, columns = kLinearNarrowColumns, loads = columns / warps;
  PREFGRAD_SHARED(Float4, weights_quads, columns * pitch / 4);
  PREFGRAD_SHARED(Float4, rows_quads, warps * each * rows_pitch / 4);
  float *const weights = &weights_quads[0].x[0], *const inputs = &rows_quads[0].x[0];
  const int warp = threadIdx.x / kWarp;
  const bool whole_x = a.I % 4 == 0 && is_aligned(a.x), whole_weight = a.I % 4 == 0 && is_aligned(a.weight);
  LinearQuad of_weight[loads], of_x[each];
  const float* from_weight = a.weight + (column + warp) * a.I;
  const float* from_x = a.x + (row + warp) * a.I;
  // The next terms, of which there are `left`.
  const auto load = [&](int64_t left) {
    PREFGRAD_UNROLL
    for (int i = 0; i < loads; ++i) {
      of_weight[i].load(from_weight + i * warps * a.I, column + warp + i * warps < a.O ? left : 0, whole_weight);
    }
    PREFGRAD_UNROLL
    for (int i = 0; i < each; ++i) {
      of_x[i].load(from_x + i * warps * a.I, row + warp + i * warps < a.N ? left : 0, whole_x);
    }
    from_weight += kLinearTerms;
    from_x += kLinearTerms;
  };
  load(a.I);
  for (int64_t term = 0; term < a.I; term += kLinearTerms) {
    __syncthreads();  // the terms before these are used up
    PREFGRAD_UNROLL
    for (int i = 0; i < loads; ++i) of_weight[i].store(weights + (warp + i * warps) * pitch, whole_weight, change);
    PREFGRAD_UNROLL
    for (int i = 0; i < each; ++i) of_x[i].store(inputs + (warp + i * warps) * rows_pitch, whole_x, change);
    __syncthreads();
    if (term + kLinearTerms < a.I) load(a.I - term - kLinearTerms);
    const int64_t left = (a.I - term + kGemmTerms - 1) / kGemmTerms * kGemmTerms;
    take(inputs, weights, left < kLinearTerms ? static_cast<int>(left) : kLinearTerms);
  }
}

// Where a block of `rows` rows begins.
template <int rows>
PREFGRAD_DEVICE void linear_narrow_place(const Linear& a, int64_t& row, int64_t& column) {
  const unsigned across = static_cast<unsigned>((a.O + kLinearNarrowColumns - 1) / kLinearNarrowColumns);
  row = blockIdx.x / across * rows;
  column = int64_t{blockIdx.x % across} * kLinearNarrowColumns;
}

}  // namespace prefgrad
