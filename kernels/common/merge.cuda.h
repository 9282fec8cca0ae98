// Sums of several numbers that belong together, merged in an order that is fixed by their places alone. A Sums is a struct
// of doubles with `none()`, which changes nothing, and `merge(later)`, which need not commute.
#pragma once
#include "cuda.h"

namespace prefgrad {

template <typename Sums>
PREFGRAD_DEVICE Sums sums_below(const Sums& sums, int lanes) {
  static_assert(sizeof(Sums) % 8 == 0, "doubles");
  constexpr int words = sizeof(Sums) / 8;
  double w[words];
  memcpy(w, &sums, sizeof sums);
  for (int k = 0; k < words; ++k) w[k] = __shfl_down_sync(kFullMask, w[k], static_cast<unsigned>(lanes));
  Sums below;
  memcpy(&below, w, sizeof sums);
  return below;
}

// Of every `lanes` (a power of two) lanes of a warp; the first of them gets the result, whose bits do not depend on `lanes`
// where the rest would be none(). All lanes of the warp take part.
template <typename Sums>
PREFGRAD_DEVICE Sums warp_merge(Sums sums, int lanes = kWarp) {
  PREFGRAD_ROLLED  // many registers are merged: once in code is enough
  for (int apart = lanes / 2; apart > 0; apart /= 2) sums.merge(sums_below(sums, apart));
  return sums;
}

// Of all `threads` of the block; thread 0 gets the result.
template <int threads, typename Sums>
PREFGRAD_DEVICE Sums block_merge(Sums sums) {
  constexpr int warps = threads / kWarp;
  PREFGRAD_SHARED(double, of_warps, warps * sizeof(Sums) / 8);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  sums = warp_merge(sums);
  __syncthreads();  // what an earlier call left may still be read
  if (lane == 0) memcpy(of_warps + warp * (sizeof(Sums) / 8), &sums, sizeof sums);
  __syncthreads();
  sums = Sums::none();
  if (lane < warps) memcpy(&sums, of_warps + lane * (sizeof(Sums) / 8), sizeof sums);
  return warp_merge(sums, warps);
}

}  // namespace prefgrad
