// What the plain Bradley-Terry and DPO losses share: every first one is simply better. Sixteen pairs at a time in f32, a stage
// of 128 in two passes: the exponential and the logarithm behind it are long chains of operations that wait for one another,
// and a processor works on more of them at once when each has a loop of its own.
#pragma once
#include "logistic_loss.h"
#include "pairs.h"

namespace prefgrad::PREFGRAD_ISA {

constexpr int64_t kPairStage = 128;

// Sixteen in f32: lanes from n on are 0.
PREFGRAD_INLINE f32x16 load_pairs(const float* p, int64_t i, int64_t n) {
  return n >= 16 ? f32x16::load(p + i) : f32x16::load_first(p + i, n, 0.0f);
}

// An output for n pairs from i on. What is not wanted, added to what is there, or not a whole stage goes through a room of its
// own, so that the loops need not ask.
template <bool whole>
class StageOutput {
  float *there_, *to_;
  int64_t n_;
  bool add_;
  alignas(64) float room_[kPairStage];

 public:
  StageOutput(const StageOutput&) = delete;  // it may point into itself
  StageOutput(float* p, bool add, int64_t i, int64_t n) : there_(p == nullptr ? p : p + i), to_(room_), n_(n), add_(add) {
    if (whole && there_ != nullptr && !add) to_ = there_;
  }
  PREFGRAD_INLINE void keep(int64_t k, f32x16 x) { store(to_ + k, x); }
  PREFGRAD_INLINE void close() const {
    if (there_ == nullptr || to_ == there_) return;
    for (int64_t k = 0; k < n_; k += 16) {
      const f32x16 x = f32x16::load(room_ + k);
      store_first(there_ + k, add_ ? x + load_pairs(there_, k, n_ - k) : x, n_ - k);
    }
  }
};

// What sixteen pairs of a plain loss are made of.
struct PlainPairs {
  f32x16 chosen, rejected;  // scores or rewards
  f32x16 gap;               // above 0 where a pair is in the right order
  Split margin;             // what the loss is of
};
struct PairSums {
  Sum16 loss, chosen, rejected;
  int64_t halves = 0;  // 2 for a pair in the right order, 1 for a tie
};

// Adds n pairs from i on, at most a stage: f32 within it, f64 from stage to stage. A loss has
//   logistic                LogisticLosses
//   make(i, n)              sixteen pairs, those from n on all 0
//   put_right(p, i, n)      where they are far (see logistic_loss.h), what f32 lost of the pairs
//   put_right(l, i, n)      and their loss; both are asked for every vector of a stage with far pairs
//   Outputs<whole>          with keep(k, pairs), keep(k, loss) and close()
template <bool whole, typename Loss>
PREFGRAD_INLINE void add_stage(const Loss& plain, int64_t i, int64_t n, PairSums& sums) {
  const f32x16 zero = f32x16::set(0.0f);
  alignas(64) float powers[kPairStage], margins[kPairStage];
  typename Loss::template Outputs<whole> out(plain, i, n);
  const auto left = [&](int64_t k) PREFGRAD_BODY { return whole ? 16 : n - k; };
  // Every second vector in a sum of its own: half the roundings.
  f32x16 losses[2] = {zero, zero}, chosen[2], rejected[2];
  LaneCount halves;
  bool has_far = false;
  for (;;) {
    chosen[0] = chosen[1] = rejected[0] = rejected[1] = zero;
    halves = LaneCount();
    m16 near = first16(16);
    for (int64_t k = 0; k < n; k += 16) {
      PlainPairs p = plain.make(i + k, left(k));
      if (__builtin_expect(has_far, 0)) plain.put_right(p, i + k, left(k));
      const int64_t which = k / 16 % 2;
      chosen[which] = chosen[which] + p.chosen;
      rejected[which] = rejected[which] + p.rejected;
      const m16 right = less(zero, p.gap), not_wrong = less_equal(zero, p.gap);
      halves.add(right);
      halves.add(whole ? not_wrong : not_wrong & first16(left(k)));
      near = near & plain.logistic.near(p.margin);
      store(powers + k, plain.logistic.power(p.margin));
      store(margins + k, plain.logistic.rounded(p.margin));
      out.keep(k, p);
    }
    if (__builtin_expect(has_far || !any(~near), 1)) break;
    has_far = true;
  }
  for (int64_t k = 0; k < n; k += 16) {
    LogisticLoss l = plain.logistic.loss(f32x16::load(powers + k), f32x16::load(margins + k));
    if (__builtin_expect(has_far, 0)) plain.put_right(l, i + k, left(k));
    out.keep(k, l);
    const int64_t which = k / 16 % 2;
    losses[which] = losses[which] + (whole ? l.loss : where(first16(left(k)), l.loss));
  }
  out.close();
  sums.loss.add(losses[0] + losses[1]);
  sums.chosen.add(chosen[0] + chosen[1]);
  sums.rejected.add(rejected[0] + rejected[1]);
  sums.halves += halves.total();
}

// Work items, each with sums of its own in the workspace.
template <typename Loss>
PREFGRAD_INLINE void sum_items(const Loss& plain, int64_t begin, int64_t end) {
  for (int64_t item = begin; item < end; ++item) {
    const int64_t first = item * kPairChunk, stop = first + kPairChunk < plain.a.B ? first + kPairChunk : plain.a.B;
    PairSums sums;
    int64_t i = first;
    for (; i + kPairStage <= stop; i += kPairStage) add_stage<true>(plain, i, kPairStage, sums);
    if (i < stop) add_stage<false>(plain, i, stop - i, sums);
    double* out = plain.a.workspace + item * kPairSums;
    out[0] = sums.loss.total();
    out[1] = 0.5 * static_cast<double>(sums.halves);
    out[2] = sums.chosen.total();
    out[3] = sums.rejected.total();
  }
}

}  // namespace prefgrad::PREFGRAD_ISA
