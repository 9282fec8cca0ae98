// See linear.h for the formula, common/gemm.cuda.h for the order of the sums: one chain over I, the same in every kernel here.
//   linear_large, linear_small   tiles of 128 x 128 and 64 x 64; a block reads 8 I bytes per row of its tile, mostly from cache
//   linear_narrow_8, _16, _32    up to as many rows in a block of 32 columns, as in decoding: the weight is read once for up to
//                                32 rows, 4 B per weight, the least there is
#include "linear_narrow.cuda.h"

namespace prefgrad {

template <int threads>
PREFGRAD_DEVICE void linear_forward(const Linear& a) {
  linear_tile<threads, true, true>({{a.x, a.I}, {a.weight, a.I}, a.N, a.O, static_cast<int>(a.I)}, blockIdx.x,
                                   [&] { return LinearOutput{a.y, a.bias, false}; });
}

PREFGRAD_KERNEL(linear_large, Linear, PREFGRAD_RESIDENT(kLinearLargeThreads, 2)) { linear_forward<kLinearLargeThreads>(a); }

PREFGRAD_KERNEL(linear_small, Linear, PREFGRAD_RESIDENT(kLinearSmallThreads, 4)) { linear_forward<kLinearSmallThreads>(a); }

// A warp has `each` rows, a lane one column.
template <int each>
PREFGRAD_DEVICE void linear_narrow(const Linear& a) {
  constexpr int warps = kLinearNarrowThreads / kWarp, pitch = kLinearTerms + 4;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  int64_t row, column;
  linear_narrow_place<warps * each>(a, row, column);
  float sum[each] = {};
  const auto take = [&](const float* inputs, const float* weights, int terms) {
    const int count = row + warp >= a.N ? 0 : terms;
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
  };
  const auto same = [](float x) { return x; };
  linear_narrow_terms<each, kLinearTerms, pitch>(a, row, column, same, take);
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
