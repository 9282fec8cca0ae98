// What the plain Bradley-Terry and DPO losses share: every first one is simply better. Sixteen pairs at a time in f32; two such
// vectors side by side, because a logistic function is a long chain of operations that wait for one another.
#pragma once
#include "logistic_loss.h"
#include "pairs.h"

namespace prefgrad::PREFGRAD_ISA {

// Sixteen in f32: lanes from n on are 0.
PREFGRAD_INLINE f32x16 load_pairs(const float* p, int64_t i, int64_t n) {
  return n >= 16 ? f32x16::load(p + i) : f32x16::load_first(p + i, n, 0.0f);
}
PREFGRAD_INLINE void store_pairs(float* p, int64_t i, int64_t n, f32x16 x, bool add) {
  if (p == nullptr) return;
  if (add) x = x + load_pairs(p, i, n);
  n >= 16 ? store(p + i, x) : store_first(p + i, x, n);
}

// What sixteen pairs of a plain loss are made of and come to.
struct PlainPairs {
  f32x16 chosen, rejected;  // scores or rewards
  f32x16 gap;               // above 0 where a pair is in the right order
  LogisticLoss of_margin;
};
// Adds the pairs from begin to end in f64 (eight vectors of f32 at a time) and leaves the sums in `out`. A loss has
//   a                    its arguments
//   make(i, n)           sixteen pairs from i on, those from n on all 0
//   made_again(p, i, n)  the same, with what is far put right
//   keep(p, i, n)        writes what is wanted of them
template <typename Loss>
PREFGRAD_INLINE void sum_pairs(const Loss& plain, int64_t begin, int64_t end, double* out) {
  const f32x16 zero = f32x16::set(0.0f);
  Sum16 loss, chosen, rejected;
  int64_t halves = 0;  // 2 for a pair in the right order, 1 for a tie
  const auto count = [&](f32x16 gap, m16 some) PREFGRAD_BODY {
    halves += __builtin_popcount(bits(less(zero, gap) & some)) + __builtin_popcount(bits(less_equal(zero, gap) & some));
  };
  int64_t i = begin;
  for (; i + 128 <= end; i += 128) {
    f32x16 losses = zero, chosens = zero, rejecteds = zero;
    for (int64_t k = i; k < i + 128; k += 32) {
      PlainPairs a = plain.make(k, 16), b = plain.make(k + 16, 16);
      if (__builtin_expect(any(a.of_margin.far | b.of_margin.far), 0)) {
        a = plain.made_again(a, k, 16);
        b = plain.made_again(b, k + 16, 16);
      }
      plain.keep(a, k, 16);
      plain.keep(b, k + 16, 16);
      losses = losses + (a.of_margin.loss + b.of_margin.loss);
      chosens = chosens + (a.chosen + b.chosen);
      rejecteds = rejecteds + (a.rejected + b.rejected);
      count(a.gap, first16(16));
      count(b.gap, first16(16));
    }
    loss.add(losses);
    chosen.add(chosens);
    rejected.add(rejecteds);
  }
  for (; i < end; i += 16) {
    const int64_t n = end - i;
    PlainPairs last = plain.make(i, n);
    if (any(last.of_margin.far)) last = plain.made_again(last, i, n);
    plain.keep(last, i, n);
    loss.add(select(first16(n), last.of_margin.loss, zero));
    chosen.add(last.chosen);
    rejected.add(last.rejected);
    count(last.gap, first16(n));
  }
  out[0] = loss.total();
  out[1] = 0.5 * static_cast<double>(halves);
  out[2] = chosen.total();
  out[3] = rejected.total();
}
// The same for work items, each with sums of its own in the workspace.
template <typename Loss>
PREFGRAD_INLINE void sum_items(const Loss& plain, int64_t begin, int64_t end) {
  for (int64_t item = begin; item < end; ++item) {
    const int64_t first = item * kPairChunk, stop = first + kPairChunk < plain.a.B ? first + kPairChunk : plain.a.B;
    sum_pairs(plain, first, stop, plain.a.workspace + item * kPairSums);
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
