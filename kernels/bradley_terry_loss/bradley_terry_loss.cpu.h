// See bradley_terry_loss.h for the formula, the passes and the bytes.
#pragma once
#include "../common/logistic.h"
#include "../common/pairs.h"
#include "../common/plain_pairs.h"
#include "bradley_terry_loss.h"

namespace prefgrad::PREFGRAD_ISA {

inline double bradley_terry_scale(const BradleyTerryLoss& a) {
  return a.grad_scale / (a.normalizer == a.normalizer ? a.normalizer : static_cast<double>(a.B));
}

// Nothing is weighted, smoothed or centered.
template <bool margins>
struct PlainBradleyTerry {
  const BradleyTerryLoss& a;
  LogisticLosses<false> logistic;
  f32x16 scale, zero = f32x16::set(0.0f);
  explicit PlainBradleyTerry(const BradleyTerryLoss& args)
      : a(args), scale(f32x16::set(static_cast<float>(bradley_terry_scale(args)))) {}

  PREFGRAD_INLINE PlainPairs make(int64_t i, int64_t n) const {
    PlainPairs p;
    p.chosen = load_pairs(a.chosen, i, n);
    p.rejected = load_pairs(a.rejected, i, n);
    p.gap = p.chosen - p.rejected;
    p.margin = difference(p.chosen, p.rejected);
    if constexpr (margins) p.margin = normalized(difference(p.margin, {load_pairs(a.margin, i, n), zero}));
    return p;
  }
  void put_right(PlainPairs&, int64_t, int64_t) const {}
  __attribute__((noinline)) void put_right(LogisticLoss& l, int64_t i, int64_t n) const {
    const PlainPairs p = make(i, n);
    const m16 near = logistic.near(p.margin);
    if (!any(~near)) return;
    const f32x16 margin = margins ? load_pairs(a.margin, i, n) : zero;
    prefgrad::PREFGRAD_ISA::put_right(l, near, low_f64(p.chosen) - low_f64(p.rejected) - low_f64(margin),
                                      high_f64(p.chosen) - high_f64(p.rejected) - high_f64(margin));
  }
  template <bool whole>
  struct Outputs {
    StageOutput<whole> chosen, rejected;
    f32x16 scale, zero = f32x16::set(0.0f);
    Outputs(const PlainBradleyTerry& loss, int64_t i, int64_t n)
        : chosen(loss.a.grad_chosen, (loss.a.accumulate & 2) != 0, i, n),
          rejected(loss.a.grad_rejected, (loss.a.accumulate & 4) != 0, i, n), scale(loss.scale) {}
    PREFGRAD_INLINE void keep(int64_t, const PlainPairs&) {}
    PREFGRAD_INLINE void keep(int64_t k, const LogisticLoss& l) {
      const f32x16 pull = scale * l.slope;
      chosen.keep(k, zero - pull);
      rejected.keep(k, pull);
    }
    PREFGRAD_INLINE void close() const {
      chosen.close();
      rejected.close();
    }
  };
};

inline void bradley_terry_loss_general(const BradleyTerryLoss& a, int64_t begin, int64_t end) {
  const f64x8 zero = f64x8::set(0.0), half = f64x8::set(0.5), one = f64x8::set(1.0);
  const f64x8 smoothing = f64x8::set(a.label_smoothing), center = f64x8::set(a.center_coefficient);
  const f64x8 scale = f64x8::set(bradley_terry_scale(a));
  LogisticBlock logistic;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t stop = (item + 1) * kPairChunk < a.B ? (item + 1) * kPairChunk : a.B;
    f64x8 loss = zero, accuracy = zero, chosen_sum = zero, rejected_sum = zero;
    for (int64_t block = item * kPairChunk; block < stop; block += kLogisticBlock) {
      const int64_t last = block + kLogisticBlock < stop ? block + kLogisticBlock : stop;
      for (int64_t i = block; i < last; i += 8) {
        const int64_t n = last - i;
        const f64x8 chosen = load_pairs(a.chosen, i, n, 0.0), rejected = load_pairs(a.rejected, i, n, 0.0);
        logistic.set(i - block, chosen - rejected - load_pairs(a.margin, i, n, 0.0));
        chosen_sum = chosen_sum + first_pairs(chosen, n);
        rejected_sum = rejected_sum + first_pairs(rejected, n);
      }
      logistic.find(last - block);
      for (int64_t i = block; i < last; i += 8) {
        const int64_t n = last - i;
        const Logistic s = logistic[i - block];
        const f64x8 chosen = load_pairs(a.chosen, i, n, 0.0), rejected = load_pairs(a.rejected, i, n, 0.0);
        f64x8 preference = load_pairs(a.preference, i, n, 1.0);
        const m8 bad = ~(less_equal(zero, preference) & less_equal(preference, one));
        if (any(bad)) {
          for (unsigned lane = 0, set = bits(bad); set != 0; ++lane, set >>= 1) {
            if (set & 1) a.fault->report(3, i + lane);
          }
          preference = select(bad, f64x8::set(std::numeric_limits<double>::quiet_NaN()), preference);
        }
        const f64x8 gap = chosen - rejected, total = chosen + rejected;
        const f64x8 p = (one - smoothing) * preference + smoothing * (one - preference);
        const f64x8 w = load_pairs(a.weight, i, n, 1.0);
        // A side of weight 0 is left out, so that an infinite score difference in its favour costs nothing.
        const f64x8 first = select(equal(p, zero), zero, p * s.log_up);
        const f64x8 second = select(equal(p, one), zero, (one - p) * s.log_down);
        const f64x8 term = w * (center * total * total - first - second);
        // sigmoid(d) - p, without cancellation where both are near 1.
        const f64x8 pull = (one - p) * s.up - p * s.down, hold = f64x8::set(2.0) * center * total;
        store_pairs(a.grad_chosen, i, n, w * scale * (pull + hold), (a.accumulate & 2) != 0);
        store_pairs(a.grad_rejected, i, n, w * scale * (hold - pull), (a.accumulate & 4) != 0);
        const m8 undecided = equal(gap, zero) | equal(p, half);
        const m8 agree = (less(zero, gap) & less(half, p)) | (less(gap, zero) & less(p, half));
        accuracy = accuracy + first_pairs(select(undecided, half, select(agree, one, zero)), n);
        loss = loss + first_pairs(term, n);
      }
    }
    double* sums = a.workspace + item * kPairSums;
    sums[0] = sum(loss);
    sums[1] = sum(accuracy);
    sums[2] = sum(chosen_sum);
    sums[3] = sum(rejected_sum);
  }
}

