// What losses on pairs (and other vectors of scalars) share: eight pairs at a time in f64, or sixteen in f32, partial sums per
// chunk, and the accumulate convention.
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

// Sixteen in f32: lanes from n on are 0.
PREFGRAD_INLINE f32x16 load_pairs(const float* p, int64_t i, int64_t n) {
  return n >= 16 ? f32x16::load(p + i) : f32x16::load_first(p + i, n, 0.0f);
}
PREFGRAD_INLINE void store_pairs(float* p, int64_t i, int64_t n, f32x16 x, bool add) {
  if (p == nullptr) return;
  if (add) x = x + load_pairs(p, i, n);
  n >= 16 ? store(p + i, x) : store_first(p + i, x, n);
}

// What a plain loss adds up, in f64: vectors of f32 are added four at a time before they are widened.
struct PairSums {
  Sum16 loss, chosen, rejected;
  int64_t halves = 0;  // 2 for a pair in the right order, 1 for a tie

  PREFGRAD_INLINE void store(double* sums) const {
    sums[0] = loss.total();
    sums[1] = 0.5 * static_cast<double>(halves);
    sums[2] = chosen.total();
    sums[3] = rejected.total();
  }
};
struct PlainPair {
  f32x16 loss, chosen, rejected;
  m16 right, tie;
};
// Adds the pairs from begin to end: `make(i, n)` does those from i on, n of them or sixteen if there are more. Where all sixteen
// are sure to be there n is a constant.
template <typename Make>
PREFGRAD_INLINE PairSums sum_pairs(int64_t begin, int64_t end, Make make) {
  PairSums sums;
  const f32x16 zero = f32x16::set(0.0f);
  int64_t i = begin;
  for (; i + 128 <= end; i += 128) {
    f32x16 loss = zero, chosen = zero, rejected = zero;
    for (int64_t k = i; k < i + 128; k += 32) {
      const PlainPair a = make(k, 16), b = make(k + 16, 16);
      loss = loss + (a.loss + b.loss);
      chosen = chosen + (a.chosen + b.chosen);
      rejected = rejected + (a.rejected + b.rejected);
      sums.halves += 2 * __builtin_popcount(bits(a.right)) + __builtin_popcount(bits(a.tie));
      sums.halves += 2 * __builtin_popcount(bits(b.right)) + __builtin_popcount(bits(b.tie));
    }
    sums.loss.add(loss);
    sums.chosen.add(chosen);
    sums.rejected.add(rejected);
  }
  for (; i < end; i += 16) {
    const PlainPair pair = make(i, end - i);
    const m16 some = first16(end - i);
    sums.loss.add(select(some, pair.loss, zero));
    sums.chosen.add(pair.chosen);
    sums.rejected.add(pair.rejected);
    sums.halves += 2 * __builtin_popcount(bits(pair.right & some)) + __builtin_popcount(bits(pair.tie & some));
  }
  return sums;
}

// Zero in lanes from n on, so that sums do not see them.
PREFGRAD_INLINE f64x8 first_pairs(f64x8 x, int64_t n) { return n >= 8 ? x : select(first8(n), x, f64x8::set(0.0)); }

}  // namespace prefgrad::PREFGRAD_ISA
