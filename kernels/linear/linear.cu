// See linear.h for the formula, common/gemm.cuda.h for the order of the sums: one chain over I, the same in every kernel here.
//   linear_large, linear_small   tiles of 128 x 128 and 64 x 64; a block reads 8 I bytes per row of its tile, mostly from cache
//   linear_narrow_8, _16, _32    up to as many rows in a block of 32 columns, as in decoding: the weight is read once for up to
//                                32 rows, 4 B per weight, the least there is
#include "linear_product.cuda.h"

namespace prefgrad {

template <int threads>
PREFGRAD_DEVICE void linear_forward(const Linear& a) {
  linear_tile<threads, true, true>({{a.x, a.I}, {a.weight, a.I}, a.N, a.O, static_cast<int>(a.I)}, blockIdx.x,
                                   [&] { return LinearOutput{a.y, a.bias, false}; });
}

PREFGRAD_KERNEL(linear_large, Linear, PREFGRAD_RESIDENT(kLinearLargeThreads, 2)) { linear_forward<kLinearLargeThreads>(a); }

PREFGRAD_KERNEL(linear_small, Linear, PREFGRAD_RESIDENT(kLinearSmallThreads, 4)) { linear_forward<kLinearSmallThreads>(a); }

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
  PREFGRAD_MEMBER void store(float* row, bool whole) const {
    const int lane = threadIdx.x % kWarp;
    if (whole) {
      Float4 quad;
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) quad.x[j] = x[j];
      *reinterpret_cast<Float4*>(row + 4 * lane) = quad;
    } else {
      PREFGRAD_UNROLL
      for (int j = 0; j < 4; ++j) row[lane + kWarp * j] = x[j];
    }
  }
};

// A warp has `each` rows, a lane one column.
template <int each>
PREFGRAD_DEVICE void linear_narrow(const Linear& a) {
  constexpr int warps = kLinearNarrowThreads / kWarp, rows = warps * each, columns = kLinearNarrowColumns;
  constexpr int pitch = kLinearTerms + 4, loads = columns / warps;
  PREFGRAD_SHARED(Float4, weights_quads, columns * pitch / 4);
  PREFGRAD_SHARED(Float4, rows_quads, rows * kLinearTerms / 4);
  float *const weights = &weights_quads[0].x[0], *const inputs = &rows_quads[0].x[0];
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const unsigned across = static_cast<unsigned>((a.O + columns - 1) / columns);
  const int64_t row = blockIdx.x / across * rows, column = int64_t{blockIdx.x % across} * columns;
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
  float sum[each] = {};
  load(a.I);
  for (int64_t term = 0; term < a.I; term += kLinearTerms) {
    __syncthreads();  // the terms before these are used up
    PREFGRAD_UNROLL
    for (int i = 0; i < loads; ++i) of_weight[i].store(weights + (warp + i * warps) * pitch, whole_weight);
    PREFGRAD_UNROLL
    for (int i = 0; i < each; ++i) of_x[i].store(inputs + (warp + i * warps) * kLinearTerms, whole_x);
    __syncthreads();
    if (term + kLinearTerms < a.I) load(a.I - term - kLinearTerms);
    // To a multiple of 16, as in the tiles.
    const int64_t left = (a.I - term + kGemmTerms - 1) / kGemmTerms * kGemmTerms;
    const int count = row + warp >= a.N ? 0 : left < kLinearTerms ? static_cast<int>(left) : kLinearTerms;
    PREFGRAD_ROLLED
    for (int k = 0; k < count; k += 8) {
      PREFGRAD_UNROLL
      for (int q = 0; q < 8; q += 4) {
        const Float4 w = *reinterpret_cast<const Float4*>(weights + lane * pitch + k + q);
        PREFGRAD_UNROLL
        for (int i = 0; i < each; ++i) {
          const Float4 x = *reinterpret_cast<const Float4*>(inputs + (warp + i * warps) * kLinearTerms + k + q);
          PREFGRAD_UNROLL
          for (int j = 0; j < 4; ++j) sum[i] = fma(x.x[j], w.x[j], sum[i]);
        }
      }
    }
  }
  PREFGRAD_UNROLL
  for (int i = 0; i < each; ++i) {
    const int64_t r = row + warp + i * warps, c = column + lane;
    if (r < a.N && c < a.O) a.y[r * a.O + c] = a.bias != nullptr ? sum[i] + a.bias[c] : sum[i];
  }
}

PREFGRAD_KERNEL(linear_narrow_8, Linear, PREFGRAD_RESIDENT(kLinearNarrowThreads, 2)) { linear_narrow<1>(a); }

PREFGRAD_KERNEL(linear_narrow_16, Linear, PREFGRAD_RESIDENT(kLinearNarrowThreads, 2)) { linear_narrow<2>(a); }

PREFGRAD_KERNEL(linear_narrow_32, Linear, kLinearNarrowThreads) { linear_narrow<4>(a); }

}  // namespace prefgrad
