// Terms of ppoPolicyLoss in f64: those of sequence ratios, and of tokens that f32 does not hold.
#pragma once
#include "../common/log_ratio.h"
#include "../common/token_loss.h"
#include "ppo_policy_loss.h"

namespace prefgrad::PREFGRAD_ISA {

// Where the clips act, and the ratio that the term is made of. A NaN is never clipped away.
struct PpoClip {
  f64x8 low, high, dual;

  explicit PpoClip(const PpoPolicyLoss& a)
      : low(f64x8::set(1.0 - a.clip_low)), high(f64x8::set(1.0 + a.clip_high)), dual(f64x8::set(a.dual_clip)) {}

  struct Masks {
    m8 low, high, dual;
    PREFGRAD_INLINE m8 any() const { return low | high | dual; }
  };
  PREFGRAD_INLINE Masks masks(f64x8 r, f64x8 advantage) const {
    const f64x8 zero = f64x8::set(0.0);
    const m8 worse = less(advantage, zero);
    // An absent dual_clip is NaN, which nothing is above.
    return {worse & less(r, low), less(zero, advantage) & less(high, r), worse & less(dual, r)};
  }
  PREFGRAD_INLINE f64x8 clipped(f64x8 r, Masks m) const {
    return select(m.high, high, select(m.low, low, select(m.dual, dual, r)));
  }
};

struct PpoPolicySums {
  double term, clipped_low, clipped_high, dual_clipped, approx_kl, ratio, log_ratio, log_ratio_square, ratio_min, ratio_max;

  static PpoPolicySums none() {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    return {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, infinity, -infinity};
  }
  void merge(const PpoPolicySums& o) {
    term += o.term;
    clipped_low += o.clipped_low;
    clipped_high += o.clipped_high;
    dual_clipped += o.dual_clipped;
    approx_kl += o.approx_kl;
    ratio += o.ratio;
    log_ratio += o.log_ratio;
    log_ratio_square += o.log_ratio_square;
    ratio_min = smaller(o.ratio_min, ratio_min);
    ratio_max = larger(o.ratio_max, ratio_max);
  }
};

// What tokens add, eight at a time: the log-ratios of tokens, and the terms of ratios with the gradient that each gives. Where a
// token does not count (`valid`), its A and x have to be 0: it has no term then and clips nothing.
struct PpoExactTerms {
  PpoClip clip;
  double coefficient;
  f64x8 term = f64x8::set(0.0), approx_kl = term, ratio = term, log_ratio = term, square = term;
  Extremes extremes;
  int64_t low = 0, high = 0, dual = 0;

  PpoExactTerms(const PpoClip& clips, double gradient_factor) : clip(clips), coefficient(gradient_factor) {}

  PREFGRAD_INLINE void add_log_ratio(f64x8 x) {
    approx_kl = approx_kl + exponential(x).rest;
    log_ratio = log_ratio + x;
    square = fma(x, x, square);
  }
  PREFGRAD_INLINE void add_ratio(f64x8 r, m8 valid) {
    ratio = ratio + select(valid, r, f64x8::set(0.0));
    extremes.add(r, valid);
  }
  PREFGRAD_INLINE f64x8 add_term(f64x8 r, f64x8 A, f64x8 w) {
    const f64x8 zero = f64x8::set(0.0), push = w * (zero - A);
    const PpoClip::Masks m = clip.masks(r, A);
    term = fma(push, clip.clipped(r, m), term);
    low += count_lanes(m.low);
    high += count_lanes(m.high);
    dual += count_lanes(m.dual);
    return f64x8::set(coefficient) * select(m.any(), zero, push * r);
  }

  PREFGRAD_INLINE PpoPolicySums sums() const {
    return {sum(term), static_cast<double>(low), static_cast<double>(high), static_cast<double>(dual),
            sum(approx_kl), sum(ratio), sum(log_ratio), sum(square), extremes.min(), extremes.max()};
  }
};

}  // namespace prefgrad::PREFGRAD_ISA