inline void bradley_terry_loss_terms(const BradleyTerryLoss& a, int64_t begin, int64_t end, int) {
  const bool plain = a.preference == nullptr && a.weight == nullptr && a.label_smoothing == 0.0 &&
                     a.center_coefficient == 0.0 && is_moderate(bradley_terry_scale(a));
  if (!plain) return bradley_terry_loss_general(a, begin, end);
  a.margin != nullptr ? sum_items(PlainBradleyTerry<true>{a}, begin, end) : sum_items(PlainBradleyTerry<false>{a}, begin, end);
}

inline void bradley_terry_loss_finish(const BradleyTerryLoss& a, int64_t, int64_t, int) {
  double total[4] = {};
  for (int64_t item = 0; item * kPairChunk < a.B; ++item) {
    for (int k = 0; k < 4; ++k) total[k] += a.workspace[item * kPairSums + k];
  }
  const double denominator = a.normalizer == a.normalizer ? a.normalizer : static_cast<double>(a.B);
  a.loss[0] = a.B > 0 ? static_cast<float>(total[0] / denominator) : 0.0f;
  a.stats[0] = static_cast<float>(total[0]);
  a.stats[1] = a.stats[2] = static_cast<float>(a.B);
  const double stats[4] = {total[1], total[2] - total[3], total[2], total[3]};
  for (int k = 0; k < 4; ++k) a.stats[k + 3] = static_cast<float>(stats[k]);
}

}  // namespace prefgrad::PREFGRAD_ISA
