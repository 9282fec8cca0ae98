// What losses on pairs (and other vectors of scalars) share: eight pairs at a time in f64, partial sums per chunk, and
// the accumulate convention.
#pragma once
#include "math.h"

namespace prefgrad::PREFGRAD_ISA {

// Pairs per work item; lib/spec/reward.ts has the same number.
constexpr int64_t kPairChunk = 1024;
constexpr int kPairSums = 8;

// Eight f32 from `p + i` widened to f64; lanes from `n` on, and an absent array, are `fill`.
PREFGRAD_INLINE f64x8 load_pairs(const float* p, int64_t i, int64_t n, double fill) {
  if (p == nullptr) return f64x8::set(fill);
  if (n >= 8) return f64_of(p + i);
  return low_f64(f32x16::load_first(p + i, n, static_cast<float>(fill)));
}

// Rounds to f32 and writes lanes below n, added to what is there if wanted.
PREFGRAD_INLINE void store_pairs(float* p, int64_t i, int64_t n, f64x8 x, bool add) {
  if (p == nullptr) return;
  if (add) x = x + load_pairs(p, i, n, 0.0);
  if (n >= 8) return store_f32(p + i, x);
  store_first(p + i, narrow(x, x), n);
}

// Zero in lanes from n on, so that sums do not see them.
PREFGRAD_INLINE f64x8 first_pairs(f64x8 x, int64_t n) { return n >= 8 ? x : select(first8(n), x, f64x8::set(0.0)); }

}  // namespace prefgrad::PREFGRAD_ISA
