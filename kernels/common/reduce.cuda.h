// Reductions in an order that is fixed by the block's size alone: lanes by butterfly, then warps by a butterfly of the
// first 32 of them. Every thread of the block gets the result. Deterministic, and no atomics.
#pragma once
#include "cuda.h"

namespace prefgrad {

PREFGRAD_DEVICE double shuffle_xor(double x, int lanes) { return __shfl_xor_sync(kFullMask, x, lanes); }
PREFGRAD_DEVICE float shuffle_xor(float x, int lanes) { return __shfl_xor_sync(kFullMask, x, lanes); }
PREFGRAD_DEVICE int shuffle_xor(int x, int lanes) { return __shfl_xor_sync(kFullMask, x, lanes); }
PREFGRAD_DEVICE int64_t shuffle_xor(int64_t x, int lanes) {
  return static_cast<int64_t>(__shfl_xor_sync(kFullMask, static_cast<long long>(x), lanes));
}

struct SumOf {
  template <typename T>
  PREFGRAD_MEMBER T operator()(T a, T b) const {
    return a + b;
  }
};
// Of numbers that are not NaN.
struct MaxOf {
  template <typename T>
  PREFGRAD_MEMBER T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};
struct MinOf {
  template <typename T>
  PREFGRAD_MEMBER T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

// Both operands of a butterfly meet in both lanes, so `op` must commute bit by bit.
template <typename T, typename Op>
PREFGRAD_DEVICE T warp_reduce(T x, Op op) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) x = op(x, shuffle_xor(x, lanes));
  return x;
}

// Over the `threads` (a multiple of 32) of the block; all of them must take part. May be called again and again.
template <int threads, typename T, typename Op>
PREFGRAD_DEVICE T block_reduce(T x, T identity, Op op) {
  constexpr int warps = threads / kWarp;
  PREFGRAD_SHARED(T, of_warps, warps);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  x = warp_reduce(x, op);
  if (warps == 1) return x;
  __syncthreads();  // what an earlier call left may still be read
  if (lane == 0) of_warps[warp] = x;
  __syncthreads();
  return warp_reduce(lane < warps ? of_warps[lane] : identity, op);
}
template <int threads, typename T>
PREFGRAD_DEVICE T block_sum(T x) {
  return block_reduce<threads>(x, T{0}, SumOf{});
}

}  // namespace prefgrad
